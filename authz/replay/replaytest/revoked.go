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
func revoked(t *testing.T, f Fixture) {
	one, two := follow(t, f, 0), follow(t, f, 1)
	token := func(n int) *authz.Token {
		return &authz.Token{Issuer: "https://login.bank.example", Claims: map[string]any{"jti": fmt.Sprint(n)}, IssuedAt: f.Now()}
	}
	for n := range 1_500 { // more than an engine returns at once
		if err := one.Revoke(t.Context(), replay.Revocation{Issuer: token(n).Issuer, ID: fmt.Sprint(n)}, f.Now().Add(time.Hour)); err != nil {
			t.Fatalf("Revoke() = %v, want no error", err)
		}
	}
	for _, r := range []*replay.Revocations{one, two, follow(t, f, 1)} {
		Eventually(t, "the last token to be revoked", func() bool { return is(r, token(1_499)) })
		for n := range 1_500 {
			if !is(r, token(n)) {
				t.Fatalf("token %d is not revoked, want it revoked", n)
			}
		}
		if is(r, token(1_500)) {
			t.Error("a token that nobody revoked is revoked")
		}
	}
}

func follow(t *testing.T, f Fixture, client int) *replay.Revocations {
	t.Helper()
	r := replay.Follow(f.Clients[client], f.Now)
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
