package jwks

import (
	"context"
	"crypto/elliptic"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const issuerName = "https://as.example"

// fakeClock is moved by hand. Every timer that is set is told to armed, so that a
// test knows when the store has done with a refresh.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[chan time.Time]time.Time
	armed  chan time.Duration
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), timers: map[chan time.Time]time.Time{}, armed: make(chan time.Duration, 1000)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := make(chan time.Time, 1)
	c.timers[timer] = c.now.Add(d)
	c.armed <- d
	return timer
}

// advance moves the clock and returns how long the store waits once it has done what
// was due.
func (c *fakeClock) advance(d time.Duration) time.Duration {
	c.move(d)
	return <-c.armed
}

func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for timer, at := range c.timers {
		if !at.After(c.now) {
			timer <- c.now
			delete(c.timers, timer)
		}
	}
}

// fakeIssuer publishes a key set.
type fakeIssuer struct {
	*httptest.Server
	answer  atomic.Pointer[http.HandlerFunc]
	fetches atomic.Int64
}

func newFakeIssuer(t *testing.T, answer http.HandlerFunc) *fakeIssuer {
	t.Helper()
	f := &fakeIssuer{}
	f.answer.Store(&answer)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.fetches.Add(1)
		(*f.answer.Load())(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeIssuer) now(answer http.HandlerFunc) { f.answer.Store(&answer) }

func publishes(set []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(set) }
}

func isDown(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

// open opens a store of the issuer and waits for its first fetch; it returns how long
// the store waits for the next.
func open(t *testing.T, cfg Config, clock *fakeClock) (*Store, time.Duration) {
	t.Helper()
	store, err := Open(issuerName, cfg, Environment{Now: clock.Now, After: clock.After, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(store.Close)
	wait := <-clock.armed
	if cfg.URL != "" {
		wait = <-clock.armed
	}
	return store, wait
}

func wantKey(t *testing.T, store *Store, kid string, want error) *Key {
	t.Helper()
	key, err := store.Key(context.Background(), kid, "ES256")
	if !errors.Is(err, want) || (key == nil) != (want != nil) {
		t.Fatalf("Key(%q) = %v, %v, want error %v", kid, key, err, want)
	}
	return key
}

func oneKey(t *testing.T, kid string) []byte {
	t.Helper()
	return setOf(t, jwkOf(newEC(t, elliptic.P256()), "kid", kid))
}

func TestRefreshFollowsCacheControl(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                        defaultInterval,
		"public, max-age=600":     10 * time.Minute,
		"Max-Age=600":             10 * time.Minute,
		"max-age=1":               minInterval,
		"max-age=31536000":        maxInterval,
		"max-age=nonsense":        minInterval,
		"max-age=-5":              minInterval,
		"no-store":                minInterval,
		"max-age=600, no-cache":   minInterval,
		`max-age="600", s-maxage`: 10 * time.Minute,
	} {
		if got := freshness(header); got != want {
			t.Errorf("freshness(%q) = %v, want %v", header, got, want)
		}
	}
}

func TestRotation(t *testing.T) {
	clock, first := newFakeClock(), oneKey(t, "first")
	issuer := newFakeIssuer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=120")
		w.Write(first)
	})
	store, wait := open(t, Config{URL: issuer.URL}, clock)
	if wait != 2*time.Minute {
		t.Errorf("the next refresh is in %v, want 2m", wait)
	}
	old := wantKey(t, store, "first", nil)
	issuer.now(publishes(oneKey(t, "second")))
	if !store.Holds(old) {
		t.Error("Holds() = false before the refresh")
	}
	clock.advance(wait)
	if store.Holds(old) {
		t.Error("Holds() = true after the key was removed")
	}
	wantKey(t, store, "second", nil)
	wantKey(t, store, "first", authz.TokenKey)
}

