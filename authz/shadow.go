package authz

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
)

// Candidate is a policy that is tried beside the one in force: it is asked what was
// decided already, and answers nobody.
type Candidate struct {
	Policy Policy
	// Digest is the policy's own, in hexadecimal.
	Digest string
}

// Judgement is what a policy said of a request, or why it could not decide.
type Judgement struct {
	Verdict Verdict
	Err     error
}

// Trial is a decision that stands and is recorded, for a candidate to decide on the same
// facts. What it points to is not changed any more.
type Trial struct {
	Candidate *Candidate
	Decision  *Decision
	Facts     *Facts
	// InForce is what the policy in force said.
	InForce Judgement
}

// Shadow has candidates decide, after the answer.
type Shadow interface {
	// Offer hands a trial over. It never waits: what is too much is not tried. It is safe
	// for concurrent use.
	Offer(trial Trial)
}

// Outcome is what a policy's judgement comes to.
type Outcome struct {
	Allowed bool
	// Reason and PolicyReason are those of a Decision and its Verdict.
	Reason       Reason
	PolicyReason string
	// Refusals, Waived and Observed are in order, each once.
	Refusals, Waived, Observed []string
	// Detail is why the policy could not decide, or "".
	Detail string
}

// Code is the reason in one word, as a Decision's.
func (o *Outcome) Code() string { return cmp.Or(o.PolicyReason, o.Reason.String()) }

// Difference is how a candidate's judgement differs from that of the policy in force.
type Difference struct {
	Candidate  string
	Was, Would Outcome
	// Differs are what is not the same, by name; it is not empty.
	Differs []string
}

// Judge asks a policy as a check does: what could not be sent as it stands is an error.
func Judge(ctx context.Context, policy Policy, facts *Facts) Judgement {
	verdict, err := policy.Decide(ctx, facts)
	if err != nil {
		return Judgement{verdict, fmt.Errorf("%w: %w", PolicyError, err)}
	}
	if err := verdict.Check(); err != nil {
		return Judgement{verdict, err}
	}
	return Judgement{verdict, facts.checkTickets(verdict.BreakGlass)}
}

// Compare holds what a candidate said against what the policy in force did, both as the
// operation enforces them. It is nil where both come to the same answer for the same
// reasons.
func (t *Trial) Compare(would Judgement) *Difference {
	before, was := t.enforced(t.InForce)
	after, then := t.enforced(would)
	d := Difference{Candidate: t.Candidate.Digest, Was: was, Would: then}
	for _, each := range []struct {
		name string
		same bool
	}{
		{"allowed", was.Allowed == then.Allowed},
		{"reason", was.Reason == then.Reason && was.PolicyReason == then.PolicyReason},
		{"refusals", slices.Equal(was.Refusals, then.Refusals)},
		{"waived", slices.Equal(was.Waived, then.Waived)},
		{"break_glass", slices.Equal(ordered(before.BreakGlass), ordered(after.BreakGlass))},
		{"observed", slices.Equal(was.Observed, then.Observed)},
		{"step_up", reflect.DeepEqual(before.StepUp, after.StepUp)},
		{"limits", slices.Equal(before.Limits, after.Limits)},
		{"headers", slices.Equal(before.Reply.Headers, after.Reply.Headers)},
		{"response_headers_to_add", slices.Equal(before.Reply.ResponseHeaders, after.Reply.ResponseHeaders)},
		{"request_headers_to_remove", slices.Equal(before.Reply.RemoveHeaders, after.Reply.RemoveHeaders)},
		{"query_parameters_to_set", slices.Equal(before.Reply.SetQuery, after.Reply.SetQuery)},
		{"query_parameters_to_remove", slices.Equal(before.Reply.RemoveQuery, after.Reply.RemoveQuery)},
		{"http_status", before.Reply.Status == after.Reply.Status},
		{"body", before.Reply.Body == after.Reply.Body},
		{"dynamic_metadata", len(before.Reply.Metadata) == 0 && len(after.Reply.Metadata) == 0 || reflect.DeepEqual(before.Reply.Metadata, after.Reply.Metadata)},
	} {
		if !each.same {
			d.Differs = append(d.Differs, each.name)
		}
	}
	if d.Differs == nil {
		return nil
	}
	return &d
}

// enforced is a judgement as the operation enforces it.
func (t *Trial) enforced(j Judgement) (Verdict, Outcome) {
	if j.Err != nil {
		return Verdict{}, Outcome{Reason: ReasonOf(j.Err), Detail: j.Err.Error()}
	}
	v, observed := j.Verdict.Enforced(t.Facts.Match.Operation.Observes)
	return v, Outcome{Allowed: v.Allowed, Reason: v.Outcome(), PolicyReason: v.Reason,
		Refusals: ordered(v.Refusals), Waived: ordered(v.Waived), Observed: ordered(observed)}
}

func ordered(codes []string) []string { return slices.Compact(slices.Sorted(slices.Values(codes))) }

// try offers a decision that stands to be tried, where a policy decided and another is
// tried beside it. A panic there is no reason to take back what is recorded.
func (p *Pipeline) try(s *Snapshot, d *Decision, f *Facts) {
	if p.Shadow == nil || s == nil || s.Candidate == nil || f.Judged == nil || d.Reason == DeadlineExceeded {
		return
	}
	defer func() { _ = recover() }()
	p.Shadow.Offer(Trial{Candidate: s.Candidate, Decision: d, Facts: f, InForce: *f.Judged})
}
