package rego

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

var (
	errUndefined = errors.New("policy: the decision is undefined")
	errFailed    = errors.New("policy: evaluation failed")
	errNotJSON   = errors.New("a fact is not JSON")
)

// whereabouts is a rule by its name, and the first place where it stands.
func (p *compiled) whereabouts(of ast.Ref) string {
	rules := p.compiler.GetRules(of)
	if len(rules) == 0 {
		return of.String()
	}
	first := slices.MinFunc(rules, func(a, b *ast.Rule) int { return spotOf(a).compare(spotOf(b)) })
	return strings.TrimSuffix(of.String()+", "+place(first.Location), ": ")
}

// unusable says of which rule a result is that cannot be used. The error is of one that is
// not there, or of what verdictOf makes of it.
func (e *evaluator) unusable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", err, e.decides)
}

// ruleAt is the name of the rule that stands at a place.
func (e *evaluator) ruleAt(at *ast.Location) string {
	var found *ast.Rule
	for _, module := range e.modules {
		for _, rule := range module.Rules {
			if at != nil && rule.Location.File == at.File && rule.Location.Row <= at.Row && (found == nil || found.Location.Row < rule.Location.Row) {
				found = rule
			}
		}
	}
	if found == nil {
		return "a rule"
	}
	return found.Ref().GroundPrefix().String()
}

// fault says where an evaluation went wrong and in what way. OPA's own messages
// may quote values of the input, so nothing of them is kept but the name of the
// built-in function that they begin with.
func (e *evaluator) fault(ctx context.Context, err error) error {
	if topdown.IsCancel(err) {
		return fmt.Errorf("policy: evaluation stopped: %w", context.Cause(ctx))
	}
	var failure *topdown.Error
	if !errors.As(err, &failure) {
		return errFailed
	}
	return fmt.Errorf("policy: %s%s%s", place(failure.Location), failure.Code, e.explained(failure))
}

func place(location *ast.Location) string {
	if location == nil || location.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", location.File, location.Row)
}

func (e *evaluator) explained(failure *topdown.Error) string {
	switch failure.Code {
	case topdown.ConflictErr:
		return ": " + e.ruleAt(failure.Location) + " has two values at once"
	case topdown.BuiltinErr, topdown.TypeErr:
		name, _, _ := strings.Cut(failure.Message, ":")
		if _, known := ast.BuiltinMap[name]; known {
			return ": " + name + " does not take this operand"
		}
	}
	return ""
}
