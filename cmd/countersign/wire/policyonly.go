package wire

import (
	"fmt"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/authz/trace"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
)

// readPolicyOnly loads the policies of the APIs that have no contract.
func (l *Loaded) readPolicyOnly() authz.Problems {
	var problems authz.Problems
	if l.PolicyOnly == nil {
		l.PolicyOnly = map[authz.API]*rego.Peer{}
	}
	for i, api := range l.Config.APIs {
		if !api.IsPolicyOnly() || api.Policy == nil || api.Policy.Peer.Bundled { // that it is missing was told
			continue
		}
		policy, err := rego.NewPeer(api.Policy.Peer)
		if err != nil {
			problems = append(problems, l.Config.Locate(fmt.Sprintf("apis[%d].policy", i), authz.ProblemsOf(err))...)
			continue
		}
		l.PolicyOnly[api.Contract.Name] = policy
	}
	return problems
}

// policyOnly are the checkers of those APIs while l is in force.
func (l *Loaded) policyOnly(revision string, recorder authz.Recorder, tracer oteltrace.Tracer) map[authz.API]*authz.PolicyOnly {
	checkers := map[authz.API]*authz.PolicyOnly{}
	for _, api := range l.Config.APIs {
		name := api.Contract.Name
		if policy := l.PolicyOnly[name]; policy != nil {
			checkers[name] = &authz.PolicyOnly{API: name, Revision: revision, Bundles: l.bundlesOf(api), Policy: trace.Policy(policy, tracer), Recorder: recorder,
				Inputs: l.inputs(policy), DryRun: api.Policy.DryRun}
		}
	}
	return checkers
}

// ExplainAlone makes what decides one request of an API by its policy alone, as Explain
// does for others. It is nil where the API has more than a policy.
func (l *Loaded) ExplainAlone(name authz.API, now func() time.Time) *explain.Alone {
	for _, api := range l.Config.APIs {
		if policy := l.PolicyOnly[name]; policy != nil && api.Contract.Name == name {
			return explain.NewAlone(authz.PolicyOnly{API: name, Revision: l.revision(), Policy: policy, DryRun: api.Policy.DryRun, Now: now})
		}
	}
	return nil
}

// bundlesOf are those that the policy of such an API is made of.
func (l *Loaded) bundlesOf(api config.API) []authz.Bundle {
	if !api.Policy.Peer.Bundled {
		return nil
	}
	return l.Set.Names()
}
