package explain

import (
	"context"

	"github.com/countersign-io/countersign/authz"
)

// Alone decides one request of an API that has nothing but its policy, and keeps what the
// policy said. It is good for one check.
type Alone struct {
	check authz.PolicyOnly
	kept  chan authz.Record
}

var (
	_ authz.Checker  = (*Alone)(nil)
	_ authz.Recorder = (*Alone)(nil)
)

// NewAlone returns an Alone that decides as that one does, and writes nothing.
func NewAlone(as authz.PolicyOnly) *Alone {
	a := &Alone{check: as, kept: make(chan authz.Record, 1)}
	a.check.Recorder = a
	return a
}

// Check implements authz.Checker.
func (a *Alone) Check(ctx context.Context, request *authz.Request) authz.Decision {
	return a.check.Check(ctx, request)
}

// Record implements authz.Recorder, and writes nothing.
func (a *Alone) Record(_ context.Context, record authz.Record) error {
	select {
	case a.kept <- record:
		return nil
	default:
		return errSecond
	}
}

// Abandon implements authz.Recorder: nothing was written.
func (a *Alone) Abandon(authz.Record) {}

// Explain tells of the check that was made, as Checker.Explain does: its one step.
func (a *Alone) Explain(ctx context.Context) (*Explanation, error) {
	select {
	case record := <-a.kept:
		t := &telling{decision: record.Decision, facts: record.Facts, hidden: credentialsOf(record.Facts.Request), refusing: atPolicy}
		if t.decision.Allowed {
			t.refusing = nowhere
		}
		request := &words{hidden: t.hidden}
		t.request(request)
		t.calls[deciding].begun = true
		return &Explanation{Decision: *t.decision, Time: t.facts.Time, Request: request.facts, Steps: []Step{t.step(atPolicy, t.policy)},
			Check: t.check(), Facts: t.facts, hidden: t.hidden}, nil
	case <-ctx.Done():
		return nil, errUnfinished
	}
}
