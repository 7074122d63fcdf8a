package explain

import (
	"context"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// TestAloneIsExplained holds what is told of an API that has nothing but its policy.
func TestAloneIsExplained(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*fakeSteps)
		outcome Outcome
		reason  authz.Reason
		check   bool
	}{
		{"allowed", func(*fakeSteps) {}, Passed, authz.Granted, false},
		{"denied", func(f *fakeSteps) { f.verdict = authz.Verdict{} }, Refused, authz.PolicyDenied, false},
		{"a body that cannot be parsed", func(f *fakeSteps) { f.faults = map[step]error{deciding: authz.BodyMalformed} }, Refused, authz.BodyMalformed, true},
		{"a policy that cannot decide", func(f *fakeSteps) { f.faults = map[step]error{deciding: context.DeadlineExceeded} }, Refused, authz.PolicyError, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakes()
			test.change(f)
			alone := NewAlone(authz.PolicyOnly{API: "bank", Policy: f, Now: func() time.Time { return testTime }})
			request := &authz.Request{API: "bank", Method: "GET", Target: "/a?b"}
			decision := alone.Check(t.Context(), request)
			if second := alone.Check(t.Context(), request); second.Reason != authz.NotRecorded {
				t.Errorf("a second check is %v, want %v", second.Reason, authz.NotRecorded)
			}
			e, err := alone.Explain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.Decision.ID != decision.ID || len(e.Steps) != 1 || e.Steps[0].Name != "policy" || e.Steps[0].Outcome != test.outcome ||
				e.Decision.Reason != test.reason || (e.Check != nil) != test.check || !e.Decided() || e.Facts.Request != request {
				t.Errorf("explains %+v, with the check %+v", e, e.Check)
			}
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := alone.Explain(over); err == nil {
				t.Error("a check is explained twice")
			}
		})
	}
}
