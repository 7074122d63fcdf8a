// Package shadow has a policy that is only tried decide what was decided already, on the
// same facts, after the answer, and tells where it would have decided otherwise.
//
// No request waits for it: what is more than it can do is not tried, and counted. It
// answers nobody and changes nothing. What it tells names decisions by id, and nobody.
package shadow

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const (
	// maxWaiting and maxHeld are how many trials may wait, and about how many bytes they
	// and those under way may hold.
	maxWaiting = 512
	maxHeld    = 48 << 20
	// besides is what a trial may hold beside the request's body, and swollen what that is
	// once it is parsed, in times of its size.
	besides = 64 << 10
	swollen = 8
	// patience is how long a candidate may take for one decision.
	patience = 250 * time.Millisecond
	// closingTime is how long Close has what waits tried.
	closingTime = time.Second
)

// Result is what came of a trial.
type Result string

// The results.
const (
	// Same is the same answer for the same reasons.
	Same Result = "same"
	// Differs is another.
	Differs Result = "differs"
	// Failed is a candidate that did not decide in its time, or panicked.
	Failed Result = "failed"
	// Dropped is what was too much to be tried.
	Dropped Result = "dropped"
)

// Results are all of them.
func Results() []Result { return []Result{Same, Differs, Failed, Dropped} }

// Recorder keeps differences for whoever asks later.
type Recorder interface {
	// Differ offers a difference to be recorded after its decision's own record. It does
	// not wait; of too many some are only counted.
	Differ(record authz.Record, difference *authz.Difference)
}

// Pool tries candidates. It is safe for concurrent use, and to be closed.
type Pool struct {
	recorder Recorder
	// count counts a result of an operation.
	count func(operation *authz.Operation, result Result)

	waiting chan authz.Trial
	held    atomic.Int64
	// dropped are counted by whoever offers, who waits for nobody: not in the tally.
	dropped atomic.Int64
	// stop says that nothing more is waited for, and end ends what is under way.
	stop    chan struct{}
	end     context.CancelFunc
	workers sync.WaitGroup
	closing sync.Once

	tally tally
}

var _ authz.Shadow = (*Pool)(nil)

// New returns a pool that tries what it is offered, on one core of eight, or on one of
// fewer: the policy in force is to have the rest. recorder and count must be safe for concurrent use.
func New(recorder Recorder, count func(operation *authz.Operation, result Result)) *Pool {
	return start(recorder, count, max(1, runtime.GOMAXPROCS(0)/8))
}

func start(recorder Recorder, count func(operation *authz.Operation, result Result), workers int) *Pool {
	p := &Pool{recorder: recorder, count: count, waiting: make(chan authz.Trial, maxWaiting), stop: make(chan struct{})}
	ctx, end := context.WithCancel(context.Background())
	p.end = end
	for range workers {
		p.workers.Go(func() { p.work(ctx) })
	}
	return p
}

// Offer implements authz.Shadow.
func (p *Pool) Offer(trial authz.Trial) {
	if p.held.Add(weight(&trial)) > maxHeld {
		p.drop(&trial)
		return
	}
	select {
	case p.waiting <- trial:
	default:
		p.drop(&trial)
	}
}

func weight(trial *authz.Trial) int64 { return besides + swollen*int64(len(trial.Facts.Request.Body)) }

func (p *Pool) drop(trial *authz.Trial) {
	p.held.Add(-weight(trial))
	p.dropped.Add(1)
	p.count(trial.Facts.Match.Operation, Dropped)
}

// work tries what waits, and ends once that is all and nothing more is waited for.
func (p *Pool) work(ctx context.Context) {
	for {
		select {
		case trial := <-p.waiting:
			p.try(ctx, &trial)
			continue
		default:
		}
		select {
		case trial := <-p.waiting:
			p.try(ctx, &trial)
		case <-p.stop:
			return
		}
	}
}

func (p *Pool) try(ctx context.Context, trial *authz.Trial) {
	if ctx.Err() != nil {
		p.drop(trial)
		return
	}
	defer p.held.Add(-weight(trial))
	result, difference := p.compare(ctx, trial)
	p.told(trial, result, difference)
}

// compare has the candidate decide, and records where it differs. A panic is a failure: what
// answers nobody must not end a process that is deciding.
func (p *Pool) compare(ctx context.Context, trial *authz.Trial) (result Result, difference *authz.Difference) {
	defer func() {
		if fault := recover(); fault != nil {
			result, difference = Failed, nil
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := judge(ctx, trial)
	if ctx.Err() != nil {
		return Failed, nil
	}
	if difference = trial.Compare(said); difference == nil {
		return Same, nil
	}
	p.recorder.Differ(authz.Record{Decision: trial.Decision, Facts: trial.Facts}, difference)
	return Differs, difference
}

// judge has the candidate decide. It is given nothing that was made for the policy in
// force: what was prepared of the claims is what that one reads.
func judge(ctx context.Context, trial *authz.Trial) authz.Judgement {
	facts := *trial.Facts
	facts.Input, facts.Lifted = nil, nil
	if facts.Token != nil {
		token := *facts.Token
		token.Prepared = nil
		facts.Token = &token
	}
	return authz.Judge(ctx, trial.Candidate.Policy, &facts)
}

func (p *Pool) told(trial *authz.Trial, result Result, difference *authz.Difference) {
	p.count(trial.Facts.Match.Operation, result)
	p.tally.add(trial, result, difference)
}

// Begin has Report tell of trials of the candidate, which is nil where none is tried, from
// now on and of no others. It comes before the snapshot that has it decides.
func (p *Pool) Begin(candidate *authz.Candidate, revision string, since time.Time) {
	p.tally.begin(candidate, revision, since, p.dropped.Load())
}

// Report tells of the candidate that Begin named last.
func (p *Pool) Report() Report { return p.tally.report(p.dropped.Load()) }

// Close has what waits tried for a moment, and ends. What is offered later is not tried.
func (p *Pool) Close() {
	p.closing.Do(func() {
		late := time.AfterFunc(closingTime, p.end)
		defer late.Stop()
		close(p.stop)
		p.workers.Wait()
		p.end()
	})
}
