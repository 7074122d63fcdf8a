package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
	"github.com/countersign-io/countersign/rego/bundles"
)

// Policies are those that decide again on what was recorded.
type Policies struct {
	// Policy is of the APIs that have a contract; nil where only others are meant.
	Policy *rego.Engine
	// PolicyOnly are of those that have none.
	PolicyOnly map[authz.API]*rego.Peer
	// Set is what one of them is made of where that is bundles, or nil.
	Set *bundles.Set
}

// Candidates are the policies that a configuration names, one of them with path in its
// place, unless that is empty, and the same decision: that of the contracted APIs or, if
// an API is named, of that one, which is policy-only; the others are not there then.
// Nothing else that the configuration names is opened.
func Candidates(cfg *config.Config, api authz.API, path string) (*Policies, error) {
	if err := guarded(cfg); err != nil {
		return nil, err
	}
	if api != "" {
		return candidateOf(cfg, api, path)
	}
	l := &Loaded{Config: cfg}
	l.takeKept()
	var err error
	if path != "" {
		l.Policy, err = rego.New(rego.Config{Path: path, Decision: cfg.Policy.Decision})
	} else if err = l.readPolicy(); err == nil && l.Policy == nil {
		return nil, l.missing()
	}
	problems := authz.ProblemsOf(err)
	for i := range problems {
		if path != "" && problems[i].File == "" {
			problems[i].File = path
		}
	}
	problems = append(cfg.Locate("policy", problems), l.readPolicyOnly()...)
	return &Policies{Policy: l.Policy, PolicyOnly: l.PolicyOnly, Set: l.Set}, problems.Err()
}

// candidateOf are Candidates of one policy-only API.
func candidateOf(cfg *config.Config, api authz.API, path string) (*Policies, error) {
	meant := *cfg
	meant.APIs = slices.Clone(cfg.APIs)
	found := false
	for i := range meant.APIs {
		each := &meant.APIs[i]
		if !each.IsPolicyOnly() || each.Contract.Name != api || each.Policy == nil {
			each.Policy = nil
			continue
		}
		found = true
		if policy := *each.Policy; path != "" {
			policy.Peer.Paths, policy.Peer.Bundled = []string{path}, false
			each.Policy = &policy
		}
	}
	if !found {
		return nil, cfg.Locate("", authz.Problems{{Key: "apis", What: "have no policy-only one of the name " + string(api), Fix: "name one of them with --api, or leave --api out"}})
	}
	l := &Loaded{Config: &meant}
	problems := l.readPolicyOnly()
	if l.bundled() {
		if l.takeKept(); l.Set == nil {
			return nil, l.missing()
		}
		problems = append(problems, cfg.Locate("policy", authz.ProblemsOf(l.readBundled()))...)
	}
	return &Policies{PolicyOnly: l.PolicyOnly, Set: l.Set}, problems.Err()
}

// Digest is of all that decides.
func (p *Policies) Digest() []byte {
	if len(p.PolicyOnly) == 0 {
		return p.Policy.Digest()
	}
	hash := sha256.New()
	if p.Policy != nil {
		hash.Write(p.Policy.Digest())
	}
	for _, api := range slices.Sorted(maps.Keys(p.PolicyOnly)) {
		hash.Write(p.PolicyOnly[api].Digest())
	}
	return hash.Sum(nil)
}

var errNoPolicy = errors.New("no policy is there for its API")

// Replay decides on what was kept of a decision of an API, as the policy's Replay does. A
// verdict that could not be given to Envoy is an error.
func (p *Policies) Replay(ctx context.Context, api authz.API, input authz.Input, at time.Time, id authz.DecisionID) (authz.Verdict, error) {
	if alone := p.PolicyOnly[api]; alone != nil {
		verdict, err := alone.Replay(ctx, input, at, id)
		if err == nil {
			err = verdict.CheckBare()
		}
		return verdict, err
	}
	if p.Policy == nil {
		return authz.Verdict{}, errNoPolicy
	}
	verdict, err := p.Policy.Replay(ctx, input, at, id)
	if err == nil {
		err = verdict.Check()
	}
	return verdict, err
}

// Explain tells why Replay decides as it does, as the policy's ExplainKept does.
func (p *Policies) Explain(ctx context.Context, api authz.API, input authz.Input, at time.Time, id authz.DecisionID, clear bool) (*rego.Explanation, error) {
	if alone := p.PolicyOnly[api]; alone != nil {
		return alone.ExplainKept(ctx, input, at, id, clear)
	}
	if p.Policy == nil {
		return nil, errNoPolicy
	}
	return p.Policy.ExplainKept(ctx, input, at, id, clear)
}

// Tried is the name that records have for a policy that is tried beside.
func (p *Policies) Tried() string { return hex.EncodeToString(p.Policy.Digest()) }
