package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/countersign-io/countersign/authz"
	steps "github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/rego"
)

const (
	// maxRequest bounds a request file.
	maxRequest = 16 << 20
	// settleTime is how long key sets of URLs are waited for.
	settleTime = 5 * time.Second
	// explainTime is what a check is given at least: a store that is too slow to serve by can
	// still be explained.
	explainTime = 10 * time.Second
	// endTime is how long the end of one that ran out of time is waited for.
	endTime = time.Second
)

const explainPurpose = `say how a request is decided, or was, and why

  countersign explain [flags] request.json
  countersign explain [flags] --decision ID
  countersign explain --opa-config config.yaml policy.rego ... request.json
  countersign explain --opa-config config.yaml --decision ID policy.rego ...

The request is a CheckRequest as Envoy sends it, as protojson writes it; - reads it from
standard input. Of a decision it tells the record, and what the policy as it is now says
of the input that was kept. Told are the rules that spoke, and of each requirement that is
not satisfied the first condition that failed, with what it saw; --all tells every step
and every rule. Nothing is written or recorded: it may run beside a serving
Countersign. What it tells names people and objects in clear, but for what a record says.
Tokens and cookies are not shown.`

// wanted is what explain is asked for.
type wanted struct {
	from origin
	// request is the file of one, or "".
	request, output string
	// policy is a candidate's folder, or "".
	policy string
	at     time.Time
	// all asks for every step and every rule, in text.
	all bool
	// decision is nil where it is a request that is explained.
	decision *authz.DecisionID
	input    bool
}

// account is what explain tells: to programs as JSON, to people as it writes.
type account interface {
	write(to io.Writer, all bool) error
}

// explain decides a request that was kept, or again what was recorded, and tells why.
func explain(ctx context.Context, args []string, w world) error {
	var want wanted
	rest, err := operands("explain", explainPurpose, args, w, func(f *flag.FlagSet) {
		f.StringVar(&want.from.file, "config", "countersign.yaml", "the configuration")
		peerFlags(f, &want.from.peer)
		atFlag(f, &want.at)
		decisionFlag(f, &want.decision)
		f.StringVar(&want.policy, "policy", "", "with --decision: have the policy of this `folder` or bundle decide again, as replay does (default the configuration's policy)")
		f.BoolVar(&want.all, "all", false, "tell every step and every rule")
		f.BoolVar(&want.input, "input", false, "show the input that was kept of the decision: it names people in clear")
		outputFlag(f, &want.output)
	})
	if err != nil {
		return err
	}
	if wrong := want.take(rest); wrong != "" {
		fmt.Fprintf(w.stderr, "countersign explain: %s; see countersign explain --help\n", wrong)
		return errArguments
	}
	var told account
	if want.decision != nil {
		told, err = recall(ctx, want, w)
	} else {
		told, err = decide(ctx, want, w)
	}
	if err != nil {
		return tell(err, want.output, w)
	}
	if want.output == "json" {
		return json.NewEncoder(w.stdout).Encode(told)
	}
	return told.write(w.stdout, want.all)
}

// take takes the operands, and says which flags do not go together with each other or
// them, or "".
func (want *wanted) take(operands []string) string {
	switch n := len(operands); {
	case want.from.peer.File == "" && want.from.peer.Set():
		return "takes --state, --admin, --allow and --v0-compatible only with --opa-config: a configuration says it"
	case want.from.peer.File != "" && want.decision != nil:
		want.from.peer.Policies, operands = operands, nil
	case want.from.peer.File != "" && n > 1:
		want.from.peer.Policies, operands = operands[:n-1], operands[n-1:]
	}
	switch {
	case want.decision != nil && len(operands) > 0:
		return "takes no request file beside --decision"
	case want.decision != nil && !want.at.IsZero():
		return "takes no --at beside --decision: it is as of the decision's time"
	case want.decision == nil && want.policy != "":
		return "takes --policy only with --decision: a request is decided as the configuration says"
	case want.decision == nil && want.input:
		return "takes --input only with --decision"
	case want.from.peer.File != "" && want.decision == nil && want.from.peer.Policies == nil:
		return "takes the policy's files and one request file with --opa-config"
	case want.from.peer.File != "" && want.policy != "":
		return "takes no --policy beside --opa-config: the candidate's files follow the flags"
	case want.decision == nil && len(operands) != 1:
		return fmt.Sprintf("takes one request file, after its flags, not %d", len(operands))
	}
	if want.decision == nil {
		want.request = operands[0]
	}
	return ""
}

