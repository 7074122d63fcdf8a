//go:build slow

package integration

import "testing"

// TestSlowReloadsUnderLoad takes minutes on a small machine, with the race detector.
func TestSlowReloadsUnderLoad(t *testing.T) { reloadUnderLoad(t, 10_000) }
