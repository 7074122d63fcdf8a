package replay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const (
	// followEvery is how often the log is asked what else is revoked, and followTimeout
	// how long it has: what is revoked anywhere is known here within a second.
	followEvery   = 250 * time.Millisecond
	followTimeout = 500 * time.Millisecond
	// sweepAt is how many entries there are at least before the expired are dropped.
	sweepAt = 1_000
	// aboutToExpire is how long before its end a log may have dropped an entry by a clock
	// of its own.
	aboutToExpire = time.Minute
)

// Revocations are the tokens revoked by anybody who shares the log, known here without
// asking it for each. It is safe for concurrent use.
type Revocations struct {
	log    Log
	now    func() time.Time
	cancel context.CancelFunc
	ended  chan struct{}
	// mark is how far the log was read, in the pass that is under way: each begins at the
	// log's beginning. They are those of one who reads alone.
	mark string
	pass int
	// strange is that the pass came upon what is no revocation, or nil.
	strange error

	lock    sync.RWMutex
	revoked map[[32]byte]known
	// sweep is the size at which the expired are dropped.
	sweep int
	// compared is the pass that all that is known was held against last.
	compared int
	state    State
}

var _ authz.Revocations = (*Revocations)(nil)

// State is how what is known of revocations stands.
type State struct {
	// AsOf is when the end of the log was last reached, or zero.
	AsOf time.Time
	// Fault is why it could not be reached when it was last tried, or nil.
	Fault error
	// Learned is how many were learned of so far.
	Learned int
	// Lost is how many are in force here until they expire, and no longer in the log: who
	// starts anew does not know of them.
	Lost int
}

// known is an entry, and the last pass in which it was read.
type known struct {
	entry
	pass int
}

func newRevocations(log Log, now func() time.Time) *Revocations {
	if now == nil {
		now = time.Now
	}
	return &Revocations{log: log, now: now, revoked: map[[32]byte]known{}, sweep: sweepAt}
}

// Read reads a log once, as far as ctx lasts. It need not be closed. now is the clock; nil
// means time.Now.
func Read(ctx context.Context, log Log, now func() time.Time) *Revocations {
	r := newRevocations(log, now)
	r.catchUp(ctx)
	return r
}

// Follow begins to follow a log, until Close. What it has is known when Follow returns,
// which waits for that half a second at most. The log stays the caller's to close, later.
// now is the clock; nil means time.Now.
func Follow(log Log, now func() time.Time) *Revocations {
	r := newRevocations(log, now)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan struct{})
	r.catchUpInTime(ctx)
	go r.follow(ctx)
	return r
}

// Close stops following.
func (r *Revocations) Close() {
	r.cancel()
	<-r.ended
}

// Revoked reports whether a token is revoked, as far as it was known at asOf, which is
// zero where the log could never be read. It is a second ago at most while all is well;
// how old it may be is for the caller to say.
func (r *Revocations) Revoked(token *authz.Token) (revoked bool, asOf time.Time) {
	r.lock.RLock()
	defer r.lock.RUnlock()
	if len(r.revoked) == 0 {
		return false, r.state.AsOf
	}
	for _, name := range names(token) {
		if known, ok := r.revoked[name]; ok && token.IssuedAt.Unix() <= known.issued && known.until > r.now().Unix() {
			return true, r.state.AsOf
		}
	}
	return false, r.state.AsOf
}

// State tells how what is known stands.
func (r *Revocations) State() State {
	r.lock.RLock()
	defer r.lock.RUnlock()
	return r.state
}

// follow catches up with the log until ctx ends.
func (r *Revocations) follow(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.catchUpInTime(ctx)
		}
	}
}

func (r *Revocations) catchUpInTime(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	r.catchUp(ctx)
}

// catchUp reads the log to its end, or as far as time lasts. That it cannot, or that not
// all of it can be read, shows in the state.
func (r *Revocations) catchUp(ctx context.Context) {
	for {
		began := r.now()
		ended, err := r.readOn(ctx)
		if err != nil {
			r.failed(err)
			return
		}
		if ended && r.strange != nil {
			r.failed(r.strange)
			r.begin() // to find that it was mended
			return
		}
		if ended {
			r.reached(began)
			return
		}
	}
}

// readOn reads what comes next, and reports that nothing does.
func (r *Revocations) readOn(ctx context.Context) (ended bool, err error) {
	texts, next, err := r.log.Since(ctx, r.mark)
	if err != nil {
		return false, fmt.Errorf("revocations: %w", err)
	}
	for _, text := range texts {
		entry, err := parseEntry(text)
		if err != nil {
			// What it means is not known, so nothing is up to date; all else is in force.
			r.strange = err
			continue
		}
		r.add(entry)
	}
	ended = len(texts) == 0 && next == r.mark
	if next == "" && r.mark != "" {
		r.begin()
	}
	r.mark = next
	return ended, nil
}

// begin begins a pass, at the log's beginning.
func (r *Revocations) begin() {
	r.mark, r.strange = "", nil
	r.pass++
}

func (r *Revocations) failed(err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.state.Fault = err
}

// reached notes that all is known which was revoked before then.
func (r *Revocations) reached(at time.Time) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.state.AsOf, r.state.Fault = at, nil
	// Without a new pass nothing more can be found missing, and what is can only expire.
	if r.compared == r.pass && r.state.Lost == 0 {
		return
	}
	r.compared, r.state.Lost = r.pass, 0
	soon := r.now().Add(aboutToExpire).Unix()
	for _, known := range r.revoked {
		if known.pass < r.pass && known.until > soon {
			r.state.Lost++
		}
	}
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
	before, ok := r.revoked[e.name]
	if ok {
		e.issued, e.until = max(e.issued, before.issued), max(e.until, before.until)
	}
	if !ok || e != before.entry {
		r.state.Learned++
	}
	r.revoked[e.name] = known{e, r.pass}
	if len(r.revoked) < r.sweep {
		return
	}
	for name, known := range r.revoked {
		if known.until <= now {
			delete(r.revoked, name)
		}
	}
	r.sweep = max(sweepAt, 2*len(r.revoked))
}
