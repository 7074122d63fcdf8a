package replay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const (
	// followEvery is how often the engine is asked what else is revoked, and
	// followTimeout how long it has: what is revoked anywhere is known here within a
	// second.
	followEvery   = 250 * time.Millisecond
	followTimeout = 500 * time.Millisecond
	// sweepAt is how many entries there are at least before the expired are dropped.
	sweepAt = 1_000
)

// Revocations are the tokens revoked by anybody who shares the engine, known here
// without asking it for each. It is safe for concurrent use.
type Revocations struct {
	engine Engine
	now    func() time.Time
	cancel context.CancelFunc
	ended  chan struct{}
	// mark is how far the engine's log was read. It is follow's alone.
	mark string

	lock    sync.RWMutex
	revoked map[[32]byte]entry
	// sweep is the size at which the expired are dropped.
	sweep int
	// asOf is when the end of the engine's log was last reached.
	asOf time.Time
}

// Follow begins to follow the engine's revocations, until Close. The engine stays the
// caller's to close, later. now is the clock; nil means time.Now.
func Follow(engine Engine, now func() time.Time) *Revocations {
	if now == nil {
		now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Revocations{engine: engine, now: now, cancel: cancel, ended: make(chan struct{}), revoked: map[[32]byte]entry{}, sweep: sweepAt}
	go r.follow(ctx)
	return r
}

// Close stops following.
func (r *Revocations) Close() {
	r.cancel()
	<-r.ended
}

// Revoke revokes tokens until then, when the last of them is to have expired. It is in
// force here when Revoke returns, and within a second wherever the engine is followed.
// After an error it may come into force nevertheless.
func (r *Revocations) Revoke(ctx context.Context, revocation Revocation, until time.Time) error {
	if err := revocation.check(until, r.now()); err != nil {
		return err
	}
	entry := revocation.entry(until)
	if err := r.engine.Append(ctx, entry.text(), until.Add(time.Second)); err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	r.add(entry)
	return nil
}

// Revoked reports whether a token is revoked, as far as it was known at asOf, which is
// zero where the engine could never be asked. It is a second ago at most while all is
// well; how old it may be is for the caller to say.
func (r *Revocations) Revoked(token *authz.Token) (revoked bool, asOf time.Time) {
	r.lock.RLock()
	defer r.lock.RUnlock()
	if len(r.revoked) == 0 {
		return false, r.asOf
	}
	for _, name := range names(token) {
		if entry, ok := r.revoked[name]; ok && token.IssuedAt.Unix() <= entry.issued {
			return true, r.asOf
		}
	}
	return false, r.asOf
}

// follow catches up with the engine until ctx ends. That it cannot shows in asOf.
func (r *Revocations) follow(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.catchUp(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// catchUp reads the engine's log to its end, or as far as time lasts.
func (r *Revocations) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	for {
		began := r.now()
		texts, next, err := r.engine.Since(ctx, r.mark)
		if err != nil {
			return
		}
		for _, text := range texts {
			entry, err := parseEntry(text)
			if err != nil {
				return // what is meant is not known, so this is not up to date
			}
			r.add(entry)
		}
		r.mark = next
		if len(texts) == 0 {
			r.reached(began)
			return
		}
	}
}

// reached notes that all is known which was revoked before then.
func (r *Revocations) reached(at time.Time) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.asOf = at
}

// add takes in an entry that has not expired. Two of one name become one that revokes
// no less than either.
func (r *Revocations) add(e entry) {
	r.lock.Lock()
	defer r.lock.Unlock()
	now := r.now().Unix()
	if e.until <= now {
		return
	}
	if known, ok := r.revoked[e.name]; ok {
		e.issued, e.until = max(e.issued, known.issued), max(e.until, known.until)
	}
	r.revoked[e.name] = e
	if len(r.revoked) < r.sweep {
		return
	}
	for name, entry := range r.revoked {
		if entry.until <= now {
			delete(r.revoked, name)
		}
	}
	r.sweep = max(sweepAt, 2*len(r.revoked))
}
