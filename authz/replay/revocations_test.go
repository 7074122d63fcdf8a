package replay_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/memory"
	"github.com/countersign-io/countersign/authz/replay/replaytest"
)

const (
	bank      = "https://login.bank.example"
	elsewhere = "https://login.elsewhere.example"
)

var noon = time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)

// token is one of the bank's, for ann through acme, issued at noon.
func token(change func(*authz.Token)) *authz.Token {
	token := &authz.Token{
		Issuer: bank, Caller: authz.Caller{Issuer: bank, Subject: "ann", Client: "acme"},
		Claims: map[string]any{"jti": "1"}, IssuedAt: noon,
	}
	if change != nil {
		change(token)
	}
	return token
}

// followed are the revocations of an engine that were caught up with once.
func followed(t *testing.T, engine replay.Engine) *replay.Revocations {
	t.Helper()
	r := replay.Follow(engine, func() time.Time { return noon })
	t.Cleanup(r.Close)
	return r
}

func TestRevokedTokens(t *testing.T) {
	tests := []struct {
		name       string
		revocation replay.Revocation
		token      *authz.Token
		want       bool
	}{
		{"by id", replay.Revocation{Issuer: bank, ID: "1"}, token(nil), true},
		{"by subject", replay.Revocation{Issuer: bank, Subject: "ann"}, token(nil), true},
		{"by client", replay.Revocation{Issuer: bank, Client: "acme"}, token(nil), true},
		{"by subject and client", replay.Revocation{Issuer: bank, Subject: "ann", Client: "acme"}, token(nil), true},
		{"by issuer, in that second", replay.Revocation{Issuer: bank, IssuedBefore: noon.Add(time.Millisecond)}, token(nil), true},
		{"by issuer, earlier", replay.Revocation{Issuer: bank, IssuedBefore: noon.Add(time.Hour)}, token(nil), true},
		{"by subject, issued before", replay.Revocation{Issuer: bank, Subject: "ann", IssuedBefore: noon}, token(nil), true},
		{"without a time of issue", replay.Revocation{Issuer: bank, Subject: "ann", IssuedBefore: noon}, token(func(t *authz.Token) { t.IssuedAt = time.Time{} }), true},
		{"without an id, by subject", replay.Revocation{Issuer: bank, Subject: "ann"}, token(func(t *authz.Token) { t.Claims = nil }), true},

		{"another id", replay.Revocation{Issuer: bank, ID: "2"}, token(nil), false},
		{"another subject", replay.Revocation{Issuer: bank, Subject: "bob"}, token(nil), false},
		{"another client", replay.Revocation{Issuer: bank, Client: "other"}, token(nil), false},
		{"the subject through another client", replay.Revocation{Issuer: bank, Subject: "ann", Client: "other"}, token(nil), false},
		{"another's through the client", replay.Revocation{Issuer: bank, Subject: "bob", Client: "acme"}, token(nil), false},
		{"a client of the subject's name", replay.Revocation{Issuer: bank, Client: "ann"}, token(nil), false},
		{"an id of the subject's name", replay.Revocation{Issuer: bank, ID: "ann"}, token(nil), false},
		{"another issuer's id", replay.Revocation{Issuer: elsewhere, ID: "1"}, token(nil), false},
		{"another issuer's subject", replay.Revocation{Issuer: elsewhere, Subject: "ann"}, token(nil), false},
		{"by issuer, issued later", replay.Revocation{Issuer: bank, IssuedBefore: noon.Add(-time.Second)}, token(nil), false},
		{"by subject, issued later", replay.Revocation{Issuer: bank, Subject: "ann", IssuedBefore: noon.Add(-time.Second)}, token(nil), false},
		{"an issuer that ends where the subject begins", replay.Revocation{Issuer: bank + "a", Subject: "nn"}, token(nil), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := followed(t, memory.New(memory.Config{}))
			if revoked, _ := r.Revoked(test.token); revoked {
				t.Fatal("Revoked() before = true, want false")
			}
			if err := r.Revoke(t.Context(), test.revocation, noon.Add(time.Hour)); err != nil {
				t.Fatalf("Revoke() = %v, want no error", err)
			}
			if revoked, _ := r.Revoked(test.token); revoked != test.want {
				t.Errorf("Revoked() = %t, want %t", revoked, test.want)
			}
		})
	}
}

