// Package replay remembers what may not happen again, or not often: proofs that were
// seen, limits that are spent, tokens that are revoked.
//
// What it promises is as good as what is under it: package memory knows what one process
// saw and spent, package file what any process on this machine revoked, package redis all
// of that of all who share a server. An engine that cannot answer is an error, never "not
// seen before": who asks refuses.
//
// It keeps hashes and numbers only. A hash hides what was random; whoever reads the
// engine's store can still try out a guessed client or subject.
package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Engine is where it is remembered what was seen and spent. It is safe for concurrent use.
// Its methods return when ctx ends, and their errors hold nothing of what they were given.
// Those of Fresh and Spend wrap authz.ErrNoAnswer where the engine cannot be reached, or
// does not answer in time, and nowhere else.
type Engine interface {
	// Fresh reports, once for a key until then, that it was not seen before. A time that
	// is past is of no key that is fresh.
	Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error)
	// Spend spends one of each limit, or nothing where one of them is spent. The limits
	// are right, and no two have the same Counter.
	Spend(ctx context.Context, limits []authz.Limit) (authz.Spending, error)
	// Ready is nil where the engine can answer, and is set up so that it keeps what it
	// is given; else it says what is wrong and what to do.
	Ready(ctx context.Context) error
	// Close ends what the engine has open.
	Close()
}

// Log is where revocations are kept for all who follow it. It is safe for concurrent use.
// Its methods return when ctx ends, and their errors hold nothing of what they were given.
type Log interface {
	// Append keeps a text, of 1 to 256 bytes, until then, for Since to return.
	Append(ctx context.Context, text string, until time.Time) error
	// Since returns what was appended after a mark, and the mark to go on from: not all
	// of it at once, but something where there is something, and at the end nothing but
	// the same mark. The first mark is "". What has expired may be returned too, and
	// "" for what is there and cannot be read. A mark of what the log no longer has leads to nothing but the first mark: what follows may
	// have been returned before, and what was returned may be lost.
	Since(ctx context.Context, mark string) (texts []string, next string, err error)
}

// Store remembers by an engine, and revokes by a log. It is safe for concurrent use.
type Store struct {
	engine Engine
	log    Log
}

var _ authz.Limiter = (*Store)(nil)

// maxLimits bounds the limits of one decision.
const maxLimits = 16

var errTooManyLimits = errors.New("replay: more than 16 limits at once")

// New returns a Store over an engine, which is its own to close, and a log, which may be
// the same.
func New(engine Engine, log Log) *Store { return &Store{engine: engine, log: log} }

// Fresh reports, once for a key until then, that it was not seen before. An error is an
// engine that cannot tell, or has no room: what was asked about must be refused.
//
// The key is a hash of all that makes a thing itself. Replicas differ in their clocks,
// so until is to be later, by what they may differ, than the thing is good.
func (s *Store) Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error) {
	ctx, cancel := half(ctx)
	defer cancel()
	fresh, err := s.engine.Fresh(ctx, key, until)
	if err != nil {
		return false, fmt.Errorf("replay: %w", err)
	}
	return fresh, nil
}

// Spend spends one of each limit, or nothing where one of them is spent: two at once
// cannot both have the last. Of limits that share a counter the lowest Max holds, and
// is told. At most 16 limits are spent at once. After an error nothing is allowed, but
// something may be spent.
func (s *Store) Spend(ctx context.Context, limits []authz.Limit) (authz.Spending, error) {
	if len(limits) > maxLimits {
		return authz.Spending{}, errTooManyLimits
	}
	for _, limit := range limits {
		if err := limit.Check(); err != nil {
			return authz.Spending{}, fmt.Errorf("replay: %w", err)
		}
	}
	if len(limits) == 0 {
		return authz.Spending{OK: true}, nil
	}
	ctx, cancel := half(ctx)
	defer cancel()
	spending, err := s.engine.Spend(ctx, distinct(limits))
	if err != nil {
		return authz.Spending{}, fmt.Errorf("replay: %w", err)
	}
	return spending, nil
}

// half leaves half of the time that there is for what comes after: who may go on without
// an answer must be able to.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	ends, bounded := ctx.Deadline()
	if !bounded {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, ends.Add(-time.Until(ends)/2))
}

// distinct has one limit for each counter, the lowest.
func distinct(limits []authz.Limit) []authz.Limit {
	var kept []authz.Limit
	for _, limit := range limits {
		at := slices.IndexFunc(kept, func(other authz.Limit) bool { return other.Key == limit.Key && other.Window == limit.Window })
		if at < 0 {
			kept = append(kept, limit)
			continue
		}
		kept[at].Max = min(kept[at].Max, limit.Max)
	}
	return kept
}

// Revoke revokes tokens until then, when the last of them is to have expired. It is in
// force within a second wherever the log is followed. After an error it may come into
// force nevertheless.
func (s *Store) Revoke(ctx context.Context, revocation Revocation, until time.Time) error {
	if err := revocation.Check(until, time.Now()); err != nil {
		return err
	}
	entry := revocation.entry(until)
	if err := s.log.Append(ctx, entry.text(), until.Add(time.Second)); err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	return s.confirm(ctx, entry)
}

// confirm reads the log as those do who follow it.
func (s *Store) confirm(ctx context.Context, kept entry) error {
	r := Read(ctx, s.log, nil)
	found, ok := r.revoked[kept.name]
	switch fault := r.state.Fault; {
	case ok && fault != nil:
		return fmt.Errorf("revocation: it is kept, but not all of the log can be read: %w", fault)
	case fault != nil:
		return fmt.Errorf("revocation: it is written, but cannot be read: %w", fault)
	case !ok || found.issued < kept.issued || found.until < kept.until:
		return errLost
	}
	return nil
}

// Follow begins to follow the revocations, until Close, which comes before the Store's.
func (s *Store) Follow() *Revocations { return Follow(s.log, nil) }

// Read reads the revocations once, as far as ctx lasts, as if it were now; nil means
// time.Now.
func (s *Store) Read(ctx context.Context, now func() time.Time) *Revocations {
	return Read(ctx, s.log, now)
}

// tidying is a Log that drops what has expired when it is told to, not by itself.
type tidying interface {
	Tidy(ctx context.Context) error
}

// Tidy drops revocations that have expired. It waits for others who do, or revoke, until
// ctx ends.
func (s *Store) Tidy(ctx context.Context) error {
	log, ok := s.log.(tidying)
	if !ok {
		return nil
	}
	if err := log.Tidy(ctx); err != nil {
		return fmt.Errorf("revocations: %w", err)
	}
	return nil
}

// Ready is nil where the engine can answer.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// Close closes the engine. Nobody may ask any more.
func (s *Store) Close() { s.engine.Close() }
