// Package rego decides on facts with Rego policies, and is the only importer of OPA.
//
// An Engine holds one policy, compiled and prepared once: the embedded standard
// library (package countersign.standard) and what a site adds to it. A decision
// is a pure function of the facts, the policy and the time in the facts: the
// built-ins that reach the network, the file system or the environment do not
// compile, and time and randomness are pinned to the decision.
//
// A reference to what the input never has does not compile either: see InputSchema.
//
// What a policy cannot decide is an error, never an allow: an undefined result, a
// result of the wrong shape, an evaluation that fails. The Pipeline denies it.
package rego

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego/bundles"
)

// Config says which policy decides. The zero Config is the standard library alone.
type Config struct {
	// Path is a directory of .rego, .json and .yaml files, or a bundle (.tar.gz).
	// Files named *_test.rego and names that begin with a dot are left out.
	Path string `yaml:"path"`
	// Decision is the rule that decides, as "site.decision" or "site/decision";
	// "" is the standard library's.
	Decision string `yaml:"decision"`
	// Shadow is tried beside it; nil means that nothing is.
	Shadow *ShadowConfig `yaml:"shadow"`
	// Downloads say which bundles are the policy in place of Path, in OPA's own form.
	Downloads bundles.Config `yaml:",inline"`
	// Set is what was downloaded; nil where there is none, or nothing is yet.
	Set *bundles.Set `yaml:"-"`
}

// Check says what is wrong with what is said of downloads, without any policy. Its error
// is authz.Problems.
func (c *Config) Check() error {
	problems := authz.ProblemsOf(c.Downloads.Check())
	if c.Path != "" && c.Downloads.Used() {
		problems.Add("path", "stands beside bundles, and one policy decides", "keep one of them; put the files of the folder in a bundle of their own")
	}
	return problems.Err()
}

// Engine decides by one policy. It is immutable but for a cache with an entry for
// each operation it has seen, and safe for concurrent use.
type Engine struct {
	evaluator
	document *document
	reach    reach
	digest   []byte
	notes    authz.Problems
	said     map[string]bool
	changes  []string
	subject  *subject
}

var _ authz.Policy = (*Engine)(nil)

// New loads and compiles a policy. Its error is authz.Problems, with everything
// that is wrong as far as compilation came.
func New(cfg Config) (*Engine, error) {
	ctx := context.Background()
	loaded, err := load(cfg)
	if err != nil {
		return nil, err
	}
	loaded.withoutUnusedTables()
	policy, err := loaded.compile(ctx)
	if err != nil {
		return nil, err
	}
	decision, err := policy.decision(cfg.Decision)
	if err != nil {
		return nil, err
	}
	prepared, err := policy.prepare(ctx, decision, opa.StrictBuiltinErrors(true))
	if err != nil {
		return nil, err
	}
	reach := reachOf(policy.compiler, decision)
	if err := loaded.tableFaults(reach).Err(); err != nil {
		return nil, err
	}
	return &Engine{
		evaluator: prepared,
		document:  newDocument(reach),
		reach:     reach,
		digest:    loaded.digest(decision),
		notes:     loaded.notes(decision, &reach),
		said:      loaded.says(),
		changes:   loaded.changes(&reach),
		subject:   policy.subject(loaded, prepared, decision),
	}, nil
}

// Decide evaluates the policy's decision on the facts. ctx ends the evaluation
// early. An error's text holds a place in the policy, never a value.
func (e *Engine) Decide(ctx context.Context, facts *authz.Facts) (authz.Verdict, error) {
	input, err := e.input(facts)
	if err != nil {
		return authz.Verdict{}, fmt.Errorf("policy: input: %w", err)
	}
	return e.decide(ctx, input, facts.Time, facts.ID)
}

func (e *Engine) decide(ctx context.Context, input ast.Value, at time.Time, id authz.DecisionID) (authz.Verdict, error) {
	result, err := e.evaluate(ctx, input, at, id)
	if err != nil {
		return authz.Verdict{}, err
	}
	verdict, err := verdictOf(result)
	return verdict, e.unusable(err)
}

// Digest is the SHA-256 of all that decides: modules, data, library and decision.
func (e *Engine) Digest() []byte { return slices.Clone(e.digest) }

// Reaches lists the paths of the input that the policy can read, such as
// "input.caller.kind", in order; only these are built. "input (file:line)" means
// all of it, and which line of the policy makes it so.
func (e *Engine) Reaches() []string { return e.reach.paths() }

// ReadsBody reports that a rule reads something of the request's JSON body.
func (e *Engine) ReadsBody() bool {
	_, read := e.reach.part("parsed_body")
	return read
}

// Notes are what is no fault of the policy, and was likely not meant: a line that has all
// of the input built, a reason that is not declared as it is said, one that no decision
// can have.
func (e *Engine) Notes() authz.Problems { return slices.Clone(e.notes) }

// Preparation is PrepareClaims for what this policy reads of the claims, or, whole, for
// all of them, which inputs that are kept whole hold. It is nil where none are read.
func (e *Engine) Preparation(whole bool) func(claims map[string]any) any {
	names, read := e.reach.part("token", "claims")
	switch {
	case whole || read && names == nil:
		return PrepareClaims
	case !read:
		return nil
	}
	return func(claims map[string]any) any {
		reached := make(map[string]any, len(names))
		for name := range names {
			if value, there := claims[name]; there {
				reached[name] = value
			}
		}
		return PrepareClaims(reached)
	}
}

// Prepares tells preparations apart: of two engines for which it is the same, Preparation
// makes the same of the same claims. It is "" where that is nil.
func (e *Engine) Prepares(whole bool) string {
	names, read := e.reach.part("token", "claims")
	switch {
	case whole || read && names == nil:
		return "all"
	case !read:
		return ""
	}
	return fmt.Sprintf("%q", slices.Sorted(maps.Keys(names)))
}

// PrepareClaims gives a token's claims in the engine's own form, for
// authz.Token.Prepared, so that a cached token's claims are converted once. It is
// nil where the claims are not JSON.
func PrepareClaims(claims map[string]any) any {
	value, err := ast.InterfaceToValue(claims)
	if err != nil {
		return nil
	}
	return value
}
