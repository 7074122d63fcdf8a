package rego

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign-io/countersign/authz"
)

const testedSite = `package countersign.site

deny contains "no_staff" if input.caller.kind == "staff"

deny contains "closed" if {
	input.caller.tenant == "closed"
	not open
}

open if {
	input.region.service == "GB"
	input.region.caller == "GB"
}
`

const siteTests = `package countersign.site_test

import data.countersign.site

test_staff if "no_staff" in site.deny with input as {"caller": {"kind": "staff"}}

test_wrong if {
	print("staff:", site.deny)
	"no_staff" in site.deny with input as {"caller": {"kind": "client"}}
}

test_broken if {
	to_number(input.caller.kind) == 1 with input as {"caller": {"kind": "a"}}
}

test_cases[kind] if {
	some kind in ["staff", "client"]
	count(site.deny) == 1 with input as {"caller": {"kind": kind}}
}

todo_test_later if false
`

func ranTests(t *testing.T, site string, selection Selection) *TestReport {
	t.Helper()
	directory := write(t, map[string]string{"site.rego": site, "site_test.rego": siteTests})
	report, err := RunTests(t.Context(), Config{Path: directory}, selection)
	if err != nil {
		t.Fatal(err)
	}
	for i := range report.Tests {
		report.Tests[i].File = strings.TrimPrefix(report.Tests[i].File, directory+"/")
	}
	return report
}

func TestHowEachTestEnded(t *testing.T) {
	got := ranTests(t, testedSite, Selection{}).Tests
	const in = "data.countersign.site_test."
	want := []TestResult{
		{Name: in + "test_staff", File: "site_test.rego", Line: 5, Outcome: Passed},
		{Name: in + "test_wrong", File: "site_test.rego", Line: 7, Outcome: Failed, Why: `line 9 does not hold: "no_staff" in site.deny with input as {"caller": {"kind": "client"}}`, Output: "staff: set()\n"},
		{Name: in + "test_broken", File: "site_test.rego", Line: 12, Outcome: Erred},
		{Name: in + "test_cases", File: "site_test.rego", Line: 16, Outcome: Failed, Why: "cases client"},
		{Name: in + "todo_test_later", File: "site_test.rego", Line: 21, Outcome: Skipped},
	}
	if !strings.Contains(got[2].Why, "to_number") {
		t.Errorf("why = %q, want the built-in", got[2].Why)
	}
	got[2].Why = ""
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(TestResult{}, "Took")); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
	}
}

func TestTestsBySelection(t *testing.T) {
	report := ranTests(t, testedSite, Selection{Names: "site_test.test_(staff|none)$"})
	if len(report.Tests) != 1 || report.Count(Passed) != 1 || report.Coverage != nil {
		t.Errorf("ran %+v, want test_staff alone and no coverage", report)
	}
	_, err := RunTests(t.Context(), Config{}, Selection{Names: "("})
	var found authz.Problems
	if !errors.As(err, &found) || found[0].Key != "run" {
		t.Errorf("RunTests = %v, want a problem of run", err)
	}
}

func TestTestsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	directory := write(t, map[string]string{"site.rego": testedSite, "site_test.rego": siteTests})
	if _, err := RunTests(ctx, Config{Path: directory}, Selection{}); !errors.Is(err, context.Canceled) {
		t.Errorf("RunTests = %v, want that it was ended", err)
	}
}

// TestCoverage holds that neither the library nor the tests count, and which lines are missed.
func TestCoverage(t *testing.T) {
	got := ranTests(t, testedSite, Selection{Names: "test_staff", Coverage: true}).Coverage
	if len(got.Files) != 1 || !strings.HasSuffix(got.Files[0].File, "/site.rego") || got.Files[0].Covered != 1 || got.Percent != 100./7 {
		t.Fatalf("coverage = %+v, want one of seven lines of site.rego", got)
	}
	if diff := cmp.Diff([][2]int{{5, 7}, {10, 12}}, got.Files[0].Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if len(got.Untold) != 1 || got.Untold[0].Line != 5 || got.Untold[0].What != `no test has this rule give the reason "closed"` {
		t.Errorf("untold = %v, want closed", got.Untold)
	}
}

// TestReasonOnOneLineIsUntold holds that a condition which was asked is not a reason that
// was given.
func TestReasonOnOneLineIsUntold(t *testing.T) {
	site := "package countersign.site\n\ndeny contains \"no_staff\" if input.caller.kind == \"staff\"\n\n" +
		"deny contains \"far\" if not input.caller.kind == \"staff\"\n\n" +
		"waive contains {\"not_owner\": \"a:1\"} if input.caller.kind == \"client\"\n\n" +
		"# METADATA\n# custom: {reason: late}\nlate := \"late\" if input.request.time > 0\n"
	got := ranTests(t, site, Selection{Names: "test_staff", Coverage: true}).Coverage
	want := []string{`no test has this rule give the reason "far"`, `no test has this rule lift "not_owner"`, `no test has this rule give the reason "late"`}
	if diff := cmp.Diff(want, whats(got.Untold)); diff != "" {
		t.Errorf("untold (-want +got):\n%s", diff)
	}
}

func whats(problems authz.Problems) []string {
	var whats []string
	for _, problem := range problems {
		whats = append(whats, problem.What)
	}
	return whats
}

func TestCoverageOfNothing(t *testing.T) {
	report, err := RunTests(t.Context(), Config{Path: write(t, map[string]string{"data.json": "{}"})}, Selection{Coverage: true})
	if err != nil || len(report.Tests) > 0 || report.Coverage.Percent != 100 {
		t.Errorf("RunTests = %+v, %v, want nothing", report, err)
	}
}
