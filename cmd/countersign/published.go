package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/countersign-io/countersign/rego"
)

// schema prints what stock tools and editors hold policies against.
func schema(_ context.Context, args []string, w world) error {
	return publish("schema", "print the JSON Schema of a policy's input, for opa check --schema and editors", rego.InputSchema, args, w)
}

// capabilities prints what policies may call.
func capabilities(_ context.Context, args []string, w world) error {
	return publish("capabilities", "print which built-ins policies may call, for opa check --capabilities and editors", rego.Capabilities, args, w)
}

func publish(name, purpose string, text func() ([]byte, error), args []string, w world) error {
	if err := arguments(name, purpose, args, w, func(*flag.FlagSet) {}); err != nil {
		return err
	}
	published, err := text()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "%s\n", published)
	return err
}
