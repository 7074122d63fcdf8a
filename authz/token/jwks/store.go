package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Environment is what a Store uses of the world. A nil field means the real thing.
type Environment struct {
	// Client fetches sets. Its redirect policy is replaced: none is followed.
	Client *http.Client
	Now    func() time.Time
	After  func(time.Duration) <-chan time.Time
	// Log tells of refreshes that fail. It never sees a key.
	Log *slog.Logger
	// ReadOnly keeps no set on disk, and takes one that another process keeps there.
	ReadOnly bool
}

func (e Environment) withDefaults() Environment {
	if e.Client == nil {
		e.Client = http.DefaultClient
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.After == nil {
		e.After = time.After
	}
	if e.Log == nil {
		e.Log = slog.Default()
	}
	return e
}

// Store holds one issuer's keys and keeps them fresh. It is safe for concurrent
// use. All refreshes are made by one goroutine, which Close ends.
type Store struct {
	issuer string
	cfg    Config
	env    Environment
	source source

	state   atomic.Pointer[state]
	stop    context.CancelFunc
	stopped chan struct{}
	asked   chan struct{}

	mu sync.Mutex
	// flight is closed when the refresh that is due or under way has ended; nil
	// where there is none that anybody waits for.
	flight chan struct{}
	// searches bound the refreshes because of unknown keys.
	searches searches
}

// state is what a Store knows at one time.
type state struct {
	// set is the last good one, or nil.
	set *Set
	// fetched is when set was read.
	fetched time.Time
	// fault is why the last refresh failed, or nil.
	fault error
}

var errNoKeys = errors.New("no usable key")

// Open opens the key set of an issuer. A file is read at once, and one that is
// absent or bad is an authz.Problems. A URL is fetched in the background, and one
// that cannot be reached is no error: until it can, there are the keys kept on
// disk, or none.
func Open(issuer string, cfg Config, env Environment) (*Store, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{issuer: issuer, cfg: cfg, env: env.withDefaults(), searches: searches{every: cfg.MinRefresh},
		stopped: make(chan struct{}), asked: make(chan struct{}, 1)}
	s.state.Store(&state{})
	if cfg.File != "" {
		s.source = file{path: cfg.File}
		if err := s.readFile(); err != nil {
			return nil, authz.Problems{{Key: "file", What: err.Error(), Fix: "name a readable JWK Set (RFC 7517 §5)"}}
		}
	} else {
		s.source = newRemote(cfg.URL, s.env.Client)
		s.readKept()
		s.flight = make(chan struct{})
		s.asked <- struct{}{}
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.run(ctx)
	return s, nil
}

// Close ends the refreshes. Keys that are known stay known until they are too old.
func (s *Store) Close() {
	s.stop()
	<-s.stopped
}

// Key returns the key to verify a token with: that of the kid, or, without one,
// the only one that fits the algorithm. An unknown key is looked for in a fresh
// set, as often as MinRefresh lets all callers together; ctx bounds the wait. The
// error wraps authz.TokenKey where the issuer has no such key, and
// authz.KeysUnavailable where that cannot be known.
func (s *Store) Key(ctx context.Context, kid, algorithm string) (*Key, error) {
	key := s.find(kid, algorithm)
	// What was under way may have been read before the issuer had the key: the second
	// search is one that begins after the token was there.
	for searching := 0; key == nil && searching < 2; searching++ {
		if err := s.search(ctx, kid); err != nil {
			return nil, err
		}
		key = s.find(kid, algorithm)
	}
	if key != nil {
		return key, nil
	}
	fault := s.state.Load().fault
	switch {
	case fault != nil:
		return nil, fmt.Errorf("keys: %w: %w", authz.KeysUnavailable, fault)
	case s.current() == nil:
		return nil, fmt.Errorf("keys: %w: none are known", authz.KeysUnavailable)
	}
	return nil, fmt.Errorf("keys: %w: no key of that id and algorithm", authz.TokenKey)
}

// find returns the key in the set in force, or nil.
func (s *Store) find(kid, algorithm string) *Key {
	if set := s.current(); set != nil {
		return set.Find(kid, algorithm)
	}
	return nil
}

// Holds reports that the key is still one of the issuer's. It never waits.
func (s *Store) Holds(key *Key) bool {
	set := s.current()
	return set != nil && set.Holds(key)
}

// ReadFile has a set that is a file read again at once, in the background, because it
// may have changed. A set at a URL is left alone: its issuer says how long it is fresh.
func (s *Store) ReadFile() {
	if s.cfg.File == "" {
		return
	}
	select {
	case s.asked <- struct{}{}:
	default: // What was asked for before has not begun yet: it will do.
	}
}

// Settle returns once the refresh that is due or under way has ended, well or not, or
// with ctx. What is known then is what the issuer has now, if it can be reached.
func (s *Store) Settle(ctx context.Context) {
	s.mu.Lock()
	flight := s.flight
	s.mu.Unlock()
	if flight == nil {
		return
	}
	select {
	case <-flight:
	case <-s.stopped:
	case <-ctx.Done():
	}
}

// Ready is nil where there are keys to verify with, else it says why there are none.
func (s *Store) Ready() error {
	set := s.current()
	switch {
	case set != nil && len(set.keys) > 0:
		return nil
	case set != nil:
		return fmt.Errorf("keys of %s: %w", s.issuer, errNoKeys)
	}
	if fault := s.state.Load().fault; fault != nil {
		return fmt.Errorf("keys of %s: %w", s.issuer, fault)
	}
	return fmt.Errorf("keys of %s: not fetched yet", s.issuer)
}

// current is the set in force; nil where there is none, or only one too old.
func (s *Store) current() *Set {
	st := s.state.Load()
	if st.set == nil || s.isStale(st.fetched) {
		return nil
	}
	return st.set
}

func (s *Store) isStale(fetched time.Time) bool {
	return s.env.Now().Sub(fetched) > s.cfg.MaxStale
}

// search returns when the refresh under way has ended, having asked for one if there
// was none, or at once where none may begin.
func (s *Store) search(ctx context.Context, kid string) error {
	flight := s.ask(kid)
	if flight == nil {
		return nil
	}
	select {
	case <-flight:
	case <-s.stopped:
	case <-ctx.Done():
		return fmt.Errorf("keys: %w", ctx.Err())
	}
	return nil
}

func (s *Store) ask(kid string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	if !s.searches.begin(kid, s.env.Now()) {
		return nil
	}
	s.flight = make(chan struct{})
	select {
	case s.asked <- struct{}{}:
	default: // The refresh asked for before has not begun yet: it will do.
	}
	return s.flight
}
