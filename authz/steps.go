package authz

import (
	"context"
	"errors"
	"time"
)

// The steps, in the order in which Pipeline takes them. Every error wraps a
// Reason where the request is to blame; an error without one is a fault of ours.
// No error text holds a token, a key or personal data: it goes into the record.
// All are safe for concurrent use.

// Checker answers requests. Pipeline is one; tracing and metrics wrap one.
type Checker interface {
	// Check never fails: what goes wrong is a denial with its own reason.
	Check(ctx context.Context, request *Request) Decision
}

// Contracts finds the operation that a request means, and what it names.
type Contracts interface {
	// Match finds the operation. Its error wraps NoContract, UnknownPath or
	// UnknownMethod. The match's API is set but with NoContract, and its Allowed
	// with UnknownMethod.
	Match(request *Request, target Target) (Match, error)

	// Inspect reads the objects that a matched request names, and its body. Its
	// error wraps ContentType, BodyTruncated, BodyMalformed, ObjectMissing,
	// ObjectMalformed or TooManyObjects. Of these, what the operation observes is no
	// error, and ends no reading: it is in the inspection.
	Inspect(match Match, request *Request, target Target) (Inspection, error)
}

// Certificates reads the client certificate that Envoy forwards.
type Certificates interface {
	// Read returns nil where there is none. Its error wraps CertificateMalformed or
	// CertificateConflict.
	Read(request *Request) (*Certificate, error)
}

// Tokens verifies access tokens.
type Tokens interface {
	// Verify returns the request's token, verified for the match's API at the given
	// time and bound, where it is bound, to the certificate, which may be nil. The
	// match's operation may be nil. Without credentials its error wraps NoCredentials,
	// or UnsupportedScheme; with ProofReplayed it is a *Replayed.
	Verify(ctx context.Context, match Match, request *Request, certificate *Certificate, at time.Time) (*Token, error)
}

// ProofTerms tells what APIs ask of proofs of possession.
type ProofTerms interface {
	// Proofs are what the API asks of them at the given time, or nil where it takes
	// none. It never blocks.
	Proofs(api API, at time.Time) *Proofs
}

// Revocations tells which tokens are revoked.
type Revocations interface {
	// Revoked reports whether a verified token is revoked, as far as that was known at
	// asOf, which is zero where it never was. It never blocks.
	Revoked(token *Token) (revoked bool, asOf time.Time)
}

// Consents looks up consent records.
type Consents interface {
	// Consent returns the record of the consent that the caller's token names
	// (caller.Consent), within the caller's issuer, or nil where there is none. A
	// store that cannot answer is an error, never nil. The caller is verified.
	Consent(ctx context.Context, caller Caller) (*Consent, error)
}

// Owners tells which objects are a caller's.
type Owners interface {
	// Owned returns those of the objects that are the caller's: one that is absent
	// is not owned, or not there. A store that cannot answer is an error, never an
	// empty answer. The caller is verified and a Customer.
	Owned(ctx context.Context, caller Caller, objects []Object) (map[Object]Ownership, error)
}

// Policy decides on facts.
type Policy interface {
	// Decide returns the policy's verdict, a pure function of the facts and, where the
	// policy may ask the network, of the verdict's Lookups. An error is a policy that could
	// not be evaluated or answered what is no verdict.
	Decide(ctx context.Context, facts *Facts) (Verdict, error)
}

// ErrNoAnswer is what the error of a store wraps that cannot be reached, or did not answer
// in time. One that says that it is full, or cannot, has answered: a client may have
// brought that about, and is not to gain by it.
var ErrNoAnswer = errors.New("the store does not answer")

// Limiter spends limits.
type Limiter interface {
	// Spend spends one of each limit, or nothing where one of them is spent, in one step
	// for all who share the store. After an error nothing is allowed. The limits are
	// right; those that share a Counter are one, with the lowest Max.
	Spend(ctx context.Context, limits []Limit) (Spending, error)
}

// Inputs keeps what a policy decides on.
type Inputs interface {
	// Input returns the document that Policy is given of the facts, less the caller's
	// credentials; it says where that is too large to be kept. An error is facts that
	// make no document.
	Input(facts *Facts) (*Input, error)
}

// Pseudonyms hide people in records.
type Pseudonyms interface {
	// Subject returns the caller's pseudonym, the same for the same issuer and
	// subject as long as the key stands, or "" where the caller has no subject.
	Subject(caller Caller) string
}

// Recorder keeps what was decided.
type Recorder interface {
	// Record returns once the record is as durable as its kind must be, and in any case
	// when ctx ends. After an error the decision must not be acted upon, and is not:
	// the request is refused. What has not been begun when ctx ends is not to be
	// recorded any more; what had been, and is kept, is to be marked as abandoned.
	Record(ctx context.Context, record Record) error

	// Abandon takes back a record that was kept, since what it says was not answered:
	// Record returned too late to be heeded. It does not wait.
	Abandon(record Record)
}
