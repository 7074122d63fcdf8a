package rego

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"

	"github.com/countersign-io/countersign/authz"
)

// PeerConfig says which policy of opa-envoy-plugin decides.
type PeerConfig struct {
	// Paths are .rego, .json and .yaml files, directories of them and bundles (.tar.gz), as
	// opa run takes them. Files named *_test.rego and names that begin with a dot are left
	// out.
	Paths []string `yaml:"paths"`
	// Decision is the rule that decides; "" is envoy/authz/allow, as it is there.
	Decision string `yaml:"decision"`
	// Descriptors is a FileDescriptorSet of the gRPC services whose messages the policy
	// reads; "" means none.
	Descriptors string `yaml:"descriptors"`
	// SkipBody leaves bodies alone: the policy is told nothing of them.
	SkipBody bool `yaml:"skip_body"`
}

const peerDecision = "envoy/authz/allow"

// Peer decides as opa-envoy-plugin does: by the same input document, for the same
// result. The library is not there, and the policy is not compiled strictly; but the
// built-ins that reach past the input are refused as they are for any other. It is
// immutable and safe for concurrent use.
type Peer struct {
	evaluator
	reach    reach
	messages *grpcMessages
	skipBody bool
	digest   []byte
}

var _ authz.Policy = (*Peer)(nil)

// NewPeer loads and compiles a policy. Its error is authz.Problems.
func NewPeer(cfg PeerConfig) (*Peer, error) {
	ctx := context.Background()
	messages, descriptors, err := readDescriptors(cfg.Descriptors)
	problems := authz.ProblemsOf(err)
	loaded, err := loadPeer(cfg.Paths)
	if err != nil {
		return nil, append(problems, authz.ProblemsOf(err)...)
	}
	policy, err := loaded.uncompiled(ctx)
	if err == nil {
		policy.compiler.WithStrict(false).WithSchemas(nil)
		policy, err = loaded.compileBy(policy)
	}
	if err != nil {
		return nil, append(problems, authz.ProblemsOf(err)...)
	}
	decision, err := policy.peerDecision(cfg.Decision)
	problems = append(problems, authz.ProblemsOf(err)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	// A built-in that fails is undefined there, and the policy goes on.
	prepared, err := policy.prepare(ctx, decision)
	if err != nil {
		return nil, err
	}
	return &Peer{
		evaluator: prepared,
		reach:     reachOf(policy.compiler, decision),
		messages:  messages,
		skipBody:  cfg.SkipBody,
		digest:    joined(loaded.digest(decision), descriptors, strconv.AppendBool(nil, cfg.SkipBody)),
	}, nil
}

// loadPeer reads and parses what is at paths. Annotations are comments there.
func loadPeer(paths []string) (*source, error) {
	if len(paths) == 0 {
		return nil, authz.Problems{{Key: "paths", What: "is empty", Fix: "name the policy's .rego and .json files, or their folder"}}
	}
	s := &source{modules: map[string]*ast.Module{}, raw: map[string][]byte{}}
	loaded, err := loader.NewFileLoader().WithRegoVersion(ast.RegoV1).WithCapabilities(capabilities()).Filtered(paths, served)
	if err != nil {
		return nil, s.problems(err)
	}
	for name, file := range loaded.Modules {
		s.modules[name], s.raw[name] = file.Parsed, file.Raw
	}
	s.data = loaded.Documents
	s.rawData, err = json.Marshal(s.data)
	return s, err
}

// peerDecision is the reference of a path as opa-envoy-plugin reads it: a part that is a
// whole number is one. It must lead to a rule.
func (p *compiled) peerDecision(path string) (ast.Ref, error) {
	if path == "" {
		path = peerDecision
	}
	ref := ast.Ref{ast.DefaultRootDocument}
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if n, err := strconv.Atoi(part); err == nil {
			ref = append(ref, ast.InternedTerm(n))
		} else {
			ref = append(ref, ast.StringTerm(part))
		}
	}
	if len(p.compiler.GetRules(ref)) == 0 {
		return nil, authz.Problems{{Key: "decision", What: fmt.Sprintf("the policy has no rule at %q", path),
			Fix: "write package and rule with slashes, such as envoy/authz/allow"}}
	}
	return ref, nil
}

// Digest is the SHA-256 of all that decides.
func (p *Peer) Digest() []byte { return slices.Clone(p.digest) }

// Decide evaluates the policy's decision on the request alone. Its error wraps
// PathNotCanonical, QueryMalformed, BodyMalformed or RequestTooLarge where the request
// cannot be parsed; its text holds a place in the policy, never a value.
func (p *Peer) Decide(ctx context.Context, facts *authz.Facts) (authz.Verdict, error) {
	input, err := p.input(facts.Request)
	if err != nil {
		return authz.Verdict{}, fmt.Errorf("policy: input: %w", err)
	}
	result, err := p.evaluate(ctx, input, facts.Time, facts.ID)
	if err != nil {
		return authz.Verdict{}, err
	}
	return peerVerdict(result)
}
