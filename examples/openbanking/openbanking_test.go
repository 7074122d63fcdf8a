package openbanking_test

import (
	"strings"
	"testing"

	"github.com/countersign-io/countersign/rego"
)

// TestPolicy runs policy/*_test.rego beside the standard library.
func TestPolicy(t *testing.T) {
	var report strings.Builder
	if err := rego.Test(t.Context(), rego.Config{Path: "policy"}, &report); err != nil {
		t.Errorf("%v\n%s", err, report.String())
	}
}
