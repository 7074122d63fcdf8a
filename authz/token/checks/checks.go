// Package checks is the order in which a token is checked, in words: for whoever has one
// that is refused, and for the client that must change something.
//
// It checks nothing itself. Run has a token checked as any request's is, and tells by the
// reason how far it came. The order is that of packages token and dpop; a test holds it
// against them, and every reason that a token can be refused for stands in it once.
//
// What is told names people in clear, as the token does. It holds no signature and no
// proof: nobody could send a request with it.
package checks

import (
	"context"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Check is one thing that is looked at.
type Check struct {
	// Rules are the numbers that docs/standards.md has for it.
	Rules []string
	// Section is where a standard asks for it.
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

// Run has the request's token checked as of at. Its error is of what is no check: a
// fault of ours, or a time that ran out.
func Run(ctx context.Context, by *authz.Snapshot, request *authz.Request, at time.Time) (*Report, error) {
	facts := &authz.Facts{ID: authz.NewDecisionID(), Time: at, Request: request, Match: authz.Match{API: request.API}}
	if by.Proofs != nil {
		facts.Proofs = by.Proofs.Proofs(request.API, at)
	}
	said := readSaid(request)
	err := verify(ctx, by, facts)
	failure, place := find(err)
	if err != nil && failure == nil {
		return nil, err
	}
	return &Report{Results: results(sentBy(facts, said), place), Facts: facts, Failed: failure, Said: said}, nil
}

// verify is the pipeline's, as far as it is about the token and what it is bound to.
func verify(ctx context.Context, by *authz.Snapshot, f *authz.Facts) (err error) {
	if f.Certificate, err = by.Certificates.Read(f.Request); err != nil {
		return err
	}
	f.Token, err = by.Tokens.Verify(ctx, f.Match, f.Request, f.Certificate, f.Time)
	return err
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

// find is the failure that an error tells of, and its place in Order; it is nil where
// there is no error, or one that no check has.
func find(err error) (failure *Failure, place int) {
	if err == nil {
		return nil, len(Order)
	}
	reason, detail := authz.ReasonOf(err), err.Error()
	found, longest := (*fault)(nil), -1
	for i := range Order {
		for n := range Order[i].faults {
			each := &Order[i].faults[n]
			if length := each.fits(reason, detail); length > longest {
				found, longest, place = each, length, i
			}
		}
	}
	if found == nil {
		return nil, len(Order)
	}
	return &Failure{Check: &Order[place], Reason: reason, Detail: detail, Advice: found.advice}, place
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
