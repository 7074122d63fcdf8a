package memory_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/memory"
	"github.com/countersign-io/countersign/authz/replay/replaytest"
)

var _ replay.Engine = (*memory.Engine)(nil)

// clock is one that tests move.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time               { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration)         { c.at.Add(int64(d)) }
func (c *clock) in(d time.Duration) time.Time { return c.Now().Add(d) }

func TestConformance(t *testing.T) {
	replaytest.Run(t, func(t *testing.T) replaytest.Fixture {
		clock := newClock()
		engine := memory.New(memory.Config{Now: clock.Now})
		return replaytest.Fixture{
			Clients: [2]replay.Engine{engine, engine},
			Now:     clock.Now,
			Until: func(t *testing.T, what string, condition func() bool) {
				for range 1_000 {
					if condition() {
						return
					}
					clock.pass(10 * time.Millisecond)
				}
				t.Fatalf("waited ten seconds of the clock for %s", what)
			},
		}
	})
}

// number is the n-th of many keys.
func number(n int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func mustFresh(t *testing.T, engine *memory.Engine, n int, until time.Time) {
	t.Helper()
	if fresh, err := engine.Fresh(t.Context(), number(n), until); err != nil || !fresh {
		t.Fatalf("Fresh(%d) = %t, %v, want true", n, fresh, err)
	}
}

// What has not expired is never dropped: a full engine refuses what is new and still
// knows what is old.
func TestFullOfKeysIsAnError(t *testing.T) {
	clock := newClock()
	engine := memory.New(memory.Config{MaxEntries: 100, Now: clock.Now})
	for n := range 100 {
		mustFresh(t, engine, n, clock.in(time.Minute+time.Duration(n)*time.Second))
	}
	if fresh, err := engine.Fresh(t.Context(), number(100), clock.in(time.Minute)); err == nil || fresh || errors.Is(err, authz.ErrNoAnswer) {
		t.Errorf("Fresh() of one too many = %t, %v, want an error that is an answer", fresh, err)
	}
	for n := range 100 {
		if fresh, err := engine.Fresh(t.Context(), number(n), clock.in(time.Minute)); err != nil || fresh {
			t.Errorf("Fresh(%d) again = %t, %v, want false", n, fresh, err)
		}
	}
	clock.pass(time.Minute) // the first has expired, and makes room for one
	mustFresh(t, engine, 100, clock.in(time.Hour))
	if fresh, err := engine.Fresh(t.Context(), number(101), clock.in(time.Hour)); err == nil || fresh {
		t.Errorf("Fresh() of one too many = %t, %v, want an error", fresh, err)
	}
	clock.pass(time.Hour) // so has all else, at once
	for n := range 100 {
		mustFresh(t, engine, n, clock.in(time.Minute))
	}
}

// A key that comes again after its time is as new as any other, and lasts as long, even
// where the rest of what it was has not been swept away.
func TestKeyThatComesAgainLasts(t *testing.T) {
	clock := newClock()
	engine := memory.New(memory.Config{MaxEntries: 10, Now: clock.Now})
	for n := range 10 {
		mustFresh(t, engine, n, clock.in(time.Second))
	}
	clock.pass(time.Second)
	mustFresh(t, engine, 9, clock.in(time.Hour))
	for n := range 9 { // sweeps what is left of the first time
		mustFresh(t, engine, n, clock.in(time.Hour))
	}
	if fresh, err := engine.Fresh(t.Context(), number(9), clock.in(time.Hour)); err != nil || fresh {
		t.Errorf("Fresh() again = %t, %v, want false", fresh, err)
	}
}

// Where there is no room for all counters that a decision begins, it begins none.
func TestFullOfCountersIsAnError(t *testing.T) {
	clock := newClock()
	engine := memory.New(memory.Config{MaxEntries: 2, Now: clock.Now})
	limit := func(key string) authz.Limit { return authz.Limit{Key: key, Max: 2, Window: time.Minute} }
	spend := func(limits ...authz.Limit) (authz.Spending, error) { return engine.Spend(t.Context(), limits) }
	if _, err := spend(limit("a")); err != nil {
		t.Fatalf("Spend() = %v, want no error", err)
	}
	if spending, err := spend(limit("a"), limit("b"), limit("c")); err == nil || spending.OK || errors.Is(err, authz.ErrNoAnswer) {
		t.Errorf("Spend() with two too many = %t, %v, want an error that is an answer", spending.OK, err)
	}
	if spending, err := spend(limit("a"), limit("b")); err != nil || !spending.OK || spending.Left[0].Remaining != 0 {
		t.Errorf("Spend() = %+v, %v, want the last of a: what failed spent nothing", spending, err)
	}
	clock.pass(time.Minute)
	if spending, err := spend(limit("c"), limit("d")); err != nil || !spending.OK {
		t.Errorf("Spend() after the windows = %t, %v, want OK", spending.OK, err)
	}
}

func BenchmarkFresh(b *testing.B) {
	engine := memory.New(memory.Config{})
	var n atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := engine.Fresh(b.Context(), number(int(n.Add(1))), time.Now().Add(100*time.Millisecond)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkSpend(b *testing.B) {
	engine := memory.New(memory.Config{})
	limits := []authz.Limit{{Key: "a", Max: 1_000_000_000, Window: time.Hour}, {Key: "b", Max: 1_000_000_000, Window: time.Hour}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := engine.Spend(b.Context(), limits); err != nil {
				b.Error(err)
			}
		}
	})
}
