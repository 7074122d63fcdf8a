package envoy

import (
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// spending is of a limit a minute that is spent, if not ok, and one a day that is not.
func spending(ok bool) authz.Spending {
	left := []authz.Allowance{
		{Limit: authz.Limit{Name: "per_minute", Key: "secret", Max: 100, Window: time.Minute}, Remaining: 0, Reset: 30*time.Second + time.Millisecond},
		{Limit: authz.Limit{Name: "per_day", Key: "secret", Max: 4, Window: 24 * time.Hour}, Remaining: 3, Reset: 5 * time.Hour},
	}
	return authz.Spending{OK: ok, Left: left}
}

const (
	quotaPolicy = `"per_minute";q=100;w=60, "per_day";q=4;w=86400`
	quotaLeft   = `"per_minute";r=0;t=31, "per_day";r=3;t=18000`
)

func TestRefusalForALimitTellsWhenItIsFree(t *testing.T) {
	fields := headersOf(refuse(t, Config{}, httpCheck("GET", "/accounts", nil), authz.Decision{Reason: authz.LimitReached, Spending: spending(false)}).GetDeniedResponse())
	for name, want := range map[string]string{"retry-after": "31", "ratelimit-policy": quotaPolicy, "ratelimit": quotaLeft, "cache-control": "no-store"} {
		if got := fields[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestAllowTellsWhatIsLeft(t *testing.T) {
	ok := allowed(&authz.Request{}, &authz.Decision{Allowed: true, Spending: spending(true)})
	fields := map[string]string{}
	for _, field := range ok.ResponseHeadersToAdd {
		fields[field.Header.Key] = field.Header.Value
	}
	if fields["ratelimit-policy"] != quotaPolicy || fields["ratelimit"] != quotaLeft || len(fields) != 2 {
		t.Errorf("the caller is told %v, want what is left", fields)
	}
	if got := allowed(&authz.Request{}, &authz.Decision{Allowed: true}).ResponseHeadersToAdd; len(got) > 0 {
		t.Errorf("without limits the caller is told %v, want nothing", got)
	}
}

// What was spent is not told with a refusal of another reason: it says nothing of it.
func TestOtherRefusalsTellNoLimits(t *testing.T) {
	fields := headersOf(refuse(t, Config{}, httpCheck("GET", "/accounts", nil), authz.Decision{Reason: authz.LimitsUnavailable, Spending: spending(true)}).GetDeniedResponse())
	if len(fields["ratelimit"]) > 0 || fields["retry-after"][0] != "1" {
		t.Errorf("a 503 tells %v, want no limits", fields)
	}
}
