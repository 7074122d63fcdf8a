package authz

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is refused for another reason costs nothing, and neither does what has no limits.
func TestOnlyAllowsAreSpent(t *testing.T) {
	limits := []Limit{{Name: "a", Key: "k", Max: 1, Window: time.Minute}}
	tests := []struct {
		name    string
		verdict Verdict
		want    bool
	}{
		{"an allow", Verdict{Allowed: true, Limits: limits}, true},
		{"an allow without limits", Verdict{Allowed: true}, false},
		{"a denial", Verdict{Limits: limits}, false},
		{"a denial that asks for step-up", Verdict{StepUp: &StepUp{}, Limits: limits}, false},
		{"an allow that cannot be sent", Verdict{Allowed: true, Limits: limits, Reason: "Not A Code"}, false},
	}
	for _, test := range tests {
		f := allowing()
		f.policy = func(context.Context, *Facts) (Verdict, error) { return test.verdict, nil }
		f.pipeline().Check(t.Context(), getAccount())
		if spent := slices.Contains(f.asked, "limits"); spent != test.want {
			t.Errorf("%s: limits are spent: %t, want %t", test.name, spent, test.want)
		}
	}
}

// The decision tells what is left, with an allow and a refusal, and the record which
// limit it was, not whose.
func TestDecisionTellsWhatIsLeft(t *testing.T) {
	left := []Allowance{{Limit: Limit{Name: "per_day", Key: "ann"}, Remaining: 5}, {Limit: Limit{Name: "per_minute", Key: "ann"}, Remaining: 0}}
	for _, ok := range []bool{true, false} {
		f := allowing()
		f.limited(2)
		f.spend = func(context.Context, []Limit) (Spending, error) { return Spending{OK: ok, Left: left}, nil }
		got := f.pipeline().Check(t.Context(), getAccount())
		if got.Allowed != ok {
			t.Errorf("Check() = allowed %t, want %t", got.Allowed, ok)
		}
		if diff := cmp.Diff(Spending{OK: ok, Left: left}, got.Spending); diff != "" {
			t.Errorf("Spending (-want +got):\n%s", diff)
		}
		if !ok && (got.Detail != "limits: limit_reached: per_minute" || strings.Contains(got.Detail, "ann")) {
			t.Errorf("Detail = %q, want the name of what is spent", got.Detail)
		}
	}
}

func TestLimitsWithoutALimiterAreRefused(t *testing.T) {
	f := allowing()
	f.limited(1)
	p := f.pipeline()
	p.Limiter = nil
	if got := p.Check(t.Context(), getAccount()); got.Allowed || got.Reason != LimitsUnavailable {
		t.Errorf("Check() = allowed %t, %v, want %v", got.Allowed, got.Reason, LimitsUnavailable)
	}
}
