package replay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/memory"
)

// open returns a store over memory that closes with the test.
func open(t *testing.T) *replay.Store {
	t.Helper()
	store := replay.New(memory.New(memory.Config{}), nil)
	t.Cleanup(store.Close)
	return store
}

func hourly(key string, most int64) authz.Limit {
	return authz.Limit{Name: "n", Key: key, Max: most, Window: time.Hour}
}

func TestFreshIsTrueOnce(t *testing.T) {
	store := open(t)
	for _, want := range []bool{true, false, false} {
		fresh, err := store.Fresh(t.Context(), [32]byte{1}, time.Now().Add(time.Hour))
		if err != nil || fresh != want {
			t.Errorf("Fresh() = %t, %v, want %t", fresh, err, want)
		}
	}
}

// A policy may name one counter twice, such as by a set of limits that differ in max.
func TestLimitsOfOneCounterAreSpentOnceByTheLowest(t *testing.T) {
	store := open(t)
	limits := []authz.Limit{hourly("a", 5), hourly("b", 9), hourly("a", 2), hourly("a", 7)}
	for _, want := range []int64{1, 0} {
		spending, err := store.Spend(t.Context(), limits)
		if err != nil || !spending.OK {
			t.Fatalf("Spend() = %t, %v, want OK", spending.OK, err)
		}
		if len(spending.Left) != 2 || spending.Left[0].Limit.Max != 2 || spending.Left[0].Remaining != want {
			t.Errorf("Spend() leaves %+v, want %d of a's 2, and b's", spending.Left, want)
		}
	}
	if spending, err := store.Spend(t.Context(), limits); err != nil || spending.OK {
		t.Errorf("Spend() of a third = %t, %v, want it refused", spending.OK, err)
	}
}

func TestSpendRefusesWhatIsNoLimit(t *testing.T) {
	store := open(t)
	tests := []struct {
		name   string
		limits []authz.Limit
	}{
		{"one of several is none", []authz.Limit{hourly("a", 1), hourly("b", 0)}},
		{"too many", make([]authz.Limit, 17)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if spending, err := store.Spend(t.Context(), test.limits); err == nil || spending.OK {
				t.Errorf("Spend() = %t, %v, want an error", spending.OK, err)
			}
		})
	}
	if spending, err := store.Spend(t.Context(), []authz.Limit{hourly("a", 1)}); err != nil || !spending.OK {
		t.Errorf("Spend() after = %t, %v, want OK: what failed spent nothing", spending.OK, err)
	}
}

func TestNoLimitsAreSpent(t *testing.T) {
	if spending, err := open(t).Spend(t.Context(), nil); err != nil || !spending.OK {
		t.Errorf("Spend() of nothing = %t, %v, want OK", spending.OK, err)
	}
}

var errAway = errors.New("away")

// broken is an engine that says yes, and fails.
type broken struct{ replay.Engine }

func (broken) Fresh(context.Context, [32]byte, time.Time) (bool, error) { return true, errAway }
func (broken) Spend(context.Context, []authz.Limit) (authz.Spending, error) {
	return authz.Spending{OK: true}, errAway
}
func (broken) Ready(context.Context) error { return errAway }

func TestBrokenEngineIsAnErrorAndNothingElse(t *testing.T) {
	store := replay.New(broken{}, nil)
	if fresh, err := store.Fresh(t.Context(), [32]byte{}, time.Now().Add(time.Hour)); fresh || !errors.Is(err, errAway) {
		t.Errorf("Fresh() = %t, %v, want false and the engine's error", fresh, err)
	}
	spending, err := store.Spend(t.Context(), []authz.Limit{hourly("ann", 1)})
	if spending.OK || !errors.Is(err, errAway) || strings.Contains(err.Error(), "ann") {
		t.Errorf("Spend() = %t, %v, want a refusal and the engine's error, without the key", spending.OK, err)
	}
	if err := store.Ready(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Ready() = %v, want the engine's error", err)
	}
}

// patient is an engine that answers only when time is up.
type patient struct{ replay.Engine }

func (patient) Fresh(ctx context.Context, _ [32]byte, _ time.Time) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func (patient) Spend(ctx context.Context, _ []authz.Limit) (authz.Spending, error) {
	<-ctx.Done()
	return authz.Spending{}, ctx.Err()
}

// An engine that hangs leaves time for what comes after: who may go on without must be
// able to.
func TestAnEngineThatHangsLeavesHalfOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := replay.New(patient{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := store.Fresh(ctx, [32]byte{}, time.Now().Add(time.Hour)); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Errorf("Fresh() = %v, and the caller's time is up: %v; want it up for the engine alone", err, ctx.Err())
		}
		if _, err := store.Spend(ctx, []authz.Limit{hourly("a", 1)}); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Errorf("Spend() = %v, and the caller's time is up: %v; want it up for the engine alone", err, ctx.Err())
		}
	})
}
