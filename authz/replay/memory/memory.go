// Package memory keeps what was seen and spent in the memory of one process:
// another process does not see it, and it is gone when the process ends. It is for
// deployments of one replica.
//
// All that is kept is of fixed size and bounded in number. What has not expired is
// never dropped to make room: a full engine is an error, and who asked is refused.
package memory

import (
	"context"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Config bounds an engine. The zero Config is the default.
type Config struct {
	// MaxEntries is how many keys, and how many counters, are kept at most; zero means
	// a million. Each takes up to 200 bytes.
	MaxEntries int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const defaultMaxEntries = 1_000_000

// Engine is the memory of one process. It is safe for concurrent use.
type Engine struct {
	now func() time.Time

	// Keys and counters have a lock each: neither is ever held with the other.
	seenLock sync.Mutex
	seen     *table[struct{}]

	spentLock sync.Mutex
	spent     *table[int64]
}

// New returns an engine in which nothing was seen yet.
func New(cfg Config) *Engine {
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = defaultMaxEntries
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Engine{now: cfg.Now, seen: newTable[struct{}](cfg.MaxEntries), spent: newTable[int64](cfg.MaxEntries)}
}

// Fresh reports, once for a key until then, that it was not seen before. A time that
// is past is of no key that is fresh.
func (e *Engine) Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	e.seenLock.Lock()
	defer e.seenLock.Unlock()
	now, ends := e.now().UnixNano(), until.UnixNano()
	if _, seen := e.seen.get(key, now); seen || ends <= now {
		return false, nil
	}
	if err := e.seen.room(1, now); err != nil {
		return false, err
	}
	e.seen.add(key, struct{}{}, ends)
	return true, nil
}

// Spend spends one of each limit, or nothing where one of them is spent. No two of the
// limits may have the same Counter.
func (e *Engine) Spend(ctx context.Context, limits []authz.Limit) (authz.Spending, error) {
	if err := ctx.Err(); err != nil {
		return authz.Spending{}, err
	}
	e.spentLock.Lock()
	defer e.spentLock.Unlock()
	now := e.now().UnixNano()
	spending, begun := e.look(limits, now)
	if !spending.OK {
		return spending, nil
	}
	if err := e.spent.room(begun, now); err != nil {
		return authz.Spending{}, err
	}
	for i := range spending.Left {
		e.count(&spending.Left[i], now)
	}
	return spending, nil
}

// look tells what is left of limits, and how many counters spending them would begin.
func (e *Engine) look(limits []authz.Limit, now int64) (spending authz.Spending, begun int) {
	spending.OK = true
	for _, limit := range limits {
		left := authz.Allowance{Limit: limit, Remaining: limit.Max, Reset: limit.Window}
		if counter, ok := e.spent.get(limit.Counter(), now); ok {
			// A limit that was lowered may have been spent more often than it now allows.
			left.Remaining = max(0, limit.Max-counter.value)
			left.Reset = time.Duration(counter.until - now)
		} else {
			begun++
		}
		spending.OK = spending.OK && left.Remaining > 0
		spending.Left = append(spending.Left, left)
	}
	return spending, begun
}

// count spends one of a limit.
func (e *Engine) count(left *authz.Allowance, now int64) {
	left.Remaining--
	key := left.Limit.Counter()
	if counter, ok := e.spent.get(key, now); ok {
		e.spent.set(key, counter.value+1)
		return
	}
	e.spent.add(key, 1, now+int64(left.Reset))
}

// Ready is nil: there is nothing that could be away.
func (e *Engine) Ready(context.Context) error { return nil }

// Close does nothing: there is nothing to close.
func (e *Engine) Close() {}
