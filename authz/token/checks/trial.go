package checks

import (
	"context"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// trial has the pipeline decide one request of which nothing is asked but its token, so
// that what is checked, and in which order, is the pipeline's. It is every other step.
type trial struct {
	tokens      authz.Tokens
	revocations authz.Revocations
	// read says that what is revoked was asked for, and could be read.
	read bool
	// kept is what the pipeline offered for the record. There is room for it.
	kept chan authz.Record
}

// decided is what came of the request as of at.
func (t *trial) decided(ctx context.Context, by *authz.Snapshot, request *authz.Request, at time.Time) authz.Decision {
	pipeline := &authz.Pipeline{Revocations: t, Pseudonyms: t, Recorder: t, Now: func() time.Time { return at }}
	pipeline.Load(&authz.Snapshot{Contracts: t, Certificates: by.Certificates, Tokens: t, Proofs: by.Proofs, Policy: t})
	return pipeline.Check(ctx, request)
}

// Match implements authz.Contracts: any token will do, and one must be there.
func (t *trial) Match(request *authz.Request, _ authz.Target) (authz.Match, error) {
	return authz.Match{API: request.API, Operation: &authz.Operation{API: request.API, Security: []authz.Requirement{{}}}}, nil
}

// Inspect implements authz.Contracts.
func (t *trial) Inspect(authz.Match, *authz.Request, authz.Target) (authz.Inspection, error) {
	return authz.Inspection{}, nil
}

// Verify implements authz.Tokens. Where the client's address is not told, its token is
// taken for good from there.
func (t *trial) Verify(ctx context.Context, match authz.Match, request *authz.Request, certificate *authz.Certificate, at time.Time) (*authz.Token, error) {
	verified, err := t.tokens.Verify(ctx, match, request, certificate, at)
	if err != nil || request.Address != "" {
		return verified, err
	}
	anywhere := *verified
	anywhere.Addresses = nil
	return &anywhere, nil
}

// Revoked implements authz.Revocations. That what is revoked could not be read is told of
// the check, and no fault of the token's.
func (t *trial) Revoked(token *authz.Token) (revoked bool, asOf time.Time) {
	revoked, asOf = t.revocations.Revoked(token)
	if t.read = !asOf.IsZero(); !t.read {
		asOf = time.Unix(0, 0)
	}
	return revoked, asOf
}

// Decide implements authz.Policy.
func (t *trial) Decide(context.Context, *authz.Facts) (authz.Verdict, error) {
	return authz.Verdict{Allowed: true}, nil
}

// Subject implements authz.Pseudonyms: nothing is recorded, so nobody needs one.
func (t *trial) Subject(authz.Caller) string { return "" }

// Record implements authz.Recorder, and writes nothing.
func (t *trial) Record(_ context.Context, record authz.Record) error {
	t.kept <- record
	return nil
}

// Abandon implements authz.Recorder: nothing was written.
func (t *trial) Abandon(authz.Record) {}