// Of two revocations of the same tokens neither takes from the other.
func TestRevocationsAddUp(t *testing.T) {
	early, late := noon.Add(-time.Hour), noon.Add(time.Hour)
	for _, order := range [][]time.Time{{early, late}, {late, early}, {early, {}}, {{}, early}} {
		r := followed(t, memory.New(memory.Config{}))
		for _, before := range order {
			if err := r.Revoke(t.Context(), replay.Revocation{Issuer: bank, Subject: "ann", IssuedBefore: before}, noon.Add(time.Hour)); err != nil {
				t.Fatalf("Revoke() = %v, want no error", err)
			}
		}
		if revoked, _ := r.Revoked(token(nil)); !revoked {
			t.Errorf("issued before %v: Revoked() = false, want true", order)
		}
	}
}

func TestRevokeRefusesWhatNamesNoTokens(t *testing.T) {
	long := strings.Repeat("x", 1025)
	tests := []struct {
		name       string
		revocation replay.Revocation
		until      time.Duration
	}{
		{"nothing", replay.Revocation{}, time.Hour},
		{"no issuer", replay.Revocation{ID: "1"}, time.Hour},
		{"all of an issuer's, for good", replay.Revocation{Issuer: bank}, time.Hour},
		{"id and subject", replay.Revocation{Issuer: bank, ID: "1", Subject: "ann"}, time.Hour},
		{"id and time of issue", replay.Revocation{Issuer: bank, ID: "1", IssuedBefore: noon}, time.Hour},
		{"long issuer", replay.Revocation{Issuer: long, ID: "1"}, time.Hour},
		{"long id", replay.Revocation{Issuer: bank, ID: long}, time.Hour},
		{"long subject", replay.Revocation{Issuer: bank, Subject: authz.Subject(long)}, time.Hour},
		{"long client", replay.Revocation{Issuer: bank, Client: authz.ClientID(long)}, time.Hour},
		{"until now", replay.Revocation{Issuer: bank, ID: "1"}, 0},
		{"until eleven years hence", replay.Revocation{Issuer: bank, ID: "1"}, 11 * 366 * 24 * time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := followed(t, memory.New(memory.Config{}))
			if err := r.Revoke(t.Context(), test.revocation, noon.Add(test.until)); err == nil {
				t.Error("Revoke() = nil, want an error")
			}
			if revoked, _ := r.Revoked(token(nil)); revoked {
				t.Error("Revoked() after = true, want false")
			}
		})
	}
}

// switched is an engine whose log can be switched off, or made to hold what is no
// revocation.
type switched struct {
	*memory.Engine
	away, strange atomic.Bool
	// failed counts what was asked of the log in vain.
	failed atomic.Int64
}

func (s *switched) Append(ctx context.Context, text string, until time.Time) error {
	if s.away.Load() {
		return errAway
	}
	return s.Engine.Append(ctx, text, until)
}

func (s *switched) Since(ctx context.Context, mark string) ([]string, string, error) {
	away, strange := s.away.Load(), s.strange.Load()
	if away || strange {
		s.failed.Add(1)
	}
	switch {
	case away:
		return nil, "", errAway
	case strange:
		return []string{"strange"}, "9", nil
	}
	return s.Engine.Since(ctx, mark)
}

