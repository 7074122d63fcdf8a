package rego

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego/bundles"
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
	// Builtins are the built-ins by which the policy may ask the network: "http.send" and
	// "net.lookup_ip_addr".
	Builtins []string `yaml:"builtins"`
	// Hosts are whom it may ask, without ports; empty means anybody.
	Hosts []string `yaml:"hosts"`
	// RegoVersion is "v1", the default, or "v0" for policies that were written for OPA
	// before 1.0. A bundle's manifest may say it of its own modules.
	RegoVersion string `yaml:"rego_version"`
	// Bundled says that the configuration's bundles are the policy, in place of Paths, and
	// Set is what was downloaded of them.
	Bundled bool         `yaml:"-"`
	Set     *bundles.Set `yaml:"-"`
}

const peerDecision = "envoy/authz/allow"

// Peer decides as opa-envoy-plugin does: by the same input document, for the same
// result. The library is not there, and the policy is not compiled strictly; but the
// built-ins that reach past the input are refused as they are for any other, unless they
// are allowed by name: what they answer is in the verdict's Lookups then. It is immutable
// but for what http.send was asked to cache, and safe for concurrent use.
type Peer struct {
	evaluator
	reach    reach
	messages *grpcMessages
	skipBody bool
	network  *network
	digest   []byte
	subject  *subject
}

var _ authz.Policy = (*Peer)(nil)

// NewPeer loads and compiles a policy. Its error is authz.Problems.
func NewPeer(cfg PeerConfig) (*Peer, error) {
	ctx := context.Background()
	problems := cfg.check()
	messages, descriptors, err := readDescriptors(cfg.Descriptors)
	problems = append(problems, authz.ProblemsOf(err)...)
	loaded, err := loadPeer(cfg)
	if err != nil {
		return nil, append(problems, authz.ProblemsOf(err)...)
	}
	policy, err := loaded.compilePeer(ctx, cfg)
	if err != nil {
		return nil, append(problems, permitted(authz.ProblemsOf(err))...)
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
		network:   newNetwork(cfg.Builtins),
		subject:   policy.subject(loaded, prepared, decision),
		digest:    joined(loaded.digest(decision), descriptors, cfg.digest()),
	}, nil
}

// digest is of what says how the policy is read, and what it may do.
func (c *PeerConfig) digest() []byte {
	return joined(strconv.AppendBool(nil, c.SkipBody), []byte(strings.Join(c.Builtins, " ")), []byte(strings.Join(c.Hosts, " ")), []byte(c.RegoVersion))
}

