package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/audit/vault"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
	"github.com/countersign-io/countersign/rego"
)

// recall tells what was recorded of a decision, and decides again on what was kept. What
// is wrong with the configuration now is told, and does not hide the record.
func recall(ctx context.Context, want wanted, w world) (account, error) {
	cfg, faults := config.Load(want.from.file, w.environ)
	if cfg == nil || !cfg.Readable() {
		return nil, faults
	}
	found, err := audit.Find(cfg.Audit, *want.decision)
	if errors.Is(err, audit.ErrNotFound) {
		return nil, wire.Merge(faults, notFound(cfg.Audit.Folder, *want.decision, found.Damage))
	}
	if err != nil {
		return nil, err
	}
	now := wire.Recall(cfg, faults)
	told := remember(found, now.Revision)
	told.clear = want.input
	if n := len(now.Problems); n > 0 {
		told.note("the configuration as it is now has faults, %d in all, and countersign check tells them: %v", n, now.Problems[0])
	}
	if found.Damage != nil {
		told.note("not all records can be read, and another of this decision may be among them: %s", oneLine(found.Damage))
	}
	switch {
	case found.Input == nil:
		told.NotAsked = oneLine(found.NoInput)
	case now.Policies == nil:
		told.NotAsked = "the configuration does not say which one it is, or it is wrong"
	default:
		told.again(ctx, now.Policies, found.Input)
	}
	if want.input && found.Input != nil {
		told.Input = found.Input.Input.Document
	}
	return told, nil
}

func notFound(folder string, id authz.DecisionID, damage error) error {
	problems := authz.Problems{{File: folder, What: "has no record of " + id.String(),
		Fix: "name the configuration of the Countersign that decided, and put back files that were moved away; refusals of a flood have no records of their own, nor has what was refused as overloaded"}}
	if damage != nil {
		problems = append(problems, authz.Problem{File: folder, What: "cannot be read whole: " + oneLine(damage)})
	}
	return problems
}

// oneLine is the text of errors that were joined.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// again decides on the input with the policy as it is now.
func (r *recording) again(ctx context.Context, policies *wire.Policies, entry *vault.Entry) {
	now, err := decideAgain(ctx, policies, entry, r.before)
	if err != nil {
		r.NotAsked = oneLine(err)
		return
	}
	r.Now = now
	r.Now.Same = r.same()
	if now.Outcome == undetermined {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	if r.Policy, err = policies.Explain(ctx, authz.API(r.before.Api), entry.Input, entry.Time, entry.ID, r.clear); err != nil {
		r.note("its rules are not told: %s", oneLine(err))
		return
	}
	if r.Now.Same != nil && *r.Now.Same {
		r.Sentence = r.sentence(r.Policy, r.Sentence, r.Allowed)
	}
}

// decideAgain is what a policy says of an input that was kept, or why it says nothing. A
// panic is an error that names the decision and no value: one input of a million must not
// end the rest. What the record says was only observed is so again.
func decideAgain(ctx context.Context, policies *wire.Policies, entry *vault.Entry, then *decisionv1.Decision) (now *replayed, err error) {
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case runtime.Error:
			now, err = nil, fmt.Errorf("decision %s: panic: %w", entry.ID, fault)
		default:
			now, err = nil, fmt.Errorf("decision %s: panic of type %T", entry.ID, fault)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	verdict, err := policies.Replay(ctx, authz.API(then.Api), entry.Input, entry.Time, entry.ID)
	var lacking *rego.Undetermined
	switch {
	case errors.As(err, &lacking):
		return &replayed{Outcome: undetermined, Needs: lacking.Needs}, nil
	case errors.Is(err, rego.ErrDocument):
		return nil, err
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it did not decide within %s", explainTime)
	}
	return decidedAgain(verdict, err, observedThen(then)), nil
}

// decidedAgain is a verdict as a check takes it, with what is only observed: one that
// cannot be used denies.
func decidedAgain(verdict authz.Verdict, err error, observes func(code string) bool) *replayed {
	if err != nil {
		return &replayed{Outcome: denied, Reason: authz.PolicyError.String(), Detail: err.Error()}
	}
	verdict, observed := verdict.Enforced(observes)
	told := &replayed{Outcome: denied, Reason: verdict.Outcome().String(), PolicyReason: verdict.Reason,
		Refusals: verdict.Refusals, Waived: verdict.Waived, Observed: observed, Detail: verdict.Detail}
	if verdict.Allowed {
		told.Outcome = allowed
	}
	return told
}
