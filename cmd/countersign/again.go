package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/vault"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
	"github.com/countersign-io/countersign/rego"
)

// askedAgain is what a policy says now of what was decided on then.
type askedAgain struct {
	// Now is nil where it is not asked: NotAsked says why then.
	Now      *replayed `json:"now,omitempty"`
	NotAsked string    `json:"not_asked,omitempty"`
	// Policy is what its rules say, where it was asked and decided.
	Policy *rego.Explanation `json:"policy,omitempty"`

	// whose answer it is, in words.
	whose string
}

// shadowed is what a policy that was tried beside would have answered, and what it says
// now.
type shadowed struct {
	// Candidate is its digest.
	Candidate string    `json:"candidate"`
	Was       judgement `json:"was"`
	Would     judgement `json:"would"`
	// Differs are what is not the same, by name.
	Differs []string `json:"differs"`
	askedAgain
}

// judgement is what a policy's verdict came to.
type judgement struct {
	Allowed      bool     `json:"allowed"`
	Reason       string   `json:"reason"`
	PolicyReason string   `json:"policy_reason,omitempty"`
	Refusals     []string `json:"refusals,omitempty"`
	Waived       []string `json:"waived,omitempty"`
	Observed     []string `json:"observed,omitempty"`
	Detail       string   `json:"detail,omitempty"`
}

func judgementOf(o *decisionv1.Outcome) judgement {
	return judgement{Allowed: o.GetAllowed(), Reason: o.GetReason(), PolicyReason: o.GetPolicyReason(),
		Refusals: o.GetRefusals(), Waived: o.GetWaived(), Observed: o.GetObserved(), Detail: o.GetDetail()}
}

func (j judgement) String() string {
	outcome := denied
	if j.Allowed {
		outcome = allowed
	}
	return outcome + " " + visible(cmp.Or(j.PolicyReason, j.Reason))
}

// record is as one of a decision would have it.
func (j judgement) record() *decisionv1.Decision {
	return &decisionv1.Decision{Allowed: &j.Allowed, Reason: j.Reason, PolicyReason: j.PolicyReason,
		Refusals: j.Refusals, Waived: j.Waived, Observed: j.Observed}
}

func shadowedBy(s *decisionv1.Shadow) *shadowed {
	return &shadowed{Candidate: s.Candidate, Was: judgementOf(s.Was), Would: judgementOf(s.Would), Differs: s.Differs,
		askedAgain: askedAgain{whose: "the policy that was tried beside"}}
}

// again has the policies decide on the input, and holds it against what was recorded of
// them.
func (a *askedAgain) again(ctx context.Context, policies *wire.Policies, entry *vault.Entry, r *recording, recorded *decisionv1.Decision) {
	now, err := decideAgain(ctx, policies, entry, r.before)
	if err != nil {
		a.NotAsked = oneLine(err)
		return
	}
	a.Now = now
	a.Now.Same = now.as(recorded)
	if now.Outcome == undetermined {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	if a.Policy, err = policies.Explain(ctx, authz.API(r.before.Api), entry.Input, entry.Time, entry.ID, r.clear); err != nil {
		r.note("the rules of %s are not told: %s", a.whose, oneLine(err))
	}
}

// tryAgain has the policy that is tried now answer as it was tried then.
func (s *shadowed) tryAgain(ctx context.Context, now wire.Current, entry *vault.Entry, r *recording) {
	switch {
	case now.Shadow == nil:
		s.NotAsked = "the configuration has no policy.shadow, or it is wrong; --policy FOLDER asks another"
		return
	case now.Shadow.Tried() != s.Candidate:
		s.whose = "the policy that is tried beside now, which is another"
	}
	s.again(ctx, now.Shadow, entry, r, s.Would.record())
}

// writeShadows tells what was tried beside.
func (r *recording) writeShadows(to io.Writer) {
	for _, s := range r.Shadows {
		fmt.Fprintf(to, "shadow\tcandidate %s, would have answered %s in place of %s; what differs: %s\n",
			visible(s.Candidate), s.Would, s.Was, visible(strings.Join(s.Differs, ", ")))
	}
}

// writeGlance tells the answer and what a person asks first.
func (a *askedAgain) writeGlance(to io.Writer, l lifted) {
	if a.Policy == nil {
		a.writeNow(to)
		return
	}
	fmt.Fprintf(to, "\n%s, on what was decided on then: %s, %s\n", a.whose, a.Now.Outcome, a.Now.compared())
	l.writeWhyOf(to, a.Policy, a.Now.Outcome == allowed)
}

// writeAll tells the answer and every rule.
func (a *askedAgain) writeAll(to io.Writer) {
	a.writeNow(to)
	if a.Policy != nil {
		fmt.Fprintf(to, "\nits rules\n")
		writeRules(to, a.Policy)
	}
}

// writeNow tells the answea.
func (a *askedAgain) writeNow(to io.Writer) {
	if a.Now == nil {
		fmt.Fprintf(to, "\n%s is not asked: %s\n", a.whose, a.NotAsked)
		return
	}
	fmt.Fprintf(to, "\n%s, on what was decided on then\n", a.whose)
	var g group
	g.say("decision", a.Now.Outcome)
	g.say("needs", a.Now.Needs...)
	g.say("reason", a.Now.Reason)
	g.say("policy's reason", a.Now.PolicyReason)
	g.say("refusals", a.Now.Refusals...)
	g.say("waived", a.Now.Waived...)
	g.say("observed", a.Now.Observed...)
	g.say("detail", a.Now.Detail)
	g.say("compared", a.Now.compared())
	for _, f := range g.Facts {
		fmt.Fprint(to, "  ")
		f.write(to)
	}
}

func (n *replayed) compared() string {
	switch {
	case n.Outcome == undetermined:
		return "what it needs was not kept"
	case n.Same == nil:
		return "then it was not the policy that had the last word"
	case *n.Same:
		return "the same as then"
	}
	return "not the same as then"
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
