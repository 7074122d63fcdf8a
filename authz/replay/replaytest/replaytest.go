// Package replaytest holds what every replay engine and every log must do, whatever it
// keeps things in. Its tests call Run, or RunLog, with a way to open it.
package replaytest

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/replay"
)

// Fixture is an empty store with two clients of it, which close with the test. Where
// there is no more than one client of a store they are the same.
type Fixture struct {
	Clients [2]replay.Engine
	// Now is the clock of the clients.
	Now func() time.Time
	// Until has time pass until the condition holds, and fails the test where it does
	// not within a few seconds of the clients' clock.
	Until func(t *testing.T, what string, condition func() bool)
}

// Open makes a fixture.
type Open func(t *testing.T) Fixture

// soon is how long what is to expire in a test lasts.
const soon = 300 * time.Millisecond

// Run tests an engine.
func Run(t *testing.T, open Open) {
	t.Run("seen before", func(t *testing.T) { seenBefore(t, open(t)) })
	t.Run("seen until", func(t *testing.T) { seenUntil(t, open(t)) })
	t.Run("seen by both at once", func(t *testing.T) { seenAtOnce(t, open(t)) })
	runLimits(t, open)
	t.Run("time is up", func(t *testing.T) { timeIsUp(t, open(t)) })
	t.Run("ready", func(t *testing.T) { ready(t, open(t)) })
}

// key is the n-th of many.
func key(n int) [32]byte { return sha256.Sum256([]byte(strconv.Itoa(n))) }

func fresh(t *testing.T, engine replay.Engine, key [32]byte, until time.Time) bool {
	t.Helper()
	fresh, err := engine.Fresh(t.Context(), key, until)
	if err != nil {
		t.Fatalf("Fresh() = %v, want no error", err)
	}
	return fresh
}

// seenBefore holds that a key is fresh once, to whichever client, and that keys which
// differ in one bit are two.
func seenBefore(t *testing.T, f Fixture) {
	until := f.Now().Add(time.Hour)
	for bit := range 256 {
		var one [32]byte
		one[bit/8] = 1 << (bit % 8)
		if !fresh(t, f.Clients[bit%2], one, until) {
			t.Errorf("key with bit %d: Fresh() = false the first time, want true", bit)
		}
		for _, client := range f.Clients {
			if fresh(t, client, one, until.Add(time.Hour)) {
				t.Errorf("key with bit %d: Fresh() = true again, want false", bit)
			}
		}
	}
}

// seenUntil holds that a key is forgotten when its time is over, not before, and that
// to be asked about again does not prolong it.
func seenUntil(t *testing.T, f Fixture) {
	until := f.Now().Add(soon)
	fresh(t, f.Clients[0], key(1), until)
	fresh(t, f.Clients[0], key(2), until.Add(time.Hour))
	f.Until(t, "a key to be forgotten", func() bool {
		again := fresh(t, f.Clients[1], key(1), f.Now().Add(time.Hour))
		if again && f.Now().Before(until) {
			t.Error("Fresh() = true before the key's time is over, want false")
		}
		return again
	})
	if fresh(t, f.Clients[0], key(1), f.Now().Add(time.Hour)) {
		t.Error("Fresh() = true twice after the key's time is over, want once")
	}
	if fresh(t, f.Clients[0], key(2), f.Now().Add(time.Hour)) {
		t.Error("Fresh() of a key whose time is not over = true, want false")
	}
	if fresh(t, f.Clients[0], key(3), f.Now().Add(-time.Second)) || fresh(t, f.Clients[0], key(3), time.Time{}) {
		t.Error("Fresh() until a time that is past = true, want false")
	}
}

// seenAtOnce offers each of 1,000 keys to both clients at once.
func seenAtOnce(t *testing.T, f Fixture) {
	const keys = 1_000
	var accepted [keys]atomic.Int32
	until := f.Now().Add(time.Hour)
	each(keys, f.Clients, func(n int, client replay.Engine) {
		fresh, err := client.Fresh(t.Context(), key(n), until)
		if err != nil {
			t.Errorf("Fresh() = %v, want no error", err)
		}
		if fresh {
			accepted[n].Add(1)
		}
	})
	for n := range accepted {
		if times := accepted[n].Load(); times != 1 {
			t.Errorf("key %d was fresh %d times, want once", n, times)
		}
	}
}

// each does n things with both clients, the same thing at about the same time.
func each(n int, clients [2]replay.Engine, do func(n int, client replay.Engine)) {
	var doing sync.WaitGroup
	for part := range 8 {
		for _, client := range clients {
			doing.Go(func() {
				for i := part; i < n; i += 8 {
					do(i, client)
				}
			})
		}
	}
	doing.Wait()
}

func timeIsUp(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	engine, later := f.Clients[0], f.Now().Add(time.Hour)
	if fresh, err := engine.Fresh(ctx, key(1), later); fresh || !errors.Is(err, context.Canceled) {
		t.Errorf("Fresh() = %t, %v, want context.Canceled", fresh, err)
	}
	if spending, err := engine.Spend(ctx, limits("a", 1)); spending.OK || !errors.Is(err, context.Canceled) {
		t.Errorf("Spend() = %t, %v, want context.Canceled", spending.OK, err)
	}
}

func ready(t *testing.T, f Fixture) {
	for _, client := range f.Clients {
		if err := client.Ready(t.Context()); err != nil {
			t.Errorf("Ready() = %v, want nil", err)
		}
	}
}
