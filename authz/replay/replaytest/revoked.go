package replaytest

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
)

// revoked holds that what one client revokes is known to the other, and to one that
// comes later, and nothing else is.
func revoked(t *testing.T, logs Logs) {
	one, two := follow(t, logs[0]), follow(t, logs[1])
	token := func(n int) *authz.Token {
		return &authz.Token{Issuer: "https://login.bank.example", Claims: map[string]any{"jti": fmt.Sprint(n)}, IssuedAt: time.Now()}
	}
	store := replay.New(nil, logs[0])
	for n := range 1_100 { // more than a log returns at once
		if err := store.Revoke(t.Context(), replay.Revocation{Issuer: token(n).Issuer, ID: fmt.Sprint(n)}, time.Now().Add(time.Hour)); err != nil {
			t.Fatalf("Revoke() = %v, want no error", err)
		}
	}
	for _, r := range []*replay.Revocations{one, two, follow(t, logs[1])} {
		Eventually(t, "the last token to be revoked", func() bool { return is(r, token(1_099)) })
		for n := range 1_100 {
			if !is(r, token(n)) {
				t.Fatalf("token %d is not revoked, want it revoked", n)
			}
		}
		if is(r, token(1_100)) {
			t.Error("a token that nobody revoked is revoked")
		}
		if state := r.State(); state.Lost != 0 || state.Fault != nil {
			t.Errorf("State() = %+v, want none lost and no fault", state)
		}
	}
}

func follow(t *testing.T, log replay.Log) *replay.Revocations {
	t.Helper()
	r := replay.Follow(log, nil)
	t.Cleanup(r.Close)
	return r
}

func is(r *replay.Revocations, token *authz.Token) bool {
	revoked, _ := r.Revoked(token)
	return revoked
}

// Eventually fails the test where something does not come to hold within ten seconds.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	end := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("waited ten seconds for %s", what)
		}
		<-poll.C
	}
}