// The age of what is known tells that an engine cannot be followed, so that a caller
// can refuse. It goes on where it was when the engine is back.
func TestWhatIsKnownGrowsOldWhereTheEngineIsAway(t *testing.T) {
	for _, fault := range []string{"away", "strange"} {
		t.Run(fault, func(t *testing.T) {
			engine := &switched{Engine: memory.New(memory.Config{})}
			off := &engine.away
			if fault == "strange" {
				off = &engine.strange
			}
			off.Store(true)
			var clock atomic.Int64
			r := replay.Follow(engine, func() time.Time { return noon.Add(time.Duration(clock.Load())) })
			t.Cleanup(r.Close)
			known := func() time.Time { _, asOf := r.Revoked(token(nil)); return asOf }
			askedInVain := func() {
				t.Helper()
				before := engine.failed.Load()
				// The first of them may have begun earlier.
				replaytest.Eventually(t, "the engine to fail twice", func() bool { return engine.failed.Load() >= before+2 })
			}
			askedInVain()
			if asOf := known(); !asOf.IsZero() {
				t.Errorf("Revoked() as of %v before the engine answered, want zero", asOf)
			}
			off.Store(false)
			replaytest.Eventually(t, "the engine to be followed", func() bool { return known().Equal(noon) })
			off.Store(true)
			askedInVain()
			clock.Store(int64(time.Hour))
			askedInVain()
			if asOf := known(); !asOf.Equal(noon) {
				t.Errorf("Revoked() as of %v while the engine is away, want %v", asOf, noon)
			}
			off.Store(false)
			replaytest.Eventually(t, "the engine to be followed again", func() bool { return known().Equal(noon.Add(time.Hour)) })
		})
	}
}

func TestRevokeIsAnErrorWhereTheEngineIsAway(t *testing.T) {
	engine := &switched{Engine: memory.New(memory.Config{})}
	engine.away.Store(true)
	err := followed(t, engine).Revoke(t.Context(), replay.Revocation{Issuer: bank, Subject: "ann"}, noon.Add(time.Hour))
	if err == nil || strings.Contains(err.Error(), "ann") {
		t.Errorf("Revoke() = %v, want the engine's error, without the subject", err)
	}
}

// What has expired is dropped as more comes, what has not is kept.
func TestExpiredRevocationsAreForgotten(t *testing.T) {
	var clock atomic.Int64
	r := replay.Follow(memory.New(memory.Config{}), func() time.Time { return noon.Add(time.Duration(clock.Load())) })
	t.Cleanup(r.Close)
	revoke := func(id string, until time.Duration) {
		t.Helper()
		now := noon.Add(time.Duration(clock.Load()))
		if err := r.Revoke(t.Context(), replay.Revocation{Issuer: bank, ID: id}, now.Add(until)); err != nil {
			t.Fatalf("Revoke() = %v, want no error", err)
		}
	}
	revoke("1", 24*time.Hour)
	for n := range 900 {
		revoke(fmt.Sprint("short ", n), time.Minute)
	}
	clock.Store(int64(time.Hour))
	for n := range 200 {
		revoke(fmt.Sprint("more ", n), time.Minute)
	}
	of := func(id string) bool {
		revoked, _ := r.Revoked(token(func(t *authz.Token) { t.Claims = map[string]any{"jti": id} }))
		return revoked
	}
	if of("short 0") || !of("1") || !of("more 0") || !of("more 199") {
		t.Errorf("revoked: expired %t, want false; others %t, %t, %t, want true", of("short 0"), of("1"), of("more 0"), of("more 199"))
	}
}

func BenchmarkRevoked(b *testing.B) {
	r := replay.Follow(memory.New(memory.Config{}), nil)
	b.Cleanup(r.Close)
	if err := r.Revoke(b.Context(), replay.Revocation{Issuer: bank, ID: "another"}, time.Now().Add(time.Hour)); err != nil {
		b.Fatal(err)
	}
	asked := token(nil)
	b.ReportAllocs()
	for b.Loop() {
		if revoked, _ := r.Revoked(asked); revoked {
			b.Fatal("Revoked() = true")
		}
	}
}
