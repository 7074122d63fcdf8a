// Package explain keeps what each step of one check said, for an operator who asks why
// a request was decided as it was.
//
// It is package trace's idea with a list in place of spans: it wraps the steps from
// outside, decides nothing and changes no answer. It records nothing either: what it
// decides, nobody acts on.
//
// People and objects are named in clear. Credentials are not told: not the token nor a
// part of it, no Authorization, DPoP or Cookie header, not even where a policy's own
// words repeat one.
package explain

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Outcome is what came of a step.
type Outcome uint8

// The outcomes.
const (
	// NotReached is of steps after the one that refused.
	NotReached Outcome = iota
	// NotAsked is of a lookup that nothing called for.
	NotAsked
	// Passed let the request go on.
	Passed
	// Failed found a fault that was not told, since a later step refused: an unknown
	// path is told only to callers with a good token.
	Failed
	// Refused ended the check.
	Refused
)

var outcomes = [...]string{NotReached: "not reached", NotAsked: "not asked", Passed: "ok", Failed: "failed", Refused: "REFUSED"}

// String is the outcome in a word or two; Refused is in capitals, to be seen.
func (o Outcome) String() string { return outcomes[o] }

// Fact is one thing that a step said: its name, and one value or more. The values are
// as the request, the stores and the policy have them, which may be anything: whoever
// shows them to a person must see to it that they do no harm there.
type Fact struct {
	Name   string
	Values []string
}

// Step is one step of the check, and what it said.
type Step struct {
	Name    string
	Outcome Outcome
	Facts   []Fact
}

// Explanation is one check: the decision, and every step in order.
type Explanation struct {
	Decision authz.Decision
	// Time is when the request came, as far as the check knows.
	Time time.Time
	// Request is the method, host and path that were asked for, without the query.
	Request []Fact
	Steps   []Step
	// Check is what refused, or nil where the policy has the last word.
	Check *Check
	// Facts are what the check came to know, of which the policy decides. They hold the
	// request's credentials.
	Facts *authz.Facts

	hidden credentials
}

// Refusing is the name of the step that refused, or "".
func (e *Explanation) Refusing() string {
	for _, step := range e.Steps {
		if step.Outcome == Refused {
			return step.Name
		}
	}
	return ""
}

// Decided reports a check in which the policy was asked.
func (e *Explanation) Decided() bool {
	return len(e.Steps) > 0 && e.Steps[len(e.Steps)-1].Outcome != NotReached
}

// Hide takes the request's credentials out of a text, such as the caller's answer.
func (e *Explanation) Hide(text string) string { return e.hidden.hide(text) }

// Checker decides one request and keeps what every step said. It is good for one check.
type Checker struct {
	pipeline authz.Pipeline

	mu    sync.Mutex
	calls [stepCount]call
	// known is when what is known of revocations was read.
	known time.Time
	// kept is what the pipeline offered for the record. There is room for it.
	kept chan authz.Record
	said Said
}

var (
	_ authz.Checker    = (*Checker)(nil)
	_ authz.Pseudonyms = (*Checker)(nil)
	_ authz.Recorder   = (*Checker)(nil)
)

var (
	errUnfinished = errors.New("explain: the check did not end in its time")
	errSecond     = errors.New("explain: another check was kept already")
)

// Stores are what is asked beside the snapshot. Each may be nil as a Pipeline's may.
type Stores struct {
	Consents    authz.Consents
	Owners      authz.Owners
	Revocations authz.Revocations
	// Said reads a token that was refused; nil tells nothing of it.
	Said Said
}

// New returns a Checker that decides by the snapshot and the stores, as if the request
// came at now; nil means the clock.
func New(snapshot *authz.Snapshot, stores Stores, now func() time.Time) *Checker {
	c := &Checker{kept: make(chan authz.Record, 1), said: stores.Said}
	c.pipeline.Now, c.pipeline.Pseudonyms, c.pipeline.Recorder, c.pipeline.Limiter = now, c, c, unspent{}
	if stores.Consents != nil {
		c.pipeline.Consents = keptConsents{stores.Consents, c}
	}
	if stores.Owners != nil {
		c.pipeline.Owners = keptOwners{stores.Owners, c}
	}
	if stores.Revocations != nil {
		c.pipeline.Revocations = keptRevocations{stores.Revocations, c}
	}
	kept := *snapshot
	kept.Contracts = keptContracts{snapshot.Contracts, c}
	kept.Certificates = keptCertificates{snapshot.Certificates, c}
	kept.Tokens = keptTokens{snapshot.Tokens, c}
	kept.Policy = keptPolicy{snapshot.Policy, c}
	c.pipeline.Load(&kept)
	return c
}

// Check implements authz.Checker.
func (c *Checker) Check(ctx context.Context, request *authz.Request) authz.Decision {
	return c.pipeline.Check(ctx, request)
}

// Subject implements authz.Pseudonyms: nothing is recorded, so nobody needs one.
func (c *Checker) Subject(authz.Caller) string { return "" }

// Record implements authz.Recorder, and writes nothing.
func (c *Checker) Record(_ context.Context, record authz.Record) error {
	select {
	case c.kept <- record:
		return nil
	default:
		return errSecond
	}
}

// Abandon implements authz.Recorder: nothing was written.
func (c *Checker) Abandon(authz.Record) {}

// Explain tells of the check that was made; it may be asked once. Of a check whose time
// ran out the end may be seen a moment after its answer: ctx bounds the wait for it.
func (c *Checker) Explain(ctx context.Context) (*Explanation, error) {
	select {
	case record := <-c.kept:
		c.mu.Lock()
		defer c.mu.Unlock()
		t := &telling{calls: c.calls, known: c.known, decision: record.Decision, facts: record.Facts, hidden: credentialsOf(record.Facts.Request), said: c.said}
		return t.explanation(), nil
	case <-ctx.Done():
		return nil, errUnfinished
	}
}
