package jwks

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// TestRotationsWithoutNotice rotates the keys of an issuer that signs with one as soon as
// it is published, while clients go on to send tokens of all the keys before: no new key
// is refused, however soon it follows on what was not known.
func TestRotationsWithoutNotice(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "0")))
	store, _ := open(t, Config{URL: issuer.URL}, clock)
	wantKey(t, store, "0", nil)
	const rotations, between = 20, 187 * time.Second // out of step with min_refresh
	before := issuer.fetches.Load()
	for rotation := 1; rotation <= rotations; rotation++ {
		for range between / time.Second {
			for old := range rotation - 1 {
				wantKey(t, store, fmt.Sprint(old), authz.TokenKey)
			}
			clock.move(time.Second)
		}
		issuer.now(publishes(oneKey(t, fmt.Sprint(rotation))))
		wantKey(t, store, fmt.Sprint(rotation), nil)
	}
	most := int64(rotations*between/defaultMinRefresh) + rotations*int64(between/defaultInterval+1)
	if got := issuer.fetches.Load() - before; got > most {
		t.Errorf("%d fetches, want %d at most", got, most)
	}
}

// TestRotationsAtOnce holds how many rotations may follow on each other at once.
func TestRotationsAtOnce(t *testing.T) {
	clock := newFakeClock()
	issuer := newFakeIssuer(t, publishes(oneKey(t, "0")))
	store, _ := open(t, Config{URL: issuer.URL}, clock)
	for rotation := range atOnce {
		kid := fmt.Sprint(rotation + 1)
		issuer.now(publishes(oneKey(t, kid)))
		wantKey(t, store, kid, nil)
	}
	issuer.now(publishes(oneKey(t, "late")))
	wantKey(t, store, "late", authz.TokenKey)
	clock.move(defaultMinRefresh)
	wantKey(t, store, "late", nil)
}

// TestUnknownKeysCauseNoFlood sends another unknown key every time.
func TestUnknownKeysCauseNoFlood(t *testing.T) {
	searches, now, begun := searches{every: defaultMinRefresh}, time.Now(), 0
	const lasting = time.Hour
	for i := range int(lasting / time.Second) {
		if searches.begin(fmt.Sprint("unknown ", i), now.Add(time.Duration(i)*time.Second)) {
			begun++
		}
		if len(searches.sought) > mostSought {
			t.Fatalf("%d keys are remembered, want %d at most", len(searches.sought), mostSought)
		}
	}
	if want := int(lasting/defaultMinRefresh) + atOnce - 1; begun != want {
		t.Errorf("%d searches in %v, want %d", begun, lasting, want)
	}
}

// watched is a context that tells when somebody begins to wait for its end.
type watched struct {
	context.Context
	waiting chan struct{}
}

func (w watched) Done() <-chan struct{} {
	select {
	case w.waiting <- struct{}{}:
	default: // told already
	}
	return w.Context.Done()
}

// held is an issuer whose next answer is what it published before, and comes when it is
// released.
type held struct{ asked, release chan struct{} }

func (f *fakeIssuer) hold(old, next []byte) held {
	h := held{asked: make(chan struct{}), release: make(chan struct{})}
	var asked atomic.Bool
	f.now(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Swap(true) {
			w.Write(next)
			return
		}
		close(h.asked)
		<-h.release
		w.Write(old)
	})
	return h
}

// TestKeyPublishedDuringRefresh asks for a key that was published while a refresh was
// under way, which misses it: one for another unknown key, and one whose time had come.
func TestKeyPublishedDuringRefresh(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *Store, *fakeClock, time.Duration){
		"for another key": func(t *testing.T, store *Store, _ *fakeClock, _ time.Duration) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := store.Key(ctx, "other", "ES256"); err == nil {
				t.Error("Key() of an unknown key = nil error")
			}
		},
		"when its time has come": func(_ *testing.T, _ *Store, clock *fakeClock, wait time.Duration) { clock.move(wait) },
	} {
		t.Run(name, func(t *testing.T) {
			clock, old, next := newFakeClock(), oneKey(t, "old"), oneKey(t, "new")
			issuer := newFakeIssuer(t, publishes(old))
			store, wait := open(t, Config{URL: issuer.URL}, clock)
			h := issuer.hold(old, next)
			begin(t, store, clock, wait)
			<-h.asked
			ctx := watched{t.Context(), make(chan struct{}, 1)}
			found := make(chan error, 1)
			go func() {
				_, err := store.Key(ctx, "new", "ES256")
				found <- err
			}()
			<-ctx.waiting
			close(h.release)
			if err := <-found; err != nil {
				t.Errorf("Key() = %v, want the key that was published meanwhile", err)
			}
		})
	}
}
