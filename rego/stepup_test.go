package rego

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// TestStepUp holds what the contract asks of the user's authentication (RFC 9470) against
// what the token says of it, and that a refusal asks for all that the contract does.
func TestStepUp(t *testing.T) {
	e := standardEngine(t)
	asked := authz.StepUp{ACRValues: []string{"loa3", "loa2"}, MaxAge: 5 * time.Minute}
	acr, age := authz.StepUp{ACRValues: asked.ACRValues}, authz.StepUp{MaxAge: asked.MaxAge}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, test := range []struct {
		name     string
		asked    authz.StepUp
		acr      string
		authTime time.Time
		allowed  bool
	}{
		{"U2 the first of the values", acr, "loa3", time.Time{}, true},
		{"U2 another of them", acr, "loa2", time.Time{}, true},
		{"U2 one that is none of them", acr, "loa1", time.Time{}, false},
		{"U2 one that sounds stronger: values have no order", acr, "loa4", time.Time{}, false},
		{"U2 one in another case", acr, "LOA3", time.Time{}, false},
		{"U2 one that begins like another", acr, "loa", time.Time{}, false},
		{"U3 no acr", acr, "", ago(0), false},
		{"U3 no auth_time", age, "loa3", time.Time{}, false},
		{"U3 neither", asked, "", time.Time{}, false},
		{"U4 as long ago as may be", age, "", ago(5 * time.Minute), true},
		{"U4 a nanosecond longer", age, "", ago(5*time.Minute + 1), false},
		{"U4 to come", age, "", ago(-1), false},
		{"U5 both", asked, "loa2", ago(time.Minute), true},
		{"U5 strong enough, and too long ago", asked, "loa3", ago(time.Hour), false},
		{"U5 recent enough, and too weak", asked, "loa1", ago(time.Minute), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			facts := fullFacts()
			facts.Match.Operation.StepUp = &test.asked
			facts.Token.ACR, facts.Token.AuthTime = test.acr, test.authTime
			want := authz.Verdict{Allowed: true}
			if !test.allowed {
				want = authz.Verdict{Reason: "step_up", Refusals: []string{"step_up"}, StepUp: &test.asked}
			}
			if diff := cmp.Diff(want, decide(t, e, facts)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStepUpOfAPolicy has a policy ask for what no contract does.
func TestStepUpOfAPolicy(t *testing.T) {
	e := own(t, `package site

decision := {"allowed": true} if input.token.acr == "loa4"
else := {"allowed": false, "reason": "too_weak", "step_up": {"acr_values": ["loa4", "loa5"], "max_age": 60000000000}}
`)
	want := authz.Verdict{Reason: "too_weak", Refusals: []string{"too_weak"},
		StepUp: &authz.StepUp{ACRValues: []string{"loa4", "loa5"}, MaxAge: time.Minute}}
	if diff := cmp.Diff(want, decide(t, e, fullFacts())); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}
