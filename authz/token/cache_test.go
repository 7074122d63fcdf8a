package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

func TestKnownTokenIsNotVerifiedAgain(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	for range 10 {
		token, err := verify(verifier, credential)
		wantReason(t, token, err, authz.Internal)
	}
	if got := keys.asked.Load(); got != 1 {
		t.Errorf("the key was asked for %d times, want once", got)
	}
	at := now.Add(defaultMaxAge)
	credential = sign(goodHeader(), with(goodClaims(), "exp", now.Add(time.Hour).Unix()))
	for _, at := range []time.Time{now, at.Add(-1), at, at} {
		if _, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), nil, at); err != nil {
			t.Errorf("Verify() = %v", err)
		}
	}
	if got := keys.asked.Load(); got != 3 {
		t.Errorf("the key was asked for %d times, want once more after max_age", got-1)
	}
}

func TestKnownTokenExpires(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	credential := sign(goodHeader(), with(goodClaims(), "exp", now.Add(time.Minute).Unix()))
	for _, step := range []struct {
		after time.Duration
		want  authz.Reason
	}{{0, authz.Internal}, {69 * time.Second, authz.Internal}, {70 * time.Second, authz.TokenExpired}, {-2 * time.Minute, authz.TokenNotYetValid}, {0, authz.Internal}} {
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), nil, now.Add(step.after))
		wantReason(t, token, err, step.want)
	}
}

func TestKnownTokenForAnotherAPI(t *testing.T) {
	cfg := goodConfig()
	cfg.APIs["payments"] = API{Audiences: []string{"https://rs.example/payments"}}
	verifier := newVerifier(t, cfg, newFakeKeys(allKeys()...))
	credential := sign(goodHeader(), goodClaims())
	token, err := verify(verifier, credential)
	wantReason(t, token, err, authz.Internal)
	token, err = verifier.Verify(context.Background(), authz.Match{API: "payments"}, bearing(credential), nil, now)
	wantReason(t, token, err, authz.TokenAudience)
}

func TestRemovedKeyStopsKnownTokens(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	token, err := verify(verifier, credential)
	wantReason(t, token, err, authz.Internal)

	keys.publish(jwkOf(keyFor("PS256"), "RS"))
	token, err = verify(verifier, credential)
	wantReason(t, token, err, authz.TokenKey)

	other := jwkOf(keyFor("ES384"), "ES256")
	keys.publish(other)
	token, err = verify(verifier, credential)
	wantReason(t, token, err, authz.TokenKey)

	keys.publish(allKeys()...)
	token, err = verify(verifier, credential)
	wantReason(t, token, err, authz.Internal)
}

// TestKeyRemovedDuringVerification has a key removed after it was looked up, and before
// what it verified is handed out: to those who joined, too, the key is gone.
func TestKeyRemovedDuringVerification(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	keys.hold()
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	var group sync.WaitGroup
	group.Go(func() {
		token, err := verify(verifier, credential)
		wantReason(t, token, err, authz.TokenKey)
	})
	<-keys.arrived
	keys.publish()
	close(keys.gate)
	group.Wait()
}

func TestFailuresAreNotRemembered(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	keys.fault = fmt.Errorf("keys: %w", authz.KeysUnavailable)
	token, err := verify(verifier, credential)
	wantReason(t, token, err, authz.KeysUnavailable)
	keys.fault = nil
	token, err = verify(verifier, credential)
	wantReason(t, token, err, authz.Internal)
}

func TestOneVerificationInFlight(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	keys.hold()
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	var group sync.WaitGroup
	tokens := make([]*authz.Token, 20)
	for i := range tokens {
		group.Go(func() { tokens[i], _ = verify(verifier, credential) })
	}
	<-keys.arrived
	// Who waits does so no longer than his own ctx lets him.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := verifier.Verify(ctx, authz.Match{API: accounts}, bearing(credential), nil, now); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify() with a ctx that has ended = %v", err)
	}
	close(keys.gate)
	group.Wait()
	for i, token := range tokens {
		if token == nil || token != tokens[0] {
			t.Errorf("caller %d got %p, want %p", i, token, tokens[0])
		}
	}
	if got := keys.asked.Load(); got != 1 {
		t.Errorf("verified %d times, want once", got)
	}
}

// TestOwnerGivesUp has the caller who verifies for all end first: another takes over.
func TestOwnerGivesUp(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	keys.hold()
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := verifier.Verify(ctx, authz.Match{API: accounts}, bearing(credential), nil, now); !errors.Is(err, context.Canceled) {
			t.Errorf("the owner got %v, want %v", err, context.Canceled)
		}
	})
	<-keys.arrived
	group.Go(func() {
		token, err := verify(verifier, credential)
		wantReason(t, token, err, authz.Internal)
	})
	cancel()
	<-keys.arrived
	close(keys.gate)
	group.Wait()
}

func TestRotationWhileInUse(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	verifier := newVerifier(t, goodConfig(), keys)
	credential := sign(goodHeader(), goodClaims())
	all, none := allKeys(), []object{jwkOf(keyFor("PS256"), "RS")}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := verify(verifier, credential); err != nil && !errors.Is(err, authz.TokenKey) {
					t.Errorf("Verify() = %v, want a token or %v", err, authz.TokenKey)
				}
			}
		})
	}
	for range 50 {
		keys.publish(none...)
		if _, err := verify(verifier, credential); !errors.Is(err, authz.TokenKey) {
			t.Errorf("Verify() = %v once the key is removed, want %v", err, authz.TokenKey)
		}
		keys.publish(all...)
		if _, err := verify(verifier, credential); err != nil && !errors.Is(err, authz.TokenKey) {
			t.Errorf("Verify() = %v", err)
		}
	}
	close(done)
	group.Wait()
	token, err := verify(verifier, credential)
	wantReason(t, token, err, authz.Internal)
}

func BenchmarkVerify(b *testing.B) {
	claims := with(goodClaims(), "roles", []string{"teller"}, "region", "GB", "acr", "loa3", "amr", []string{"pwd", "otp"}, "tenant", "retail",
		"openbanking_intent_id", "c-1", "auth_time", now.Add(-time.Hour).Unix())
	for _, algorithm := range []string{"ES256", "PS256"} {
		credential := sign(with(goodHeader(), "alg", algorithm, "kid", absent), claims)
		request := bearing(credential)
		verifier := newVerifier(b, goodConfig(), newFakeKeys(allKeys()...))
		run := func(name string, forget bool) {
			b.Run(algorithm+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if forget {
						verifier.cache.tokens.InvalidateAll()
					}
					if _, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, nil, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("known", false)
		run("fresh", true)
	}
}

// TestTimesComeBeforeTheAudience holds the order of a token that was seen before to that
// of one that is new.
func TestTimesComeBeforeTheAudience(t *testing.T) {
	const payments = authz.API("payments")
	cfg := goodConfig()
	cfg.APIs[payments] = API{Audiences: []string{"https://rs.example/payments"}}
	keys := newFakeKeys(allKeys()...)
	token := sign(goodHeader(), with(goodClaims(), "exp", now.Add(time.Minute).Unix()))
	for _, seen := range []bool{false, true} {
		verifier := newVerifier(t, cfg, keys)
		if seen {
			accepted, err := verify(verifier, token)
			wantReason(t, accepted, err, authz.Internal)
		}
		late, err := verifier.Verify(t.Context(), authz.Match{API: payments}, bearing(token), nil, now.Add(2*time.Minute))
		wantReason(t, late, err, authz.TokenExpired)
	}
}