// isHost reports what OPA can tell from other hosts. It compares what stands before the
// first colon of a URL's host, which of each IPv6 address may be "[" alone.
var isHost = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`).MatchString

func (c *PeerConfig) check() authz.Problems {
	var problems authz.Problems
	for i, name := range c.Builtins {
		if !slices.Contains(askers, name) {
			problems.Add(fmt.Sprintf("builtins[%d]", i), fmt.Sprintf("%q asks no network", name), "name "+strings.Join(askers, " or ")+", or remove it")
		}
	}
	if len(c.Hosts) > 0 && len(c.Builtins) == 0 {
		problems.Add("hosts", "are whom nothing may ask", "name the built-ins that may, under builtins")
	}
	for i, host := range c.Hosts {
		if !isHost(host) {
			problems.Add(fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("%q is no host: no URL has it", host),
				`write a name or an IPv4 address alone, as URLs have it, such as "directory.example"; give a name to what has an IPv6 address`)
		}
	}
	if _, known := regoVersions[c.RegoVersion]; !known {
		problems.Add("rego_version", fmt.Sprintf("%q is not known", c.RegoVersion), "write v0 or v1")
	}
	return problems
}

// permitted tells how a built-in of the network can be allowed.
func permitted(problems authz.Problems) authz.Problems {
	for i := range problems {
		if name, _, refused := strings.Cut(problems[i].What, " is not for policies"); refused && slices.Contains(askers, name) {
			problems[i].Fix = "decide on what the input and the data hold; or allow it by name, under builtins (--allow beside --opa-config)"
		}
	}
	return problems
}

// regoVersions are the versions by their names.
var regoVersions = map[string]ast.RegoVersion{"": ast.RegoV1, "v1": ast.RegoV1, "v0": ast.RegoV0}

// capabilities are those of any policy, and what is allowed besides.
func (c *PeerConfig) capabilities() *ast.Capabilities {
	all := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(regoVersions[c.RegoVersion]))
	if all.AllowNet = c.Hosts; len(c.Builtins) == 0 {
		all.AllowNet = []string{} // no host; nil is any
	}
	all.Builtins = slices.DeleteFunc(all.Builtins, func(b *ast.Builtin) bool {
		return forbidden(b.Name) && !(slices.Contains(askers, b.Name) && slices.Contains(c.Builtins, b.Name))
	})
	return all
}

// compilePeer compiles as opa-envoy-plugin does: not strictly.
func (s *source) compilePeer(ctx context.Context, cfg PeerConfig) (*compiled, error) {
	policy, err := s.uncompiled(ctx)
	if err != nil {
		return nil, err
	}
	policy.compiler.WithStrict(false).WithSchemas(nil).WithCapabilities(cfg.capabilities()).
		WithDefaultRegoVersion(regoVersions[cfg.RegoVersion])
	return s.compileBy(policy)
}

// loadPeer reads and parses what is at the paths, or in the bundles. Annotations are
// comments there.
func loadPeer(cfg PeerConfig) (*source, error) {
	if cfg.Bundled {
		s := &source{modules: map[string]*ast.Module{}, raw: map[string][]byte{}, data: map[string]any{},
			parser: ast.ParserOptions{RegoVersion: regoVersions[cfg.RegoVersion], Capabilities: cfg.capabilities()}}
		return s, s.joinSet(cfg.Set, false).Err()
	}
	if len(cfg.Paths) == 0 {
		return nil, authz.Problems{{Key: "paths", What: "is empty", Fix: "name the policy's .rego and .json files, or their folder"}}
	}
	s := &source{modules: map[string]*ast.Module{}, raw: map[string][]byte{}}
	loaded, err := cfg.read()
	if err != nil {
		return nil, append(cfg.outdated(), s.problems(err)...)
	}
	for name, file := range loaded.Modules {
		s.modules[name], s.raw[name] = file.Parsed, file.Raw
	}
	s.data = loaded.Documents
	s.rawData, err = json.Marshal(s.data)
	return s, err
}

func (c *PeerConfig) read() (*loader.Result, error) {
	return loader.NewFileLoader().WithRegoVersion(regoVersions[c.RegoVersion]).WithCapabilities(c.capabilities()).Filtered(c.Paths, served)
}

// outdated tells of a policy that can be read as what OPA before 1.0 took.
func (c PeerConfig) outdated() authz.Problems {
	if regoVersions[c.RegoVersion] != ast.RegoV1 {
		return nil
	}
	c.RegoVersion = "v0"
	if _, err := c.read(); err != nil {
		return nil
	}
	return authz.Problems{{Key: "rego_version", What: "is v1, and this looks like Rego v0, as OPA took it before 1.0: it can be read as that",
		Fix: "write rego_version: v0 (--v0-compatible beside --opa-config), or have opa fmt --v0-v1 rewrite the files"}}
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
	input, err := p.given(facts)
	if err != nil {
		return authz.Verdict{}, err
	}
	if p.network == nil {
		return p.decide(p.evaluate(ctx, input, facts.Time, facts.ID))
	}
	asked := p.network.ask(facts)
	verdict, err := p.decide(p.evaluate(ctx, input, facts.Time, facts.ID, asked.options()...))
	verdict.Lookups = asked.told()
	return verdict, err
}

func (p *Peer) decide(result ast.Value, err error) (authz.Verdict, error) {
	if err != nil {
		return authz.Verdict{}, err
	}
	verdict, err := peerVerdict(result)
	return verdict, p.unusable(err)
}
