package rego

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// TestStackGrowsForADecision: even a policy that needs hardly any stack leaves room
// for one that needs much.
func TestStackGrowsForADecision(t *testing.T) {
	e := own(t, "package site\ndecision if input.caller.kind == \"customer\"\n")
	if got := stackAfter(t, e, fullFacts()); got < stackFrame {
		t.Errorf("%d bytes of stack after a decision, want %d at least", got, stackFrame)
	}
}

// stackAfter is the stack that a goroutine has after a decision, on average.
func stackAfter(t *testing.T, e *Engine, facts *authz.Facts) uint64 {
	t.Helper()
	const goroutines = 64
	// The collector shrinks the stacks of those that wait.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := stacks()
	var decided, ended sync.WaitGroup
	end := make(chan struct{})
	for range goroutines {
		decided.Add(1)
		ended.Go(func() {
			defer func() { <-end }()
			defer decided.Done()
			if verdict, err := e.Decide(t.Context(), facts); err != nil || !verdict.Allowed {
				t.Errorf("Decide() = %+v, %v, want an allow", verdict, err)
			}
		})
	}
	decided.Wait()
	after := stacks()
	close(end)
	ended.Wait()
	return (after - before) / goroutines
}

func stacks() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.StackInuse
}
