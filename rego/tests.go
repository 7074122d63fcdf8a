package rego

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/open-policy-agent/opa/v1/tester"
)

// testTime bounds each test; ctx bounds them all. The runner's own 5 s are too little for
// tests that try every fact, on a machine that does other work.
const testTime = 5 * time.Minute

var (
	errTestsFailed = errors.New("policy: tests failed")
	errNoTests     = errors.New("policy: there are no tests")
)

// Test runs the tests (*_test.rego) of the policy at cfg.Path against it and the
// embedded library, and writes a line for each that did not pass to report. Tests
// are compiled as strictly as the policy, without the built-ins that it is not given.
// It is for the go tests of whoever keeps policies beside Go code.
func Test(ctx context.Context, cfg Config, report io.Writer) error {
	loaded, err := loadWith(cfg.Path, tested)
	if err != nil {
		return err
	}
	return loaded.test(ctx, report)
}

func (s *source) test(ctx context.Context, report io.Writer) error {
	policy, err := s.uncompiled(ctx)
	if err != nil {
		return err
	}
	results, err := tester.NewRunner().
		SetCompiler(policy.compiler.WithEnablePrintStatements(true)).
		SetStore(policy.store).
		SetModules(s.modules).
		CapturePrintOutput(true).
		RaiseBuiltinErrors(true).
		SetTimeout(testTime).
		RunTests(ctx, policy.txn)
	if err != nil {
		return s.problems(err)
	}
	ran, failed := 0, 0
	for result := range results {
		ran++
		if !result.Pass() {
			failed++
			fmt.Fprintf(report, "%s:%d: %s\n%s", s.file(result.Location.File), result.Location.Row, result, result.Output)
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%w: %d of %d", errTestsFailed, failed, ran)
	case ran == 0:
		return errNoTests
	}
	return nil
}
