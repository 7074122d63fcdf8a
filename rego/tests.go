package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/countersign-io/countersign/authz"
)

// testTime bounds each test; ctx bounds them all. The runner's own 5 s are too little for
// tests that try every fact, on a machine that does other work.
const testTime = 5 * time.Minute

var (
	errTestsFailed = errors.New("policy: tests failed")
	errNoTests     = errors.New("policy: there are no tests")
)

// Selection says which tests of a policy run, and what is asked of them besides.
type Selection struct {
	// Names is a regular expression of names such as "data.site_test.test_a"; "" is all.
	Names string
	// Coverage asks which lines of the policy the tests come to.
	Coverage bool
}

// Outcome is how a test ended.
type Outcome string

// A test is skipped where its name begins with todo_test_; one that ended early has an error.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Erred   Outcome = "error"
	Skipped Outcome = "skipped"
)

// TestResult is one test's. Why quotes the test and what it was given, never anything of
// a real request.
type TestResult struct {
	// Name is the test's, with its package: "data.site_test.test_a".
	Name    string
	File    string
	Line    int
	Outcome Outcome
	// Why is the condition that did not hold and its line, or the error.
	Why string
	// Output is what the test printed.
	Output string
	Took   time.Duration
}

// TestReport is of all tests that ran, in the order of files and lines.
type TestReport struct {
	Tests []TestResult
	// Coverage is nil where it was not asked for.
	Coverage *Coverage
}

// Count is how many tests ended so.
func (r *TestReport) Count(outcome Outcome) int {
	n := 0
	for _, test := range r.Tests {
		if test.Outcome == outcome {
			n++
		}
	}
	return n
}

// Test runs the tests (*_test.rego) of the policy at cfg.Path against it and the
// embedded library, and writes a line for each that did not pass to report. Tests
// are compiled as strictly as the policy, without the built-ins that it is not given.
// It is for the go tests of whoever keeps policies beside Go code.
func Test(ctx context.Context, cfg Config, report io.Writer) error {
	loaded, err := loadWith(cfg, true)
	if err != nil {
		return err
	}
	return loaded.test(ctx, report)
}

// RunTests runs tests as Test does, and tells how each ended. Its error is authz.Problems
// where the policy or its tests do not compile.
func RunTests(ctx context.Context, cfg Config, selection Selection) (*TestReport, error) {
	if _, err := regexp.Compile(selection.Names); err != nil {
		return nil, authz.Problems{{Key: "run", What: err.Error(), Fix: "write a regular expression of tests' names, such as site_test"}}
	}
	loaded, err := loadWith(cfg, true)
	if err != nil {
		return nil, err
	}
	return loaded.runTests(ctx, selection)
}

func (s *source) test(ctx context.Context, report io.Writer) error {
	ran, err := s.runTests(ctx, Selection{})
	if err != nil {
		return err
	}
	for _, test := range ran.Tests {
		if test.Outcome != Passed {
			fmt.Fprintf(report, "%s:%d: %s: %s: %s\n%s", test.File, test.Line, test.Name, test.Outcome, test.Why, test.Output)
		}
	}
	switch passed := ran.Count(Passed); {
	case passed < len(ran.Tests):
		return fmt.Errorf("%w: %d of %d", errTestsFailed, len(ran.Tests)-passed, len(ran.Tests))
	case passed == 0:
		return errNoTests
	}
	return nil
}

func (s *source) runTests(ctx context.Context, selection Selection) (*TestReport, error) {
	if err := s.timeless().Err(); err != nil {
		return nil, err
	}
	policy, err := s.uncompiled(ctx)
	if err != nil {
		return nil, err
	}
	policy.compiler.WithEnablePrintStatements(true)
	covered := cover.New()
	runner := policy.runner().SetModules(s.modules).CapturePrintOutput(true).Filter(selection.Names)
	if selection.Coverage {
		runner.SetCoverageRuns(nil).SetCoverageQueryTracer(covered)
	}
	results, err := runner.RunTests(ctx, policy.txn)
	if err != nil {
		return nil, s.problems(err)
	}
	report := &TestReport{}
	for result := range results {
		report.Tests = append(report.Tests, s.resultOf(result))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("policy: tests: %w", err)
	}
	slices.SortFunc(report.Tests, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	if err := s.explainFailures(ctx, policy, report); err != nil {
		return nil, err
	}
	if selection.Coverage {
		report.Coverage = s.coverage(covered)
	}
	return report, nil
}

func (p *compiled) runner() *tester.Runner {
	return tester.NewRunner().
		SetCompiler(p.compiler).
		SetStore(p.store).
		RaiseBuiltinErrors(true).
		SetTimeout(testTime)
}

func (s *source) resultOf(result *tester.Result) TestResult {
	test := TestResult{
		Name: result.Package + "." + result.Name, File: s.file(result.Location.File), Line: result.Location.Row,
		Outcome: Passed, Output: string(result.Output), Took: result.Duration,
	}
	switch {
	case result.Skip:
		test.Outcome = Skipped
	case result.Error != nil:
		test.Outcome, test.Why = Erred, result.Error.Error()
	case result.Fail:
		test.Outcome, test.Why = Failed, failedCases(result)
	}
	return test
}

// failedCases names the cases that failed of a test that has some.
func failedCases(result *tester.Result) string {
	var names []string
	for name, sub := range result.SubResults.Iter {
		if sub.Fail && len(sub.SubResults) == 0 {
			names = append(names, strings.Join(name, "/"))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "cases " + strings.Join(names, ", ")
}

// explainFailures runs what failed once more, and watches where: what passes is not
// slowed down.
func (s *source) explainFailures(ctx context.Context, policy *compiled, report *TestReport) error {
	failed := map[string]*TestResult{}
	var names []string
	for i := range report.Tests {
		if test := &report.Tests[i]; test.Outcome == Failed && test.Why == "" {
			failed[test.Name] = test
			names = append(names, regexp.QuoteMeta(test.Name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	only := "^(?:" + strings.Join(names, "|") + ")$"
	results, err := policy.runner().EnableTracing(true).Filter(only).RunTests(ctx, policy.txn)
	if err != nil {
		return s.problems(err)
	}
	for result := range results {
		if test := failed[result.Package+"."+result.Name]; test != nil {
			test.Why = lastFailure(result)
		}
	}
	return nil
}

// lastFailure is the condition of the test's own file that was the last not to hold.
func lastFailure(result *tester.Result) string {
	for _, event := range slices.Backward(result.Trace) {
		at := event.Location
		if event.Op != topdown.FailOp || at == nil || at.File != result.Location.File || at.Row < result.Location.Row {
			continue
		}
		text, _, more := strings.Cut(string(at.Text), "\n")
		if more {
			text += " …"
		}
		return fmt.Sprintf("line %d does not hold: %s", at.Row, text)
	}
	return ""
}
