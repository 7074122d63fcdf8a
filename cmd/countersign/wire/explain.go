package wire

import (
	"context"
	"log/slog"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/authz/token/checks"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// Explain makes what decides one request as a System would that came at now, nil being
// the clock, and keeps what its steps say. It writes nothing: no state, no record, no
// key. So it may run beside a System, and as another user.
//
// Key sets of URLs are fetched, which is waited for until ctx ends, else they are those
// that a System has kept; where there are none either, the token step says so. release
// ends what was opened, but not the stores of l. What is revoked is read once; where it
// cannot be read, the revocation step says so.
func (l *Loaded) Explain(ctx context.Context, now func() time.Time, log *slog.Logger) (checker *explain.Checker, release func(), err error) {
	revocations, err := l.readRevocations(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	snapshot, release, err := l.apart(ctx, now, log)
	if err != nil {
		return nil, nil, err
	}
	stores := explain.Stores{Revocations: revocations, Said: said}
	if l.Owners != nil {
		stores.Owners = l.Owners
	}
	if l.Consents != nil {
		stores.Consents = l.Consents
	}
	return explain.New(snapshot, stores, now), release, nil
}

// said is what a token says of itself, as the token command tells it.
func said(request *authz.Request) (header, claims map[string]any) {
	read := checks.ReadSaid(request)
	return read.Header, read.Claims
}

// apart is a snapshot beside a System's, as Explain says.
func (l *Loaded) apart(ctx context.Context, now func() time.Time, log *slog.Logger) (snapshot *authz.Snapshot, release func(), err error) {
	if err := guarded(l.Config); err != nil {
		return nil, nil, err
	}
	keys, err := token.OpenKeys(l.Config.Tokens(), jwks.Environment{Log: log, ReadOnly: true})
	if err != nil {
		return nil, nil, l.Config.Locate("", l.Config.TokenKeys(authz.ProblemsOf(err)))
	}
	keys.Settle(ctx)
	if snapshot, err = l.snapshot(keys, readProofs(l.Config.State, now)); err != nil {
		keys.Close()
		return nil, nil, err
	}
	return snapshot, keys.Close, nil
}
