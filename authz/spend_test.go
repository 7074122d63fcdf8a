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

// limitedBy is a contract's operation with limits per client and per subject.
func limitedBy(f *fakes) {
	limited := *operation
	limited.Limits = []LimitRule{{Per: PerClient, Max: 100, Window: time.Minute}, {Per: PerSubject, Max: 4, Window: 24 * time.Hour}}
	f.match = func() (Match, error) { return Match{API: "bank", Operation: &limited}, nil }
}

// The contract's limits are spent with the policy's, in one step, whatever the policy says.
func TestLimitsOfTheContractAreSpentWithThePolicys(t *testing.T) {
	for _, policys := range []int{0, 1, 8} {
		f := allowing()
		f.limited(policys)
		limitedBy(f)
		var names []string
		f.spend = func(_ context.Context, limits []Limit) (Spending, error) {
			for _, limit := range limits[policys:] {
				if err := limit.Check(); err != nil {
					t.Errorf("limit %s: %v", limit.Name, err)
				}
				names = append(names, limit.Name)
			}
			return Spending{OK: true}, nil
		}
		f.pipeline().Check(t.Context(), getAccount())
		if diff := cmp.Diff([]string{"client_60", "subject_86400"}, names); diff != "" {
			t.Errorf("limits after the policy's %d (-want +got):\n%s", policys, diff)
		}
	}
}

// TestWhoSharesALimitOfAContract holds each caller against another, whose calls count
// as theirs or do not.
func TestWhoSharesALimitOfAContract(t *testing.T) {
	other := *operation
	other.ID = "ReadBalances"
	elsewhere := *operation
	elsewhere.API = "cards"
	base := Caller{Issuer: "i", Subject: "ann", Client: "acme"}
	tests := []struct {
		name            string
		operation       *Operation
		caller          Caller
		client, subject bool // shared
	}{
		{"the same", operation, base, true, true},
		{"another subject", operation, Caller{Issuer: "i", Subject: "bob", Client: "acme"}, true, false},
		{"another client", operation, Caller{Issuer: "i", Subject: "ann", Client: "other"}, false, true},
		{"another issuer", operation, Caller{Issuer: "j", Subject: "ann", Client: "acme"}, false, false},
		{"a client named like the issuer's end", operation, Caller{Issuer: `i" "acme`, Subject: "", Client: ""}, false, false},
		{"another operation", &other, base, false, false},
		{"another API", &elsewhere, base, false, false},
	}
	for _, test := range tests {
		for per, want := range map[Per]bool{PerClient: test.client, PerSubject: test.subject} {
			rule := LimitRule{Per: per, Max: 1, Window: time.Minute}
			if shared := rule.of(operation, base).Counter() == rule.of(test.operation, test.caller).Counter(); shared != want {
				t.Errorf("%s: per %s: shared %t, want %t", test.name, per, shared, want)
			}
		}
	}
}
