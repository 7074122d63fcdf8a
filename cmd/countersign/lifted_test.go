package main

import (
	"testing"

	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// TestWhatIsNotEnforcedIsSaidFirst holds the first line of a record of an allow that would
// have been a denial; none says so by accident.
func TestWhatIsNotEnforcedIsSaidFirst(t *testing.T) {
	tests := []struct {
		name   string
		record *decisionv1.Decision
		want   string
	}{
		{"an allow", &decisionv1.Decision{Unchecked: []string{"limits_unavailable"}}, "ALLOWED"},
		{"one refusal is observed", &decisionv1.Decision{Observed: []string{"not_owner:account"}}, "ALLOWED, though not_owner is only observed"},
		{"of two objects", &decisionv1.Decision{Observed: []string{"not_owner:account", "not_owner:card"}}, "ALLOWED, though not_owner is only observed"},
		{"several are", &decisionv1.Decision{Observed: []string{"object_missing", "not_owner:account", "region"}}, "ALLOWED, though object_missing, not_owner and region are only observed"},
		{"the glass was broken", &decisionv1.Decision{BreakGlass: []string{"INC-1", "INC-2"}}, "ALLOWED, by broken glass: INC-1, INC-2"},
		{"both", &decisionv1.Decision{Observed: []string{"region"}, BreakGlass: []string{"INC-1"}}, "ALLOWED, though region is only observed, by broken glass: INC-1"},
		{"a dry run", &decisionv1.Decision{Unchecked: []string{"policy_denied"}}, "ALLOWED, though the policy denies: it is only tried (dry_run)"},
		{"what moves the cursor", &decisionv1.Decision{BreakGlass: []string{"a\x1b[2J"}}, `ALLOWED, by broken glass: "a\x1b[2J"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := liftedThen(test.record).allowed(); got != test.want {
				t.Errorf("allowed() = %s, want %s", got, test.want)
			}
		})
	}
}
