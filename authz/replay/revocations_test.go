package replay_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/file"
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

// emptyLog is one that was never written to.
func emptyLog(t testing.TB) *file.Log {
	t.Helper()
	return file.New(filepath.Join(t.TempDir(), "revocations"), nil)
}

// revoke revokes by a log, for an hour from now on.
func revoke(t testing.TB, log replay.Log, revocation replay.Revocation) {
	t.Helper()
	if err := replay.New(nil, log).Revoke(t.Context(), revocation, time.Now().Add(time.Hour)); err != nil {
		t.Fatalf("Revoke() = %v, want no error", err)
	}
}

// read is what is known of a log.
func read(t *testing.T, log replay.Log) *replay.Revocations {
	t.Helper()
	return replay.Read(t.Context(), log, nil)
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
			log := emptyLog(t)
			if revoked, _ := read(t, log).Revoked(test.token); revoked {
				t.Fatal("Revoked() before = true, want false")
			}
			revoke(t, log, test.revocation)
			if revoked, _ := read(t, log).Revoked(test.token); revoked != test.want {
				t.Errorf("Revoked() = %t, want %t", revoked, test.want)
			}
		})
	}
}

// Of two revocations of the same tokens neither takes from the other.
func TestRevocationsAddUp(t *testing.T) {
	early, late := noon.Add(-time.Hour), noon.Add(time.Hour)
	for _, order := range [][]time.Time{{early, late}, {late, early}, {early, {}}, {{}, early}} {
		log := emptyLog(t)
		for _, before := range order {
			revoke(t, log, replay.Revocation{Issuer: bank, Subject: "ann", IssuedBefore: before})
		}
		if revoked, _ := read(t, log).Revoked(token(nil)); !revoked {
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
			log := emptyLog(t)
			if err := replay.New(nil, log).Revoke(t.Context(), test.revocation, time.Now().Add(test.until)); err == nil {
				t.Error("Revoke() = nil, want an error")
			}
			if revoked, _ := read(t, log).Revoked(token(nil)); revoked {
				t.Error("Revoked() after = true, want false")
			}
		})
	}
}

// switched is a log that can be switched off, or made to hold what is no revocation.
type switched struct {
	*file.Log
	away, strange atomic.Bool
	// failed counts what was asked of the log in vain.
	failed atomic.Int64
}

func (s *switched) Append(ctx context.Context, text string, until time.Time) error {
	if s.away.Load() {
		return errAway
	}
	return s.Log.Append(ctx, text, until)
}

func (s *switched) Since(ctx context.Context, mark string) ([]string, string, error) {
	away, strange := s.away.Load(), s.strange.Load()
	if away || strange {
		s.failed.Add(1)
	}
	switch {
	case away:
		return nil, "", errAway
	case strange && mark != "9":
		return []string{"strange"}, "9", nil
	case strange:
		return nil, mark, nil
	}
	return s.Log.Since(ctx, mark)
}

// The age of what is known tells that a log cannot be followed, so that a caller can
// refuse. It goes on where it was when the log is back.
func TestWhatIsKnownGrowsOldWhereTheLogIsAway(t *testing.T) {
	for _, fault := range []string{"away", "strange"} {
		t.Run(fault, func(t *testing.T) {
			log := &switched{Log: emptyLog(t)}
			off := &log.away
			if fault == "strange" {
				off = &log.strange
			}
			off.Store(true)
			var clock atomic.Int64
			r := replay.Follow(log, func() time.Time { return noon.Add(time.Duration(clock.Load())) })
			t.Cleanup(r.Close)
			known := func() time.Time { _, asOf := r.Revoked(token(nil)); return asOf }
			askedInVain := func() {
				t.Helper()
				before := log.failed.Load()
				// The first of them may have begun earlier.
				replaytest.Eventually(t, "the log to fail twice", func() bool { return log.failed.Load() >= before+2 })
			}
			askedInVain()
			if asOf := known(); !asOf.IsZero() {
				t.Errorf("Revoked() as of %v before the log was read, want zero", asOf)
			}
			off.Store(false)
			replaytest.Eventually(t, "the log to be followed", func() bool { return known().Equal(noon) })
			off.Store(true)
			askedInVain()
			clock.Store(int64(time.Hour))
			askedInVain()
			if asOf := known(); !asOf.Equal(noon) {
				t.Errorf("Revoked() as of %v while the log is away, want %v", asOf, noon)
			}
			off.Store(false)
			replaytest.Eventually(t, "the log to be followed again", func() bool { return known().Equal(noon.Add(time.Hour)) })
		})
	}
}

