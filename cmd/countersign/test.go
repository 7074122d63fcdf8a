package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/rego"
)

const testPurpose = `run the tests of a policy

  countersign test --config countersign.yaml
  countersign test policy/
  countersign test --run site_test --coverage --threshold 80 policy/
  countersign test --watch policy/

Tests are the rules test_… of the files *_test.rego beside the policy: of the folder or
bundle that is named, or else of the configuration's. The standard library is there as
it is for serve, and so is what policies may not call; opa test runs the same tests.

Exit codes: 0 all passed, 1 one did not, there are none, or too little is covered,
2 wrong arguments, or a policy that does not compile.`

// testRun is what was asked of the tests.
type testRun struct {
	config, path, output string
	selection            rego.Selection
	threshold            float64
	watch                bool
}

// test runs the tests of a policy.
func test(ctx context.Context, args []string, w world) error {
	ask := testRun{output: "text"}
	rest, err := operands("test", testPurpose, args, w, ask.define)
	if err != nil {
		return err
	}
	if wrong := ask.take(rest); wrong != "" {
		fmt.Fprintf(w.stderr, "countersign test: %s; see countersign test --help\n", wrong)
		return errArguments
	}
	if ask.watch {
		return ask.runAgain(ctx, w)
	}
	policy, _, err := ask.policy(w)
	if err == nil {
		err = ask.run(ctx, policy, w)
	}
	return tell(err, ask.output, w)
}

func (t *testRun) define(f *flag.FlagSet) {
	f.StringVar(&t.config, "config", "countersign.yaml", "the configuration that names the policy")
	f.StringVar(&t.selection.Names, "run", "", "only the tests whose names, such as data.site_test.test_a, this regular `expression` finds")
	f.BoolVar(&t.selection.Coverage, "coverage", false, "tell which lines of the policy no test comes to, and which reasons none is given")
	f.Func("threshold", "the `percent` of lines that must be covered; asks for --coverage", func(value string) error {
		percent, err := strconv.ParseFloat(value, 64)
		if err != nil || !(0 <= percent && percent <= 100) {
			return errors.New("is no number from 0 to 100")
		}
		t.threshold, t.selection.Coverage = percent, true
		return nil
	})
	f.BoolVar(&t.watch, "watch", false, "run them again when a file changes, until interrupted")
	f.Func("output", "text, json or junit (default text)", func(value string) error {
		if value != "text" && value != "json" && value != "junit" {
			return errors.New("is neither text, json nor junit")
		}
		t.output = value
		return nil
	})
}

// take takes the operands, and says what is wrong with them or the flags, or "".
func (t *testRun) take(rest []string) string {
	switch {
	case len(rest) > 1:
		return fmt.Sprintf("%q is one policy too many", rest[1])
	case t.watch && t.output != "text":
		return "--watch tells text only"
	case len(rest) == 1:
		t.path = rest[0]
	}
	return ""
}

// policy is what to test, and the files to watch for a change.
func (t *testRun) policy(w world) (policy rego.Config, files []string, err error) {
	if t.path != "" {
		return rego.Config{Path: t.path}, []string{t.path}, nil
	}
	cfg, err := config.Load(t.config, w.environ)
	if err != nil {
		return rego.Config{}, []string{t.config}, err
	}
	files = []string{t.config}
	if cfg.Policy.Path != "" {
		files = append(files, cfg.Policy.Path)
	}
	policy, err = wire.Named(cfg)
	sayBundles(policy.Set, w)
	return policy, files, err
}

// run runs the tests once and tells of them. Its error is errRefused where they did not
// all pass.
func (t *testRun) run(ctx context.Context, policy rego.Config, w world) error {
	report, err := rego.RunTests(ctx, policy, t.selection)
	if err != nil {
		return err
	}
	told := toldTests(report, t.threshold)
	if err := told.write(t.output, w.stdout); err != nil {
		return err
	}
	if !told.Passed {
		return errRefused
	}
	return nil
}

// runAgain runs the tests, and again after each change, until ctx ends.
func (t *testRun) runAgain(ctx context.Context, w world) error {
	polls := w.polls
	if polls == nil {
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		polls = ticker.C
	}
	for {
		policy, files, err := t.policy(w)
		watch := watcher{names: files, taken: look(files...)}
		if err == nil {
			err = t.run(ctx, policy, w)
		}
		if ctx.Err() != nil {
			return nil
		}
		exitCode(err, w.stderr)
		fmt.Fprintln(w.stdout, "watching for changes")
		for !watch.settled() {
			select {
			case <-ctx.Done():
				return nil
			case <-polls:
			}
		}
	}
}
