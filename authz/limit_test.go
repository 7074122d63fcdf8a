package authz

import (
	"strings"
	"testing"
	"time"
)

func TestLimitCheck(t *testing.T) {
	tests := []struct {
		name  string
		limit Limit
		ok    bool
	}{
		{"least", Limit{"n", "k", 1, time.Millisecond}, true},
		{"most", Limit{"n", strings.Repeat("k", 4096), 1_000_000_000, 31 * 24 * time.Hour}, true},
		{"zero", Limit{}, false},
		{"no name", Limit{"", "k", 1, time.Minute}, false},
		{"a name of other letters", Limit{"n\"", "k", 1, time.Minute}, false},
		{"no key", Limit{"n", "", 1, time.Minute}, false},
		{"key too long", Limit{"n", strings.Repeat("k", 4097), 1, time.Minute}, false},
		{"no max", Limit{"n", "k", 0, time.Minute}, false},
		{"max below zero", Limit{"n", "k", -1, time.Minute}, false},
		{"max too high", Limit{"n", "k", 1_000_000_001, time.Minute}, false},
		{"no window", Limit{"n", "k", 1, 0}, false},
		{"window below zero", Limit{"n", "k", 1, -time.Minute}, false},
		{"window of microseconds", Limit{"n", "k", 1, time.Minute + time.Microsecond}, false},
		{"window too long", Limit{"n", "k", 1, 31*24*time.Hour + time.Millisecond}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.limit.Check(); (err == nil) != test.ok {
				t.Errorf("Check() = %v, want ok %t", err, test.ok)
			}
		})
	}
}

func TestLimitsAreCountedByKeyAndWindow(t *testing.T) {
	base := Limit{"n", "k", 1, time.Minute}
	if (Limit{"m", "k", 2, time.Minute}).Counter() != base.Counter() {
		t.Error("limits that differ in name and Max are counted apart, want together")
	}
	for _, other := range []Limit{{"n", "K", 1, time.Minute}, {"n", "k\x00", 1, time.Minute}, {"n", "k", 1, time.Hour}} {
		if other.Counter() == base.Counter() {
			t.Errorf("%+v and %+v are counted together, want apart", other, base)
		}
	}
}

func TestRetryAfterIsWhenAllThatRefusedAreFree(t *testing.T) {
	left := []Allowance{{Remaining: 0, Reset: time.Second}, {Remaining: 0, Reset: time.Minute}, {Remaining: 5, Reset: time.Hour}}
	if got := (Spending{Left: left}).RetryAfter(); got != time.Minute {
		t.Errorf("RetryAfter() of a refusal = %v, want %v", got, time.Minute)
	}
	if got := (Spending{OK: true, Left: left}).RetryAfter(); got != 0 {
		t.Errorf("RetryAfter() of what was allowed = %v, want 0", got)
	}
}