func TestRefreshComesBeforeTheSetIsTooOld(t *testing.T) {
	set := oneKey(t, "a")
	issuer := newFakeIssuer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=86400")
		w.Write(set)
	})
	if _, wait := open(t, Config{URL: issuer.URL, MaxStale: time.Hour}, newFakeClock()); wait != 30*time.Minute {
		t.Errorf("the next refresh is in %v, want half of max_stale", wait)
	}
}

func TestAllKeysRevoked(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	store, wait := open(t, Config{URL: issuer.URL}, clock)
	old := wantKey(t, store, "a", nil)
	issuer.now(publishes(setOf(t)))
	clock.advance(wait)
	if store.Holds(old) || store.Ready() == nil {
		t.Error("an empty set left a key in force, or is ready")
	}
	wantKey(t, store, "a", authz.TokenKey)
}

func TestUnknownKeyCausesOneRefresh(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "first")))
	store, _ := open(t, Config{URL: issuer.URL}, clock)
	before := issuer.fetches.Load()
	for range 100 {
		wantKey(t, store, "second", authz.TokenKey)
	}
	if got := issuer.fetches.Load() - before; got != 1 {
		t.Errorf("%d fetches because of an unknown key, want 1", got)
	}
	issuer.now(publishes(oneKey(t, "second")))
	clock.move(defaultMinRefresh)
	wantKey(t, store, "second", nil)
	if got := issuer.fetches.Load() - before; got != 2 {
		t.Errorf("%d fetches after min_refresh, want 2", got)
	}
}

func TestUnknownKeysAreLookedForTogether(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "first")))
	store, _ := open(t, Config{URL: issuer.URL}, clock)
	before, second, release := issuer.fetches.Load(), oneKey(t, "second"), make(chan struct{})
	issuer.now(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Write(second)
	})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := store.Key(context.Background(), "second", "ES256"); err != nil {
				t.Errorf("Key() = %v", err)
			}
		})
	}
	// Who knows a key does not wait, and who gives up does not either.
	wantKey(t, store, "first", nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := store.Key(ctx, "second", "ES256"); !errors.Is(err, context.Canceled) {
		t.Errorf("Key() with a ctx that has ended = %v", err)
	}
	close(release)
	group.Wait()
	if got := issuer.fetches.Load() - before; got != 1 {
		t.Errorf("%d fetches, want 1", got)
	}
}

func TestOutage(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	store, wait := open(t, Config{URL: issuer.URL, MaxStale: time.Hour}, clock)
	issuer.now(isDown)
	var waits []time.Duration
	for range 8 {
		wait = clock.advance(wait)
		waits = append(waits, wait)
	}
	if waits[0] != firstRetry || waits[7] != defaultMinRefresh {
		t.Errorf("retries after %v, want from %v to %v", waits, firstRetry, defaultMinRefresh)
	}
	key := wantKey(t, store, "a", nil)
	wantKey(t, store, "b", authz.KeysUnavailable)
	<-clock.armed // the refresh for b
	if err := store.Ready(); err != nil {
		t.Errorf("Ready() = %v with the last good set", err)
	}

	clock.advance(time.Hour)
	wantKey(t, store, "a", authz.KeysUnavailable)
	if store.Holds(key) || store.Ready() == nil {
		t.Error("a set that is too old is in force, or ready")
	}
	issuer.now(publishes(oneKey(t, "b")))
	clock.advance(defaultMinRefresh)
	wantKey(t, store, "b", nil)
}

func TestNoKeysYet(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, isDown)
	store, _ := open(t, Config{URL: issuer.URL}, clock)
	wantKey(t, store, "a", authz.KeysUnavailable)
	wait := <-clock.armed
	if store.Ready() == nil {
		t.Error("Ready() = nil without keys")
	}
	issuer.now(publishes(oneKey(t, "a")))
	clock.advance(wait)
	wantKey(t, store, "a", nil)
}