// What is no revocation hides none that stands before or behind it, and who revokes is
// told that those who follow are not up to date, until it is taken out.
func TestWhatIsNoRevocationHidesNone(t *testing.T) {
	log := &rewritten{}
	store := replay.New(nil, log)
	until := time.Now().Add(time.Hour)
	revoke(t, log, replay.Revocation{Issuer: bank, ID: "1"})
	log.texts = append(log.texts, "strange", "")
	err := store.Revoke(t.Context(), replay.Revocation{Issuer: bank, ID: "2"}, until)
	if err == nil || !strings.Contains(err.Error(), "it is kept") {
		t.Errorf("Revoke() = %v, want an error that says that it is kept", err)
	}
	r := read(t, log)
	of := func(id string) (bool, time.Time) {
		return r.Revoked(token(func(t *authz.Token) { t.Claims = map[string]any{"jti": id} }))
	}
	for range 2 {
		for _, id := range []string{"1", "2"} {
			if revoked, asOf := of(id); !revoked || !asOf.IsZero() {
				t.Errorf("Revoked(%s) = %t as of %v, want true, and never up to date", id, revoked, asOf)
			}
		}
		if state := r.State(); state.Fault == nil {
			t.Error("State() has no fault, want what is no revocation")
		}
		replay.CatchUp(t.Context(), r)
	}
	log.texts = slices.Delete(log.texts, 1, 3)
	log.gone++
	replay.CatchUp(t.Context(), r)
	if _, asOf := of("1"); asOf.IsZero() || r.State().Fault != nil || r.State().Lost != 0 {
		t.Errorf("mended: as of %v, %+v, want it up to date", asOf, r.State())
	}
	if err := store.Revoke(t.Context(), replay.Revocation{Issuer: bank, ID: "3"}, until); err != nil {
		t.Errorf("Revoke() = %v, want no error", err)
	}
}

// forgetful is a log that keeps nothing.
type forgetful struct{ rewritten }

func (*forgetful) Append(context.Context, string, time.Time) error { return nil }

// Who is told that tokens are revoked can rely on it that others read so.
func TestRevokeIsAnErrorWhereItCannotBeRead(t *testing.T) {
	strange := &switched{Log: emptyLog(t)}
	strange.strange.Store(true)
	for name, log := range map[string]replay.Log{"nothing is kept": &forgetful{}, "it is another log": strange} {
		err := replay.New(nil, log).Revoke(t.Context(), replay.Revocation{Issuer: bank, Subject: "ann"}, time.Now().Add(time.Hour))
		if err == nil || !strings.Contains(err.Error(), "it is written") {
			t.Errorf("%s: Revoke() = %v, want an error that says what came of it", name, err)
		}
	}
}

func TestRevokeIsAnErrorWhereTheLogIsAway(t *testing.T) {
	log := &switched{Log: emptyLog(t)}
	log.away.Store(true)
	err := replay.New(nil, log).Revoke(t.Context(), replay.Revocation{Issuer: bank, Subject: "ann"}, time.Now().Add(time.Hour))
	if err == nil || strings.Contains(err.Error(), "ann") {
		t.Errorf("Revoke() = %v, want the log's error, without the subject", err)
	}
}

// rewritten is a log whose entries can be taken away, so that no mark is known any more.
type rewritten struct {
	texts []string
	gone  int
}

