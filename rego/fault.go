package rego

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

var (
	errUndefined = errors.New("policy: the decision is undefined")
	errFailed    = errors.New("policy: evaluation failed")
	errNotJSON   = errors.New("a fact is not JSON")
)

// fault says where an evaluation went wrong and in what way. OPA's own messages
// may quote values of the input, so nothing of them is kept but the name of the
// built-in function that they begin with.
func fault(ctx context.Context, err error) error {
	if topdown.IsCancel(err) {
		return fmt.Errorf("policy: evaluation stopped: %w", context.Cause(ctx))
	}
	var failure *topdown.Error
	if !errors.As(err, &failure) {
		return errFailed
	}
	return fmt.Errorf("policy: %s%s%s", place(failure.Location), failure.Code, explained(failure))
}

func place(location *ast.Location) string {
	if location == nil || location.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", location.File, location.Row)
}

func explained(failure *topdown.Error) string {
	switch failure.Code {
	case topdown.ConflictErr:
		return ": a rule has two values at once"
	case topdown.BuiltinErr, topdown.TypeErr:
		name, _, _ := strings.Cut(failure.Message, ":")
		if _, known := ast.BuiltinMap[name]; known {
			return ": " + name + " does not take this operand"
		}
	}
	return ""
}