func TestAnswersThatAreRefused(t *testing.T) {
	good := oneKey(t, "b")
	elsewhere := newFakeIssuer(t, publishes(good))
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}},
		{"a redirect within the origin", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/keys", http.StatusFound)
				return
			}
			w.Write(good)
		}},
		{"another status", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.Write(good)
		}},
		{"over 512 KB", publishes([]byte(strings.Repeat(" ", maxBytes) + string(good)))},
		{"an ambiguous set", publishes(setOf(t, jwkOf(newEC(t, elliptic.P256()), "kid", "b"), jwkOf(newEC(t, elliptic.P256()), "kid", "b")))},
		{"no set", publishes([]byte("<html>"))},
		{"a body that breaks off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10000")
			w.Write(good)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clock := newFakeClock()
			issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
			store, wait := open(t, Config{URL: issuer.URL}, clock)
			issuer.now(test.answer)
			clock.advance(wait)
			wantKey(t, store, "a", nil)
			wantKey(t, store, "b", authz.KeysUnavailable)
		})
	}
	if elsewhere.fetches.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestKeptOnDisk(t *testing.T) {
	clock, folder := newFakeClock(), filepath.Join(t.TempDir(), "keys")
	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	cfg := Config{URL: issuer.URL, CacheDir: folder}
	first, _ := open(t, cfg, clock)
	first.Close()
	issuer.now(isDown)

	kept := filepath.Join(folder, filepath.Base(first.keptPath()))
	if mode, err := os.Stat(kept); err != nil || mode.Mode().Perm() != 0o600 {
		t.Fatalf("the kept file is %v, %v, want mode 0600", mode, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("%d files are in the folder, %v, want 1", len(left), err)
	}
	clock.move(23 * time.Hour)
	second, _ := open(t, cfg, clock)
	wantKey(t, second, "a", nil)

	elsewhere := newFakeIssuer(t, isDown)
	other, _ := open(t, Config{URL: elsewhere.URL, CacheDir: folder}, clock)
	wantKey(t, other, "a", authz.KeysUnavailable)

	clock.move(2 * time.Hour)
	third, _ := open(t, cfg, newFakeClockAt(clock.Now()))
	wantKey(t, third, "a", authz.KeysUnavailable)

	past, _ := open(t, cfg, newFakeClockAt(clock.Now().Add(-48*time.Hour)))
	wantKey(t, past, "a", authz.KeysUnavailable)

	if err := os.WriteFile(kept, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken, _ := open(t, cfg, newFakeClock())
	wantKey(t, broken, "a", authz.KeysUnavailable)
}

// TestReadOnly takes what another store keeps, and what the issuer has now, and leaves
// the folder as it is.
func TestReadOnly(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "keys")
	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	cfg := Config{URL: issuer.URL, CacheDir: folder}
	readOnly := func() *Store {
		clock := newFakeClock()
		store, err := Open(issuerName, cfg, Environment{Now: clock.Now, After: clock.After, Log: slog.New(slog.DiscardHandler), ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		store.Settle(t.Context())
		return store
	}
	wantKey(t, readOnly(), "a", nil)
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}

	keeping, _ := open(t, cfg, newFakeClock())
	keeping.Close()
	before, err := os.ReadFile(keeping.keptPath())
	if err != nil {
		t.Fatal(err)
	}
	issuer.now(publishes(oneKey(t, "b")))
	wantKey(t, readOnly(), "b", nil)
	if after, err := os.ReadFile(keeping.keptPath()); err != nil || string(after) != string(before) {
		t.Errorf("the kept set was changed: %v", err)
	}
	issuer.now(isDown)
	wantKey(t, readOnly(), "a", nil)
}

// TestSettleEndsWithItsContext does not wait for an issuer that does not answer, nor for
// a file.
func TestSettleEndsWithItsContext(t *testing.T) {
	held, over := make(chan struct{}), make(chan struct{})
	issuer := newFakeIssuer(t, func(http.ResponseWriter, *http.Request) {
		close(held)
		<-over
	})
	defer close(over)
	clock := newFakeClock()
	store, err := Open(issuerName, Config{URL: issuer.URL}, Environment{Now: clock.Now, After: clock.After, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store.Settle(ctx)

	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, oneKey(t, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, _ := open(t, Config{File: path}, newFakeClock())
	file.Settle(t.Context())
}

func TestKeysThatCannotBeKeptAreUsed(t *testing.T) {
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	store, _ := open(t, Config{URL: issuer.URL, CacheDir: filepath.Join(notAFolder, "keys")}, newFakeClock())
	wantKey(t, store, "a", nil)
}

func newFakeClockAt(now time.Time) *fakeClock {
	clock := newFakeClock()
	clock.now = now
	return clock
}

func TestFile(t *testing.T) {
	clock, path := newFakeClock(), filepath.Join(t.TempDir(), "jwks.json")
	write := func(set []byte) {
		t.Helper()
		if err := os.WriteFile(path, set, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(oneKey(t, "a"))
	store, wait := open(t, Config{File: path}, clock)
	wantKey(t, store, "a", nil)
	write(oneKey(t, "b"))
	clock.advance(wait)
	wantKey(t, store, "b", nil)
	write([]byte("{"))
	clock.advance(wait)
	wantKey(t, store, "b", nil)
}

func TestFileIsReadAgainWhenAskedFor(t *testing.T) {
	clock, path := newFakeClock(), filepath.Join(t.TempDir(), "jwks.json")
	write := func(set []byte) {
		t.Helper()
		if err := os.WriteFile(path, set, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(oneKey(t, "a"))
	store, _ := open(t, Config{File: path}, clock)
	key := wantKey(t, store, "a", nil)
	write(oneKey(t, "b"))
	store.ReadFile()
	<-clock.armed
	if store.Holds(key) {
		t.Error("a key that was taken out is still held")
	}
	wantKey(t, store, "b", nil)

	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	remote, _ := open(t, Config{URL: issuer.URL}, clock)
	before := issuer.fetches.Load()
	remote.ReadFile()
	remote.Close()
	if got := issuer.fetches.Load(); got != before {
		t.Errorf("%d fetches of a URL, want none", got-before)
	}
}

func TestBadFileDoesNotOpen(t *testing.T) {
	folder := t.TempDir()
	for name, set := range map[string][]byte{"malformed": []byte("{"), "no usable key": setOf(t)} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, set, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(issuerName, Config{File: path}, Environment{}); !isProblemOf(err, "file") {
			t.Errorf("%s: Open() = %v, want a problem of file", name, err)
		}
	}
	_, err := Open(issuerName, Config{File: filepath.Join(folder, "absent")}, Environment{})
	if !isProblemOf(err, "file") || !strings.Contains(err.Error(), fs.ErrNotExist.Error()) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("absent: Open() = %v, want a problem of file", err)
	}
}

func isProblemOf(err error, key string) bool {
	var problems authz.Problems
	return errors.As(err, &problems) && len(problems) == 1 && problems[0].Key == key
}

func TestAfterClose(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "a")))
	store, _ := open(t, Config{URL: issuer.URL}, clock)
	store.Close()
	wantKey(t, store, "a", nil)
	wantKey(t, store, "b", authz.TokenKey)
}

func TestRotationWhileInUse(t *testing.T) {
	clock := newFakeClock()
	sets := [][]byte{oneKey(t, "0"), oneKey(t, "1")}
	issuer := newFakeIssuer(t, publishes(sets[0]))
	store, wait := open(t, Config{URL: issuer.URL}, clock)
	done := make(chan struct{})
	var group sync.WaitGroup
	for _, kid := range []string{"0", "1", "2"} {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if key, err := store.Key(context.Background(), kid, "ES256"); err == nil {
					store.Holds(key)
				}
				_ = store.Ready()
			}
		})
	}
	for turn := range 20 {
		issuer.now(publishes(sets[turn%2]))
		clock.advance(wait)
	}
	close(done)
	group.Wait()
}
