package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

const (
	// maxBatch and maxBatchBytes bound what is decided side by side.
	maxBatch      = 256
	maxBatchBytes = 8 << 20
	// keepEvery is after how many records it is kept how far a replay came.
	keepEvery = 10_000
	// garbage is how much may wait to be collected, in percent of what is used.
	garbage = 40
)

// outcome is how a candidate's verdict compares with a record.
type outcome string

const (
	same    outcome = "same"
	flipped outcome = "flipped" // an allow that was a denial, or the other way round
	changed outcome = "changed" // allowed or denied as then, for other reasons
	// lacking is a verdict that the kept input does not tell: undetermined.
	lacking  outcome = undetermined
	withheld outcome = "without_input"
	failed   outcome = "failed" // damaged, not decided in time, or a panic
	native   outcome = "native" // not the policy's
)

// outcomes are all, in the order in which they are told.
var outcomes = []outcome{same, flipped, changed, lacking, withheld, failed, native}

// judged is a record as a candidate decides on it.
type judged struct {
	// record is nil where there is damage, and now unless the candidate was asked.
	record  *decisionv1.Decision
	now     *replayed
	outcome outcome
	// because are what is needed, or why nothing could be compared.
	because []string
}

// found is a record, or damage in the place of some.
type found struct {
	audit.Past
	damage error
}

// rerun decides again on all of a history.
type rerun struct {
	policies *wire.Policies
	// api is the only one whose records are told of, or "".
	api      string
	history  *audit.History
	keep     keeping
	progress *progress

	batch []found
	bytes int
	// unkept are the records since it was last kept how far this came.
	unkept int
}

// all tells what is kept in r.keep, and goes on there. Where ctx ends, what was not
// kept yet is kept.
func (r *rerun) all(ctx context.Context) error {
	defer r.progress.end()
	// What is decided on is garbage at once, and little else is in memory: collecting it
	// earlier costs some of the time, and keeps a long log from taking more than a short one.
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	for past, err := range r.history.All(ctx) {
		if r.api != "" && past.Record != nil && past.Record.Api != r.api {
			continue
		}
		r.batch = append(r.batch, found{past, err})
		if past.Input != nil {
			r.bytes += len(past.Input.Input.Document)
		}
		if len(r.batch) < maxBatch && r.bytes < maxBatchBytes {
			continue
		}
		if err := r.decide(ctx); err != nil {
			return err
		}
	}
	return r.decide(ctx)
}

// decide has the batch decided on, side by side, and counts it in its order, so that
// the same log always has the same told of it.
func (r *rerun) decide(ctx context.Context) error {
	results := make([]judged, len(r.batch))
	workers := runtime.GOMAXPROCS(0)
	var done sync.WaitGroup
	for first := range workers {
		done.Go(func() {
			for i := first; i < len(r.batch) && ctx.Err() == nil; i += workers {
				results[i] = judge(ctx, r.policies, r.batch[i])
			}
		})
	}
	done.Wait()
	if ctx.Err() != nil {
		return r.interrupted()
	}
	for _, result := range results {
		r.keep.Told.add(result)
	}
	r.keep.Mark = r.history.Mark()
	r.unkept += len(r.batch)
	clear(r.batch)
	r.batch, r.bytes = r.batch[:0], 0
	r.progress.tell(r.keep.Told)
	if r.unkept < keepEvery {
		return nil
	}
	r.unkept = 0
	return r.keep.save()
}

func (r *rerun) interrupted() error {
	count := r.keep.Told.Records
	if r.keep.file == "" {
		return fmt.Errorf("interrupted after %d records; with --resume FILE it could go on", count)
	}
	if err := r.keep.save(); err != nil {
		return err
	}
	return fmt.Errorf("interrupted after %d records; the same command goes on from %s", count, r.keep.file)
}

// judge holds a candidate's verdict against a record.
func judge(ctx context.Context, policies *wire.Policies, past found) judged {
	result := judged{record: past.Record}
	switch {
	case past.damage != nil:
		result.outcome, result.because = failed, []string{oneLine(past.damage)}
	case !policys(past.Record):
		result.outcome = native
	case past.Damaged:
		result.outcome, result.because = failed, []string{oneLine(past.NoInput)}
	case past.Input == nil:
		result.outcome, result.because = withheld, []string{oneLine(past.NoInput)}
	default:
		now, err := decideAgain(ctx, policies, past.Input, past.Record)
		if err != nil {
			result.outcome, result.because = failed, []string{oneLine(err)}
			break
		}
		result.now, result.because = now, now.Needs
		result.outcome = compare(past.Record, now)
	}
	return result
}

func compare(record *decisionv1.Decision, now *replayed) outcome {
	switch {
	case now.Outcome == undetermined:
		return lacking
	case now.Outcome != then(record):
		return flipped
	case !now.is(record):
		return changed
	}
	return same
}