func (l *rewritten) Append(_ context.Context, text string, _ time.Time) error {
	l.texts = append(l.texts, text)
	return nil
}

func (l *rewritten) Since(_ context.Context, mark string) ([]string, string, error) {
	epoch, after := "", 0
	if mark != "" {
		if _, err := fmt.Sscanf(mark, "%s %d", &epoch, &after); err != nil {
			return nil, "", err
		}
	}
	switch now := fmt.Sprint(l.gone); {
	case mark != "" && epoch != now:
		return nil, "", nil
	case after == len(l.texts):
		return nil, mark, nil
	default:
		return l.texts[after:], fmt.Sprint(now, " ", len(l.texts)), nil
	}
}

// What is revoked expires when it was to, whether or not it is still remembered: who
// starts later does not know of it.
func TestRevocationsExpire(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	log := &rewritten{}
	for n := range 1_200 { // more than are kept without looking for what has expired
		revoke(t, log, replay.Revocation{Issuer: bank, ID: fmt.Sprint(n)})
	}
	r := replay.Read(t.Context(), log, now)
	of := func(id string) bool {
		revoked, _ := r.Revoked(token(func(t *authz.Token) { t.Claims = map[string]any{"jti": id} }))
		return revoked
	}
	if !of("0") || !of("1199") || of("1200") {
		t.Errorf("revoked: %t, %t, and one that is not: %t; want true, true, false", of("0"), of("1199"), of("1200"))
	}
	clock.Store(time.Now().Add(time.Hour + 2*time.Second).UnixNano())
	if of("0") || of("1199") {
		t.Errorf("revoked after their time: %t, %t, want false", of("0"), of("1199"))
	}
}

// What is known stays in force where the log has lost it, which is told: who starts
// anew does not know of it.
func TestALogThatForgetsIsTold(t *testing.T) {
	log := &rewritten{}
	revoke(t, log, replay.Revocation{Issuer: bank, ID: "1"})
	revoke(t, log, replay.Revocation{Issuer: bank, ID: "2"})
	r := replay.Read(t.Context(), log, nil)
	is := func(id string) bool {
		revoked, _ := r.Revoked(token(func(t *authz.Token) { t.Claims = map[string]any{"jti": id} }))
		return revoked
	}
	for _, step := range []struct {
		name   string
		change func()
		lost   int
	}{
		{"nothing happens", func() {}, 0},
		{"it begins anew with all of it", func() { log.gone++ }, 0},
		{"it has the second only", func() { log.gone++; log.texts = slices.Clone(log.texts[1:]) }, 1},
		{"nothing more happens", func() {}, 1},
		{"it is empty", func() { log.gone++; log.texts = nil }, 2},
		{"another is revoked", func() { revoke(t, log, replay.Revocation{Issuer: bank, ID: "3"}) }, 2},
		{"the first is revoked again", func() { revoke(t, log, replay.Revocation{Issuer: bank, ID: "1"}) }, 1},
	} {
		step.change()
		replay.CatchUp(t.Context(), r)
		if lost := r.State().Lost; lost != step.lost || !is("1") || !is("2") {
			t.Errorf("%s: %d lost, and revoked are %t and %t, want %d and both", step.name, lost, is("1"), is("2"), step.lost)
		}
	}
	if !is("3") || r.State().Learned != 3 {
		t.Errorf("what was revoked since is: %t, and %d were learned of, want it revoked, and 3", is("3"), r.State().Learned)
	}
}

func BenchmarkRevoked(b *testing.B) {
	log := emptyLog(b)
	revoke(b, log, replay.Revocation{Issuer: bank, ID: "another"})
	r := replay.Read(b.Context(), log, nil)
	asked := token(nil)
	b.ReportAllocs()
	for b.Loop() {
		if revoked, _ := r.Revoked(asked); revoked {
			b.Fatal("Revoked() = true")
		}
	}
}
