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
	since, until                   time.Time
	failOn                         []outcome
}

// replayLog has a candidate decide again on what was recorded.
func replayLog(ctx context.Context, args []string, w world) error {
	ask := trial{failOn: []outcome{flipped, failed}}
	err := arguments("replay", replayPurpose, args, w, func(f *flag.FlagSet) {
		f.StringVar(&ask.config, "config", "countersign.yaml", "the configuration of the Countersign that recorded")
		f.StringVar(&ask.policy, "policy", "", "the candidate: a `folder` or bundle in place of policy.path (default the configuration's policy)")
		timeFlag(f, &ask.since, "since", "leave out what was decided before this `time`, such as 2026-11-21T10:00:00Z", time.Now())
		timeFlag(f, &ask.until, "until", "leave out what was decided at this `time` or later", time.Now())
		f.StringVar(&ask.resume, "resume", "", "keep in this `file` how far it came, and go on from there if it exists")
		f.Func("fail-on", "what makes the exit code 1: a `list` of flipped, changed, undetermined, without_input, failed (default flipped,failed)", ask.setFailOn)
		outputFlag(f, &ask.output)
	})
	if err != nil {
		return err
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

func (t *trial) run(ctx context.Context, w world) (*comparison, error) {
	cfg, faults := config.Load(t.config, w.environ)
	if faults != nil {
		return nil, faults
	}
	if info, err := os.Stat(cfg.Audit.Folder); err != nil || !info.IsDir() {
		return nil, authz.Problems{{File: cfg.Audit.Folder, What: "is no folder that can be read", Fix: "name the configuration of the Countersign that decided, and run as its user"}}
	}
	policy, err := wire.Candidate(cfg, t.policy)
	if err != nil {
		return nil, err
	}
	r := &rerun{policy: policy, keep: keeping{file: t.resume, Of: subject{
		Candidate: hex.EncodeToString(policy.Digest()[:16]), Folder: cfg.Audit.Folder, Since: t.since.UTC(), Until: t.until.UTC()}}}
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