// decide decides a request as serve would.
func decide(ctx context.Context, want wanted, w world) (account, error) {
	call, err := readCall(want.request, w.stdin)
	if err != nil {
		return nil, err
	}
	cfg, faults := want.from.load(w)
	loaded, err := open(cfg, faults, wire.Load)
	if err != nil {
		return nil, err
	}
	sayBundles(loaded.Set, w)
	defer loaded.Close()
	return explained(ctx, loaded, call, want.at, w)
}

func decisionFlag(flags *flag.FlagSet, into **authz.DecisionID) {
	flags.Func("decision", "explain the recorded decision of this `id` instead of a request", func(value string) error {
		id, err := authz.ParseDecisionID(value)
		*into = &id
		return err
	})
}

// readCall reads a request file, or standard input.
func readCall(name string, stdin io.Reader) (*envoy.Call, error) {
	shown := inputName(name)
	text, err := readInput(name, stdin, maxRequest)
	switch {
	case err != nil:
		return nil, authz.Problems{{File: shown, What: "cannot be read: " + cause(err), Fix: "name a file with a CheckRequest, or - for standard input"}}
	case len(text) > maxRequest:
		return nil, authz.Problems{{File: shown, What: fmt.Sprintf("is over %d MiB", maxRequest>>20), Fix: "give one request, with as much of its body as Envoy sends"}}
	}
	call, err := envoy.ParseCall(text)
	if err != nil {
		problems := authz.ProblemsOf(err)
		for i := range problems {
			problems[i].File = shown
		}
		return nil, problems
	}
	return call, nil
}

// explainer decides one request, and tells of it.
type explainer interface {
	authz.Checker
	Explain(ctx context.Context) (*steps.Explanation, error)
}

// rules tell why a policy decides as it does.
type rules interface {
	Explain(ctx context.Context, facts *authz.Facts, hide func(string) string) (*rego.Explanation, error)
}

// explained decides the call as serve would have at that time, zero being now.
func explained(ctx context.Context, loaded *wire.Loaded, call *envoy.Call, at time.Time, w world) (*explanation, error) {
	var now func() time.Time
	if !at.IsZero() {
		now = func() time.Time { return at }
	}
	checker, policy, release, err := explainerOf(ctx, loaded, call, now, w)
	if err != nil {
		return nil, err
	}
	defer release()
	answer, err := call.Answer(ctx, loaded.Config.Server, explainTime, checker)
	if err != nil {
		return nil, err
	}
	ending, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	kept, err := checker.Explain(ending)
	if err != nil {
		return nil, err
	}
	told := describe(kept, answer)
	if kept.Decided() {
		if told.Policy, err = because(ctx, policy, kept); err != nil && told.Check == nil {
			told.note("the policy's rules are not told: %v", err)
		}
	}
	if told.Policy != nil && told.Check == nil {
		told.Sentence = told.sentence(told.Policy, told.Sentence, told.Allowed)
	}
	if came := call.Time(); now == nil && !came.IsZero() {
		told.note("Envoy took this request at %[1]s; --at %[1]s explains it as of then", came.UTC().Format(time.RFC3339))
	}
	if took := kept.Decision.Elapsed; took > answer.Timeout {
		told.note("deciding took %s; a check that is served is refused after %s at most (timeout)", took.Round(time.Millisecond), answer.Timeout)
	}
	return told, nil
}

// because asks the policy why, in a time of its own.
func because(ctx context.Context, policy rules, e *steps.Explanation) (*rego.Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	return policy.Explain(ctx, e.Facts, e.Hide)
}

// explainerOf is what decides the call, by all steps or its API's policy alone.
func explainerOf(ctx context.Context, loaded *wire.Loaded, call *envoy.Call, now func() time.Time, w world) (explainer, rules, func(), error) {
	if alone := loaded.ExplainAlone(call.API(), now); alone != nil {
		return alone, loaded.PolicyOnly[call.API()], func() {}, nil
	}
	settling, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	checker, release, err := loaded.Explain(settling, now, slog.New(slog.NewTextHandler(w.stderr, nil)))
	return checker, loaded.Policy, release, err
}
