//go:build slow

package integration

import "testing"

// TestSlowReloadsUnderLoad takes minutes on a small machine, with the race detector.
func TestSlowReloadsUnderLoad(t *testing.T) { reloadUnderLoad(t, 10_000) }

// TestSlowKillsUnderLoad kills Countersign at fifty moments, while files are begun.
func TestSlowKillsUnderLoad(t *testing.T) {
	if files := killUnderLoad(t, 50); files <= 2 {
		t.Errorf("%d files, want some that were begun meanwhile", files)
	}
}
