// Package memory keeps what was seen, spent and revoked in the memory of one process:
// another process does not see it, and it is gone when the process ends. It is for
// deployments of one replica.
//
// All that is kept is of fixed size and bounded in number. What has not expired is
// never dropped to make room: a full engine is an error, and who asked is refused.
package memory

import (
	"context"
	"errors"
	"slices"
	"strconv"
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

const (
	defaultMaxEntries = 1_000_000
	// maxLog bounds the entries that Append keeps, in number, and maxText in bytes.
	maxLog  = 100_000
	maxText = 256
	// page is how many entries Since returns at most.
	page = 1_000
)

var errText = errors.New("memory: a text of the log is longer than 256 bytes")

// Engine is the memory of one process. It is safe for concurrent use.
type Engine struct {
	now func() time.Time

	// Keys, counters and log have a lock each: none is ever held with another.
	seenLock sync.Mutex
	seen     *table[struct{}]

	spentLock sync.Mutex
	spent     *table[int64]

	logLock sync.Mutex
	log     []line
	// last is the number of the line that was appended last; the first has 1.
	last int
}

type line struct {
	number int
	text   string
	until  int64
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

// Append keeps a text, of at most 256 bytes, until then. 100,000 are kept at most.
func (e *Engine) Append(ctx context.Context, text string, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(text) > maxText {
		return errText
	}
	e.logLock.Lock()
	defer e.logLock.Unlock()
	if len(e.log) >= maxLog {
		now := e.now().UnixNano()
		e.log = slices.DeleteFunc(e.log, func(kept line) bool { return kept.until <= now })
	}
	if len(e.log) >= maxLog {
		return errFull
	}
	e.last++
	e.log = append(e.log, line{number: e.last, text: text, until: until.UnixNano()})
	return nil
}

// Since returns what was appended after a mark, the oldest first, and the mark to go on
// from: not all of it at once, but something where there is something. The first mark
// is "". What has expired may be among it.
func (e *Engine) Since(ctx context.Context, mark string) (texts []string, next string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	// What is no number of ours is taken for the first mark: to be told twice is harmless.
	after, err := strconv.Atoi(mark)
	if err != nil {
		after = 0
	}
	e.logLock.Lock()
	defer e.logLock.Unlock()
	from, _ := slices.BinarySearchFunc(e.log, after+1, func(kept line, number int) int { return kept.number - number })
	for _, kept := range e.log[from:min(from+page, len(e.log))] {
		texts, after = append(texts, kept.text), kept.number
	}
	return texts, strconv.Itoa(after), nil
}

// Ready is nil: there is nothing that could be away.
func (e *Engine) Ready(context.Context) error { return nil }

// Close does nothing: there is nothing to close.
func (e *Engine) Close() {}
