// Package checks is the order in which a token is checked, in words: for whoever has one
// that is refused, and for the client that must change something.
//
// It checks nothing itself. Run has a token checked as any request's is, and tells by the
// reason how far it came. The order is that of the pipeline, and of packages token and
// dpop; a test holds it against them, and every reason that a token can be refused for
// stands in it once. What depends on the operation is left out: scopes, the certificate's
// roles, and how much must be known of revocations.
//
// What is told names people in clear, as the token does. It holds no signature and no
// proof: nobody could send a request with it.
package checks

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Check is one thing that is looked at.
type Check struct {
	// Rules are the numbers that docs/standards.md has for it; nil where no standard asks
	// for it.
	Rules []string
	// Section is where a standard asks for it; without Rules, the key of an issuer's
	// configuration that does.
	Section string
	// What holds where it is passed.
	What string
	// when says what there must be for it to be looked at.
	when   when
	faults []fault
}

// fault is a reason for which a check fails.
type fault struct {
	reason authz.Reason
	// advice is what the client should change.
	advice string
	// details are parts of what an error says behind the reason's code, where the reason
	// is that of several checks; the one without any has what no other has.
	details []string
}

// Outcome is what came of a check.
type Outcome uint8

// The outcomes.
const (
	// NotReached is of checks after the one that failed.
	NotReached Outcome = iota
	// NotApplicable is of checks for something that was not sent, or is not asked for.
	NotApplicable
	// Passed let the token go on.
	Passed
	// Failed is of the check for which the token is refused.
	Failed
)

var outcomes = [...]string{NotReached: "not reached", NotApplicable: "not applicable", Passed: "passed", Failed: "FAILED"}

// String is the outcome in words; Failed is in capitals, to be seen.
func (o Outcome) String() string { return outcomes[o] }

// Result is a check and what came of it.
type Result struct {
	*Check
	Outcome Outcome
	// Because is why a check is not applicable, or "".
	Because string
}

// Report is what came of all checks, in their order.
type Report struct {
	Results []Result
	// Facts are what a policy would be given; of a refused token there are none but the
	// request and the certificate.
	Facts *authz.Facts
	// Failed is nil where the token would be accepted.
	Failed *Failure
	// Said is what the token says of itself, which anybody may have written.
	Said Said
}

// Failure is why a token is refused.
type Failure struct {
	Check  *Check
	Reason authz.Reason
	// Detail is for an operator, and Advice for the client.
	Detail, Advice string
}

// Run has the request's token checked as of at, by the snapshot's certificates, tokens and
// proofs, and by what is known of revocations. Its error is of what is no check: a fault
// of ours, a time that ran out, or a path that is refused whatever the token is.
//
// Where the request has no address, whether the client may call from there is not asked.
func Run(ctx context.Context, by *authz.Snapshot, revocations authz.Revocations, request *authz.Request, at time.Time) (*Report, error) {
	t := &trial{tokens: by.Tokens, revocations: revocations, kept: make(chan authz.Record, 1)}
	decision := t.decided(ctx, by, request, at)
	failure, place := find(decision)
	if !decision.Allowed && failure == nil {
		return nil, errors.New(decision.Detail)
	}
	// What was not offered for the record is no check's.
	facts, said := (<-t.kept).Facts, ReadSaid(request)
	if failure != nil {
		facts.Token = nil
	}
	return &Report{Results: results(sentBy(facts, said, t.read), place), Facts: facts, Failed: failure, Said: said}, nil
}

// results are those of all checks where the one at that place failed; Order's length is
// the place of none.
func results(s sent, failed int) []Result {
	told := make([]Result, len(Order))
	for i := range Order {
		told[i] = Result{Check: &Order[i]}
		switch because := s.lacks(Order[i].when); {
		case i > failed:
		case i == failed:
			told[i].Outcome = Failed
		case because != "":
			told[i].Outcome, told[i].Because = NotApplicable, because
		default:
			told[i].Outcome = Passed
		}
	}
	return told
}

// Find is the failure of a token that a decision tells of by its reason and detail, or nil
// where it is of something else.
func Find(d authz.Decision) *Failure {
	failure, _ := find(d)
	return failure
}

// find is the failure that a decision tells of, and its place in Order; it is nil for an
// allow, and for a denial that no check has.
func find(d authz.Decision) (failure *Failure, place int) {
	found, longest := (*fault)(nil), -1
	for i := range Order {
		for n := range Order[i].faults {
			each := &Order[i].faults[n]
			if length := each.fits(d.Reason, d.Detail); length > longest {
				found, longest, place = each, length, i
			}
		}
	}
	if found == nil {
		return nil, len(Order)
	}
	return &Failure{Check: &Order[place], Reason: d.Reason, Detail: d.Detail, Advice: found.advice}, place
}

// fits is how much of the detail the fault knows, or -1 where it is another's.
func (f *fault) fits(reason authz.Reason, detail string) int {
	if f.reason != reason {
		return -1
	}
	if len(f.details) == 0 {
		return 0
	}
	longest := -1
	_, detail, _ = strings.Cut(detail, reason.String()+": ")
	for _, part := range f.details {
		if strings.Contains(detail, part) {
			longest = max(longest, len(part))
		}
	}
	return longest
}
