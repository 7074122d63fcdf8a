package jwks

import (
	"context"
	"fmt"
	"time"
)

const (
	// fileInterval is how often a file is read again: a key that an operator takes
	// out of it must stop verifying soon.
	fileInterval = time.Minute
	// defaultInterval is for an answer that does not say how long it is fresh, and
	// the others are the bounds for one that does.
	defaultInterval = 5 * time.Minute
	minInterval     = time.Minute
	maxInterval     = 24 * time.Hour
	// firstRetry is how soon a failed refresh is tried again; each further failure
	// doubles it, up to MinRefresh.
	firstRetry = time.Second
)

// run makes all refreshes, one at a time, until ctx ends.
func (s *Store) run(ctx context.Context) {
	defer close(s.stopped)
	wait, retry := s.inTime(fileInterval), firstRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.asked:
		case <-s.env.After(wait):
		}
		interval, err := s.refresh(ctx)
		if err != nil {
			wait, retry = retry, min(retry*2, s.cfg.MinRefresh)
		} else {
			wait, retry = interval, firstRetry
		}
	}
}

// refresh replaces the set by a fresh one, or keeps it and remembers the fault.
// It returns how long the set is fresh.
func (s *Store) refresh(ctx context.Context) (interval time.Duration, err error) {
	defer s.land(s.awaited())
	began, before := s.env.Now(), s.state.Load()
	data, set, interval, err := s.load(ctx)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		s.state.Store(&state{set: before.set, fetched: before.fetched, fault: err})
		s.env.Log.Warn("keys could not be refreshed", "issuer", s.issuer, "error", err)
		return 0, err
	}
	s.state.Store(&state{set: set, fetched: began})
	if before.fault != nil {
		s.env.Log.Info("keys could be refreshed again", "issuer", s.issuer)
	}
	if err := s.keep(data, began); err != nil {
		s.env.Log.Warn("keys could not be kept on disk", "issuer", s.issuer, "error", err)
	}
	return s.inTime(interval), nil
}

// inTime cuts the time to the next refresh short, where a set would grow too old
// merely because that is far off.
func (s *Store) inTime(interval time.Duration) time.Duration {
	return min(interval, s.cfg.MaxStale/2)
}

// load reads and parses the set. A panic is an error like any other: what somebody
// else published must not end the process.
func (s *Store) load(ctx context.Context) (data []byte, set *Set, interval time.Duration, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("key set: panic: %v", fault)
		}
	}()
	if data, interval, err = s.source.read(ctx); err != nil {
		return nil, nil, 0, err
	}
	set, err = ParseSet(data)
	return data, set, interval, err
}

// awaited is what those wait for who asked for a refresh before it began, or nil. Who
// asks later is told of the next one: this one may miss what was published meanwhile.
func (s *Store) awaited() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight
}

// land wakes all who wait for the refresh that has ended.
func (s *Store) land(flight chan struct{}) {
	if flight == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(flight)
	s.flight = nil
}

// readFile reads a file for the first time. Unlike later, a set without a usable
// key is an error.
func (s *Store) readFile() error {
	_, set, _, err := s.load(context.Background())
	if err != nil {
		return err
	}
	if len(set.keys) == 0 {
		return errNoKeys
	}
	s.state.Store(&state{set: set, fetched: s.env.Now()})
	return nil
}
