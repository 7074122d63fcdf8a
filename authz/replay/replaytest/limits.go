package replaytest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
)

func runLimits(t *testing.T, open Open) {
	t.Run("limit", func(t *testing.T) { limit(t, open(t)) })
	t.Run("limits are apart", func(t *testing.T) { apart(t, open(t)) })
	t.Run("limit that changes", func(t *testing.T) { changing(t, open(t)) })
	t.Run("window", func(t *testing.T) { window(t, open(t)) })
	t.Run("all or none", func(t *testing.T) { allOrNone(t, open(t)) })
	t.Run("spent by both at once", func(t *testing.T) { spentAtOnce(t, open(t)) })
	t.Run("several spent by both at once", func(t *testing.T) { severalAtOnce(t, open(t)) })
}

// hourly is a limit that does not end within a test.
func hourly(key string, most int64) authz.Limit {
	return authz.Limit{Key: key, Max: most, Window: time.Hour}
}

func limits(key string, most int64) []authz.Limit { return []authz.Limit{hourly(key, most)} }

func spend(t *testing.T, engine replay.Engine, limits ...authz.Limit) authz.Spending {
	t.Helper()
	spending, err := engine.Spend(t.Context(), limits)
	if err != nil {
		t.Fatalf("Spend() = %v, want no error", err)
	}
	if len(spending.Left) != len(limits) {
		t.Fatalf("Spend() tells what is left of %d limits, want %d", len(spending.Left), len(limits))
	}
	for i, left := range spending.Left {
		if left.Limit != limits[i] {
			t.Errorf("Spend() tells what is left of another limit than %d", i)
		}
		if left.Reset <= 0 || left.Reset > left.Limit.Window {
			t.Errorf("Reset = %v, want within the window of %v", left.Reset, left.Limit.Window)
		}
	}
	return spending
}

// wants holds a spending against what it should be.
func wants(t *testing.T, what string, got authz.Spending, ok bool, remaining ...int64) {
	t.Helper()
	if got.OK != ok {
		t.Errorf("%s: OK = %t, want %t", what, got.OK, ok)
	}
	for i, want := range remaining {
		if got.Left[i].Remaining != want {
			t.Errorf("%s: limit %d has %d left, want %d", what, i, got.Left[i].Remaining, want)
		}
	}
}

func limit(t *testing.T, f Fixture) {
	wants(t, "first", spend(t, f.Clients[0], hourly("a", 3)), true, 2)
	wants(t, "second", spend(t, f.Clients[1], hourly("a", 3)), true, 1)
	wants(t, "third", spend(t, f.Clients[0], hourly("a", 3)), true, 0)
	for _, client := range f.Clients {
		refused := spend(t, client, hourly("a", 3))
		wants(t, "fourth", refused, false, 0)
		if wait := refused.RetryAfter(); wait != refused.Left[0].Reset {
			t.Errorf("RetryAfter() = %v, want %v", wait, refused.Left[0].Reset)
		}
	}
}

// apart holds that what differs in key or window is counted by itself.
func apart(t *testing.T, f Fixture) {
	wants(t, "a", spend(t, f.Clients[0], hourly("a", 1)), true, 0)
	for _, other := range []authz.Limit{
		hourly("b", 1), hourly("A", 1), hourly("a ", 1), hourly("a\x00", 1), hourly("*", 1), hourly("{a}", 1), hourly("a:a", 1),
		{Key: "a", Max: 1, Window: time.Hour + time.Millisecond}, {Key: "a", Max: 1, Window: time.Minute},
	} {
		wants(t, other.Key, spend(t, f.Clients[1], other), true, 0)
		wants(t, other.Key+" again", spend(t, f.Clients[0], other), false, 0)
	}
}

// changing holds that what was spent stays spent where the limit is changed.
func changing(t *testing.T, f Fixture) {
	for range 5 {
		spend(t, f.Clients[0], hourly("a", 10))
	}
	wants(t, "lowered", spend(t, f.Clients[0], hourly("a", 3)), false, 0)
	wants(t, "lowered to what is spent", spend(t, f.Clients[1], hourly("a", 5)), false, 0)
	wants(t, "raised", spend(t, f.Clients[1], hourly("a", 1_000_000_000)), true, 999_999_994)
}

// window holds that a limit is free again, all of it, when its window ends, not before,
// and that to be refused does not prolong it.
func window(t *testing.T, f Fixture) {
	short := authz.Limit{Key: "a", Max: 2, Window: soon}
	wants(t, "first", spend(t, f.Clients[0], short), true, 1)
	begun := f.Now()
	wants(t, "second", spend(t, f.Clients[1], short), true, 0)
	f.Until(t, "the limit to be free again", func() bool {
		before := f.Now()
		spending := spend(t, f.Clients[1], short)
		if spending.OK {
			wants(t, "next window", spending, true, 1)
		}
		// begun is a little later than the window's own beginning.
		if slack := 50 * time.Millisecond; spending.OK && f.Now().Before(begun.Add(soon-slack)) {
			t.Errorf("Spend() = OK %v after the first, want a window of %v", before.Sub(begun), soon)
		}
		return spending.OK
	})
}

// allOrNone holds that a limit is not spent where another refuses, whatever the order.
func allOrNone(t *testing.T, f Fixture) {
	a, b, c := hourly("a", 1), hourly("b", 5), hourly("c", 5)
	wants(t, "all three", spend(t, f.Clients[0], b, a, c), true, 4, 0, 4)
	for range 3 {
		wants(t, "the spent one last", spend(t, f.Clients[1], b, c, a), false, 4, 4, 0)
		wants(t, "the spent one first", spend(t, f.Clients[0], a, b, c), false, 0, 4, 4)
		wants(t, "with one not begun", spend(t, f.Clients[0], hourly("d", 2), a), false, 2, 0)
	}
	wants(t, "those that are not spent", spend(t, f.Clients[1], b, c, hourly("d", 2)), true, 3, 3, 1)
}

// spentAtOnce tries 2,000 times to spend a limit of 1,000.
func spentAtOnce(t *testing.T, f Fixture) {
	const most = 1_000
	if ok := spentBy(t, f, most, limits("a", most)...); ok != most {
		t.Errorf("%d of 2,000 tries were allowed, want %d", ok, most)
	}
}

// severalAtOnce holds that refusals take nothing from the limit that is not spent.
func severalAtOnce(t *testing.T, f Fixture) {
	if ok := spentBy(t, f, 100, hourly("a", 500), hourly("b", 50)); ok != 50 {
		t.Errorf("%d of 200 tries were allowed, want 50", ok)
	}
	wants(t, "after", spend(t, f.Clients[0], hourly("a", 500)), true, 449)
}

// spentBy tries n times by each client, and counts what was allowed.
func spentBy(t *testing.T, f Fixture, n int, limits ...authz.Limit) int64 {
	var ok atomic.Int64
	each(n, f.Clients, func(_ int, client replay.Engine) {
		spending, err := client.Spend(t.Context(), limits)
		if err != nil {
			t.Errorf("Spend() = %v, want no error", err)
		}
		if spending.OK {
			ok.Add(1)
		}
	})
	return ok.Load()
}
