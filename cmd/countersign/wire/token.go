package wire

import (
	"context"
	"log/slog"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/certificate"
	"github.com/countersign-io/countersign/authz/token/checks"
)

// Token has the token of a request checked as a System would that it came to at that
// time, and writes nothing, as Explain does; settling is how long key sets of URLs are
// waited for. What is revoked is read once. The request's certificate is its client's,
// wherever the configuration has Envoy tell of one.
//
// input is what a policy would be given of an accepted token, or nil.
func (l *Loaded) Token(ctx context.Context, request *authz.Request, at time.Time, settling time.Duration, log *slog.Logger) (report *checks.Report, input []byte, err error) {
	now := func() time.Time { return at }
	revocations, err := l.readRevocations(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	snapshot, release, err := l.apart(waiting, now, log)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if snapshot.Certificates, err = certificate.New(certificate.Config{}); err != nil {
		return nil, nil, err
	}
	if report, err = checks.Run(ctx, snapshot, revocations, request, at); err != nil || report.Failed != nil {
		return report, nil, err
	}
	input, err = l.seen(report.Facts)
	return report, input, err
}

// seen is what a policy could see. What was prepared of the claims are those that this one
// names; another may name any.
func (l *Loaded) seen(facts *authz.Facts) ([]byte, error) {
	whole, unprepared := *facts, *facts.Token
	unprepared.Prepared, whole.Token = nil, &unprepared
	given, err := l.Policy.Inputs(true).Input(&whole)
	if err != nil {
		return nil, err
	}
	return given.Document, nil
}
