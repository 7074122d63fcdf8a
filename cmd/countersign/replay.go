package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

const replayPurpose = `say what a policy would have decided on what was recorded

  countersign replay [flags] --policy DIR
  countersign replay [flags] --api NAME --policy DIR
  countersign replay [flags] --opa-config FILE policy.rego…

Each decision whose input was kept is decided again by the candidate, at the time and
with the id of then, and held against its record. What Countersign refused by itself is
left alone. Nothing is written but the file of --resume: it may run beside a serving
Countersign, as a user who may read its records and keys.

Exit codes: 0 nothing that --fail-on names, 1 some of it, or nothing could be compared,
2 wrong arguments or configuration.`

// errDiffers is of a replay that found what it was to fail on, which has been told.
var errDiffers = errors.New("the candidate decides otherwise")

// trial is what replay is asked for.
type trial struct {
	config, policy, resume, output string
	// api is the policy-only API whose policy is the candidate, or "".
	api string
	// peer is OPA's configuration in place of config, with the candidate's files.
	peer         config.Peer
	since, until time.Time
	failOn       []outcome
}

// replayLog has a candidate decide again on what was recorded.
func replayLog(ctx context.Context, args []string, w world) error {
	ask := trial{failOn: []outcome{flipped, failed}}
	rest, err := operands("replay", replayPurpose, args, w, func(f *flag.FlagSet) {
		f.StringVar(&ask.config, "config", "countersign.yaml", "the configuration of the Countersign that recorded")
		f.StringVar(&ask.policy, "policy", "", "the candidate: a `folder` or bundle in place of policy.path (default the configuration's policy)")
		f.StringVar(&ask.api, "api", "", "the policy-only API, by `name`, whose policy the candidate stands in for: of others nothing is told")
		peerFlags(f, &ask.peer)
		timeFlag(f, &ask.since, "since", "leave out what was decided before this `time`, such as 2026-11-21T10:00:00Z", time.Now())
		timeFlag(f, &ask.until, "until", "leave out what was decided at this `time` or later", time.Now())
		f.StringVar(&ask.resume, "resume", "", "keep in this `file` how far it came, and go on from there if it exists")
		f.Func("fail-on", "what makes the exit code 1: a `list` of flipped, changed, undetermined, without_input, failed (default flipped,failed)", ask.setFailOn)
		outputFlag(f, &ask.output)
	})
	if err != nil {
		return err
	}
	if wrong := ask.wrong(rest); wrong != "" {
		fmt.Fprintf(w.stderr, "countersign replay: %s; see countersign replay --help\n", wrong)
		return errArguments
	}
	told, err := ask.run(ctx, w)
	if err != nil {
		return tell(err, ask.output, w)
	}
	if ask.output == "json" {
		err = json.NewEncoder(w.stdout).Encode(told)
	} else {
		err = told.write(w.stdout)
	}
	if err == nil && (told.compared() == 0 || slices.ContainsFunc(ask.failOn, func(o outcome) bool { return told.Counts[o] > 0 })) {
		return errDiffers
	}
	return err
}

func (t *trial) setFailOn(list string) error {
	t.failOn = nil
	for name := range strings.SplitSeq(list, ",") {
		of := outcome(strings.TrimSpace(name))
		if !slices.Contains(outcomes, of) || of == same || of == native {
			return fmt.Errorf("%q is none of flipped, changed, undetermined, without_input, failed", name)
		}
		t.failOn = append(t.failOn, of)
	}
	return nil
}

// wrong says which arguments do not go together, or "".
func (t *trial) wrong(rest []string) string {
	switch {
	case t.peer.File != "" && (t.policy != "" || t.api != ""):
		return "takes no --policy and no --api with --opa-config: the candidate's files follow the flags"
	case t.peer.File == "" && len(rest) > 0:
		return fmt.Sprintf("%q is no argument", rest[0])
	case t.peer.File == "" && t.peer.Set():
		return "takes --state, --allow and --v0-compatible only with --opa-config: a configuration says it"
	}
	t.peer.Policies = rest
	return ""
}

// configuration is the one of the Countersign that recorded.
func (t *trial) configuration(w world) (*config.Config, error) {
	if t.peer.File != "" {
		return config.LoadPeer(t.peer, w.environ)
	}
	return config.Load(t.config, w.environ)
}

func (t *trial) run(ctx context.Context, w world) (*comparison, error) {
	cfg, faults := t.configuration(w)
	if faults != nil {
		return nil, faults
	}
	if info, err := os.Stat(cfg.Audit.Folder); err != nil || !info.IsDir() {
		return nil, authz.Problems{{File: cfg.Audit.Folder, What: "is no folder that can be read", Fix: "name the configuration of the Countersign that decided, and run as its user"}}
	}
	policies, err := wire.Candidates(cfg, authz.API(t.api), t.policy)
	if err != nil {
		return nil, err
	}
	sayBundles(policies.Set, w)
	r := &rerun{policies: policies, api: t.api, keep: keeping{file: t.resume, Of: subject{
		Candidate: hex.EncodeToString(policies.Digest()[:16]), API: t.api, Folder: cfg.Audit.Folder, Since: t.since.UTC(), Until: t.until.UTC()}}}
	if err := r.keep.open(); err != nil {
		return nil, err
	}
	r.progress = newProgress(w.stderr, r.keep.Told.Records)
	r.history = audit.NewHistory(cfg.Audit, t.since, t.until, r.keep.Mark)
	if err := r.all(ctx); err != nil {
		return nil, err
	}
	told := r.keep.Told
	if told.Records == 0 && told.Counts[failed] == 0 {
		return nil, authz.Problems{{File: cfg.Audit.Folder, What: "has no record of that time", Fix: "name the configuration of the Countersign that decided, and put back files that were moved away"}}
	}
	return told.finished(r.keep.Of.Candidate), r.keep.remove()
}
