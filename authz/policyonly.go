package authz

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// PolicyOnly decides requests of one API by its policy alone, for policies that were
// written for opa-envoy-plugin and run as they are: no contract, no token, no limits,
// none of the checks of a Pipeline. It is chosen for a whole API by name.
//
// What there is an error of gRPC, for Envoy to judge, is a denial here: an undefined decision, one of the
// wrong shape, a policy that ran out of time. A body that cannot be parsed is refused
// before the policy is asked. It is immutable and safe for concurrent use once its
// fields are set; the zero PolicyOnly denies.
type PolicyOnly struct {
	API      API
	Revision string
	// Bundles are those that Policy is made of, if it is of bundles.
	Bundles  []Bundle
	Policy   Policy
	Recorder Recorder
	// Inputs gives what Policy decides on, for the record; nil keeps nothing.
	Inputs Inputs
	// DryRun answers what the policy refuses as if it were allowed, and records that.
	// Whatever else is refused stays refused.
	DryRun bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

var _ Checker = (*PolicyOnly)(nil)

// Check decides one request and records the decision, as Pipeline.Check does.
func (p *PolicyOnly) Check(ctx context.Context, request *Request) Decision {
	began := time.Now()
	facts := &Facts{ID: NewDecisionID(), Time: now(p.Now), Request: request, Match: Match{API: p.API}}
	decision := p.answer(ctx, facts)
	decision.Unchecked = facts.Unchecked()
	decision.Elapsed = time.Since(began)
	if err := record(ctx, p.Recorder, &decision, facts); err != nil {
		return Decision{ID: decision.ID, Reason: NotRecorded, Detail: err.Error(), Revision: p.Revision, Elapsed: decision.Elapsed}
	}
	return decision
}

// answer turns a verdict into a decision, and a panic into a denial.
func (p *PolicyOnly) answer(ctx context.Context, f *Facts) (d Decision) {
	defer func() {
		if fault := recover(); fault != nil {
			d = denialOf(f, fmt.Errorf("%w: %s", Internal, panicText(fault)))
		}
		d.Revision, d.Bundles = p.Revision, p.Bundles
	}()
	verdict, err := p.decide(ctx, f)
	if err = inTime(ctx, verdict, err); err != nil {
		return denialOf(f, err)
	}
	if !verdict.Allowed && p.DryRun {
		f.Unenforced = true
		verdict = Verdict{Allowed: true, Reply: Reply{Metadata: verdict.Reply.Metadata}}
	}
	return Decision{ID: f.ID, Allowed: verdict.Allowed, Reason: verdict.Outcome(), Verdict: verdict, Bare: true}
}

// decide asks the policy. An error without a Reason is a policy that cannot decide.
func (p *PolicyOnly) decide(ctx context.Context, f *Facts) (Verdict, error) {
	verdict, err := p.ask(ctx, f)
	var reason Reason
	switch {
	case errors.As(err, &reason):
		return Verdict{}, err
	case err != nil:
		return Verdict{}, fmt.Errorf("%w: %w", PolicyError, err)
	}
	return verdict, verdict.CheckBare()
}

// ask gives the policy its input, which is kept with what others told it besides.
func (p *PolicyOnly) ask(ctx context.Context, f *Facts) (verdict Verdict, err error) {
	if p.Inputs != nil {
		if f.Input, err = p.Inputs.Input(f); err != nil {
			return Verdict{}, err
		}
	}
	verdict, err = p.Policy.Decide(ctx, f)
	if f.Lookups = verdict.Lookups; f.Lookups != nil && f.Input != nil {
		f.Input.Answers = f.Lookups.Answers
	}
	return verdict, err
}

func denialOf(f *Facts, err error) Decision {
	return Decision{ID: f.ID, Reason: ReasonOf(err), Detail: err.Error()}
}
