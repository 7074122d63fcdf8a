package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"runtime/debug"
)

type versions struct {
	Countersign string `json:"countersign"`
	Go          string `json:"go"`
	OPA         string `json:"opa"`
}

func version(_ context.Context, args []string, w world) error {
	var output string
	if err := arguments("version", "say which version this is", args, w, func(f *flag.FlagSet) { outputFlag(f, &output) }); err != nil {
		return err
	}
	v := readVersions()
	if output == "json" {
		return json.NewEncoder(w.stdout).Encode(v)
	}
	_, err := fmt.Fprintf(w.stdout, "countersign %s (%s, OPA %s)\n", v.Countersign, v.Go, v.OPA)
	return err
}

func readVersions() versions {
	v := versions{Countersign: "unknown", Go: "unknown", OPA: "unknown"}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Countersign, v.Go = build.Main.Version, build.GoVersion
	for _, module := range build.Deps {
		if module.Path == "github.com/open-policy-agent/opa" {
			v.OPA = module.Version
		}
	}
	return v
}
