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

// TestPolicyIsCovered holds that the tests come to every line of what people copy from.
func TestPolicyIsCovered(t *testing.T) {
	report, err := rego.RunTests(t.Context(), rego.Config{Path: "policy"}, rego.Selection{Coverage: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range report.Coverage.Files {
		if file.Missed > 0 {
			t.Errorf("%s: no test comes to the lines %v", file.File, file.Gaps)
		}
	}
	if len(report.Coverage.Untold) > 0 {
		t.Error(report.Coverage.Untold)
	}
}
