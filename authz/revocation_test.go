package authz

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestRevocation holds what is asked of revocations: that a token is revoked counts
// however old that is, that it is not only as the contract requires.
func TestRevocation(t *testing.T) {
	tests := []struct {
		name     string
		requires bool
		revoked  bool
		age      time.Duration
		want     Reason
	}{
		{"not revoked", false, false, 0, Granted},
		{"revoked", false, true, 0, TokenRevoked},
		{"revoked, as was known long ago", false, true, time.Hour, TokenRevoked},
		{"not revoked, as was known long ago", false, false, time.Hour, Granted},
		{"required, and known now", true, false, 0, Granted},
		{"required, and known by a clock ahead of ours", true, false, -time.Second, Granted},
		{"required, and known five seconds ago", true, false, 5 * time.Second, Granted},
		{"required, and known longer ago", true, false, 5*time.Second + 1, RevocationsUnavailable},
		{"required, known longer ago, and revoked", true, true, time.Hour, TokenRevoked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := allowing()
			f.requires(test.requires)
			f.revoked = func() (bool, time.Time) { return test.revoked, testTime.Add(-test.age) }
			if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != test.want {
				t.Errorf("Check() = %v (%s), want %v", got.Reason, got.Detail, test.want)
			}
		})
	}
}

// TestNothingWasEverKnown holds that no token is taken by one who started without the
// store, however little the operation requires: it may have been revoked before.
func TestNothingWasEverKnown(t *testing.T) {
	for _, requires := range []bool{false, true} {
		f := allowing()
		f.requires(requires)
		f.revoked = func() (bool, time.Time) { return false, time.Time{} }
		if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != RevocationsUnavailable {
			t.Errorf("required %t: Check() = %v (%s), want %v", requires, got.Reason, got.Detail, RevocationsUnavailable)
		}
	}
}

// TestNothingIsFollowed holds that who requires to know of revocations is refused where
// nobody follows any.
func TestNothingIsFollowed(t *testing.T) {
	for requires, want := range map[bool]Reason{false: Granted, true: RevocationsUnavailable} {
		f := allowing()
		f.requires(requires)
		p := f.pipeline()
		p.Revocations = nil
		if got := p.Check(t.Context(), getAccount()); got.Reason != want {
			t.Errorf("required %t: Check() = %v, want %v", requires, got.Reason, want)
		}
	}
}

// TestNobodysTokenIsRevoked holds that who needs no token is not asked whether it was
// revoked, though the operation requires to know.
func TestNobodysTokenIsRevoked(t *testing.T) {
	f := allowing()
	f.match = func() (Match, error) {
		return Match{API: "bank", Operation: &Operation{ID: "public", RequireRevocations: true}}, nil
	}
	f.token = func(context.Context) (*Token, error) { return nil, NoCredentials }
	f.revoked = func() (bool, time.Time) { t.Error("asked"); return true, time.Time{} }
	if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != Granted {
		t.Errorf("Check() = %v, want granted", got.Reason)
	}
}

// TestBestEffort holds that what cannot be counted lets safe requests go on where the
// contract says so, and no others, and that the record says what was not checked.
func TestBestEffort(t *testing.T) {
	tests := []struct {
		name      string
		method    string
		effort    bool
		uncounted bool
		spend     func(context.Context, []Limit) (Spending, error)
		want      Reason
		unchecked []Reason
	}{
		{"all is counted", "GET", true, false, spent(true), Granted, nil},
		{"limits are away", "GET", true, false, away, Granted, []Reason{LimitsUnavailable}},
		{"limits are away, and only the head is asked for", "HEAD", true, false, away, Granted, []Reason{LimitsUnavailable}},
		{"the proof and limits are away", "GET", true, true, away, Granted, []Reason{ReplaysUnavailable, LimitsUnavailable}},
		{"the proof is away", "GET", true, true, spent(true), Granted, []Reason{ReplaysUnavailable}},
		{"limits are counted, and there is no room", "GET", true, false, failing(errors.New("full")), LimitsUnavailable, nil},
		{"counting limits panics", "GET", true, false, func(context.Context, []Limit) (Spending, error) { panic("zz") }, LimitsUnavailable, nil},
		{"a limit is spent", "GET", true, false, spent(false), LimitReached, nil},
		{"the contract does not say so", "GET", false, false, away, LimitsUnavailable, nil},
		{"an unsafe method", "POST", true, false, away, LimitsUnavailable, nil},
		{"an unsafe method that changes nothing twice", "PUT", true, false, away, LimitsUnavailable, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := allowing()
			f.limited(1)
			f.spend = test.spend
			asking := *operation
			asking.Method, asking.BestEffort = test.method, test.effort
			f.match = func() (Match, error) { return Match{API: "bank", Operation: &asking}, nil }
			token := *ann
			token.Uncounted = test.uncounted
			f.token = func(context.Context) (*Token, error) { return &token, nil }
			got := f.pipeline().Check(t.Context(), getAccount())
			if got.Reason != test.want {
				t.Errorf("Check() = %v (%s), want %v", got.Reason, got.Detail, test.want)
			}
			if diff := gocmp.Diff(test.unchecked, got.Unchecked); diff != "" {
				t.Errorf("unchecked (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(test.unchecked, f.offers()[0].Facts.Unchecked()); diff != "" {
				t.Errorf("unchecked in the record (-want +got):\n%s", diff)
			}
		})
	}
}

func away(context.Context, []Limit) (Spending, error) {
	return Spending{}, fmt.Errorf("wrapped: %w", ErrNoAnswer)
}

func failing(err error) func(context.Context, []Limit) (Spending, error) {
	return func(context.Context, []Limit) (Spending, error) { return Spending{}, err }
}

func spent(ok bool) func(context.Context, []Limit) (Spending, error) {
	return func(context.Context, []Limit) (Spending, error) { return Spending{OK: ok}, nil }
}

func TestAMatchOfNothingIsNoBestEffort(t *testing.T) {
	if (Match{API: "bank"}).BestEffort() {
		t.Error("BestEffort() of no operation = true, want false")
	}
}
