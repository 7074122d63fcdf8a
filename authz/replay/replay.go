// Package replay remembers what may not happen again, or not often: proofs that were
// seen, limits that are spent, tokens that are revoked.
//
// What it promises is as good as the engine under it: package memory knows what one
// process saw, package redis what all that share a server did. An engine that cannot
// answer is an error, never "not seen before": who asks refuses.
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

// Engine is where it is remembered. It is safe for concurrent use. Its methods return
// when ctx ends, and their errors hold nothing of what they were given.
type Engine interface {
	// Fresh reports, once for a key until then, that it was not seen before. A time that
	// is past is of no key that is fresh.
	Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error)
	// Spend spends one of each limit, or nothing where one of them is spent. The limits
	// are right, and no two have the same Counter.
	Spend(ctx context.Context, limits []authz.Limit) (authz.Spending, error)
	// Append keeps a text, of at most 256 bytes, until then, for Since to return.
	Append(ctx context.Context, text string, until time.Time) error
	// Since returns what was appended after a mark, and the mark to go on from: not all
	// of it at once, but something where there is something. The first mark is "". It
	// may return what it returned before, and what has expired.
	Since(ctx context.Context, mark string) (texts []string, next string, err error)
	// Ready is nil where the engine can answer, and is set up so that it keeps what it
	// is given; else it says what is wrong and what to do.
	Ready(ctx context.Context) error
	// Close ends what the engine has open.
	Close()
}

// Store remembers by an engine. It is safe for concurrent use.
type Store struct {
	engine Engine
}

var _ authz.Limiter = (*Store)(nil)

// maxLimits bounds the limits of one decision.
const maxLimits = 16

var errTooManyLimits = errors.New("replay: more than 16 limits at once")

// New returns a Store over an engine, which is its own to close.
func New(engine Engine) *Store { return &Store{engine: engine} }

// Fresh reports, once for a key until then, that it was not seen before. An error is an
// engine that cannot tell, or has no room: what was asked about must be refused.
//
// The key is a hash of all that makes a thing itself. Replicas differ in their clocks,
// so until is to be later, by what they may differ, than the thing is good.
func (s *Store) Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error) {
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
	spending, err := s.engine.Spend(ctx, distinct(limits))
	if err != nil {
		return authz.Spending{}, fmt.Errorf("replay: %w", err)
	}
	return spending, nil
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

// Ready is nil where the engine can answer.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// Close closes the engine. Nobody may ask any more.
func (s *Store) Close() { s.engine.Close() }
