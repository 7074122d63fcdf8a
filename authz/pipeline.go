package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Pipeline decides requests of contracted APIs, and hands those of the others that the
// snapshot names to their PolicyOnly. It is safe for concurrent use once
// its fields are set and a snapshot is loaded; before that it denies.
type Pipeline struct {
	// Consents and Owners may be nil where no operation calls for them.
	Consents Consents
	Owners   Owners
	// Limiter may be nil where no policy sets limits.
	Limiter Limiter
	// Revocations may be nil where nothing is revoked. An operation that requires to know
	// of them is refused then.
	Revocations Revocations

	Pseudonyms Pseudonyms
	Recorder   Recorder
	// Shadow may be nil where no policy is tried.
	Shadow Shadow
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	snapshot atomic.Pointer[Snapshot]
}

var _ Checker = (*Pipeline)(nil)

// Load puts a snapshot in force for every check that begins after it.
func (p *Pipeline) Load(snapshot *Snapshot) { p.snapshot.Store(snapshot) }

// Check decides one request and records the decision; what goes wrong on the way is
// a denial too. ctx, which package envoy ends before Envoy's own deadline, bounds the
// whole of it, but for a moment in which what was decided last is still recorded.
func (p *Pipeline) Check(ctx context.Context, request *Request) Decision {
	began := time.Now()
	snapshot := p.snapshot.Load()
	if alone := snapshot.policyOnly(request); alone != nil {
		return alone.Check(ctx, request)
	}
	facts := &Facts{ID: NewDecisionID(), Time: now(p.Now), Request: request}
	decision := p.answer(ctx, snapshot, facts)
	p.hide(&decision)
	decision.Elapsed = time.Since(began)
	// Audit before answering: a decision nobody recorded was not made.           503
	if err := record(ctx, p.Recorder, &decision, facts); err != nil {
		return Decision{ID: decision.ID, Reason: NotRecorded, Detail: err.Error(), Operation: decision.Operation,
			Answers: decision.Answers, InteractionID: decision.InteractionID, Revision: decision.Revision, Elapsed: decision.Elapsed}
	}
	p.try(snapshot, &decision, facts)
	return decision
}

// decide is the order of steps. The order is security: the earlier failure wins,
// and what a request names is not looked at until its caller is known. An error
// is a denial; its Reason says with which status and challenge: those at the right.
// What is no Reason is a fault of ours, 500; where time ran out, ours are 503.
func (p *Pipeline) decide(ctx context.Context, s *Snapshot, f *Facts) (v Verdict, err error) {
	// The path has one meaning, or the request is refused: dot segments, "//", ";"
	// and whatever else an upstream could read otherwise.                        400
	if f.Target, err = ParseTarget(f.Request.Target); err != nil {
		return v, err
	}
	// The contract says which operation is meant. Where the operator's Envoy names
	// no API of ours there is nothing to hold the request against.               403
	var unknown error
	if f.Match, unknown = s.Contracts.Match(f.Request, f.Target); errors.Is(unknown, NoContract) {
		return v, unknown
	}
	f.Proofs = s.proofs(f.Match.API, f.Time)
	// The client certificate, if there is one, can be read.                 401, 400
	if f.Certificate, err = s.Certificates.Read(f.Request); err != nil {
		return v, err
	}
	// The token is good, and its sender holds what it is bound to. No token is
	// forgiven where the operation takes none; a bad one never is.     401, 400, 503
	f.Token, err = s.Tokens.Verify(ctx, f.Match, f.Request, f.Certificate, f.Time)
	if err = unlessAnonymous(err, f.Match.Operation); err != nil {
		return v, err
	}
	// A client that has addresses of its own calls from one of them: what was stolen
	// from it with all that its token is bound to is no good elsewhere.          403
	if err = atHome(f); err != nil {
		return v, err
	}
	// The token is not revoked: that is asked for a token that was verified before, too.
	// Where the contract requires it, what is known must be of now.            401, 503
	if err = p.stands(f); err != nil {
		return v, err
	}
	// That the path or the method is not known is told only now, to callers with a
	// good token: the rest learn nothing of what there is.                  404, 405
	if unknown != nil {
		return v, unknown
	}
	// The client certificate carries the roles that the contract asks for. Whether the
	// token is bound to it is another matter, and was settled above.        401, 403
	if err = certified(f); err != nil {
		return v, err
	}
	// The caller is of a kind, and holds the scopes, that the contract asks for. No
	// policy can overrule either.                                                403
	if err = permits(f.Match.Operation, f.Caller()); err != nil {
		return v, err
	}
	// What the token authorizes in detail can be read, and is what the contract asks
	// for.                                                                        403
	if err = detailed(f); err != nil {
		return v, err
	}
	// What the request names, in its path, query, headers and body. What of it is only
	// observed goes on as failed, and its objects as nobody's.        400, 413, 415
	if f.Inspection, err = s.Contracts.Inspect(f.Match, f.Request, f.Target); err != nil {
		return v, err
	}
	// Facts from the stores, side by side: the consent that the token names, and
	// which objects are the customer's. Staff, and clients by themselves, own nothing:
	// no owner is looked up for them. A store that fails is never "not hers".    503
	if err = p.lookUp(ctx, f); err != nil {
		return v, err
	}
	f.Region, f.Environment = Region{Service: s.Region, Caller: f.Caller().Region}, s.Environment
	// What the policy is given is kept for the record; what makes no document is no
	// fact to decide on.                                                         403
	if f.Input, err = s.input(f); err != nil {
		return v, err
	}
	// The policy decides: step-up, roles, consent, ownership, region. One that cannot
	// decide, or whose answer could not be sent as it stands, denies.       403, 401
	if v, err = s.verdict(ctx, f); err != nil {
		return v, err
	}
	// What the operation only observes refuses nothing, alone or beside what is enforced.
	v = f.enforce(v)
	// What is allowed is counted, last of all: a refusal spends nothing.     429, 503
	return v, p.spend(ctx, f, &v)
}

// answer turns what decide found into a decision, and a panic into a denial.
func (p *Pipeline) answer(ctx context.Context, s *Snapshot, f *Facts) (d Decision) {
	defer func() {
		if fault := recover(); fault != nil {
			d = p.denial(f, fmt.Errorf("%w: %s", Internal, panicText(fault)))
		}
		if s != nil {
			d.Revision, d.Bundles = s.Revision, s.Bundles
		}
	}()
	if s == nil {
		return p.denial(f, fmt.Errorf("%w: no snapshot is loaded", PolicyUnavailable))
	}
	s.settleAnswers(f)
	verdict, err := p.decide(ctx, s, f)
	if err = inTime(ctx, verdict, err); err != nil {
		return p.denial(f, err)
	}
	d = p.decision(f, verdict.Outcome())
	d.Allowed, d.Verdict, d.Detail = verdict.Allowed, verdict, f.observedDetail(&verdict)
	return d
}

// inTime is the error of deciding, or the lack of time behind it: what is no fault of the
// request's is one of the clock where time ran out, and what is allowed then is too late.
func inTime(ctx context.Context, verdict Verdict, err error) error {
	switch {
	case ctx.Err() == nil:
		return err
	case err != nil && ReasonOf(err).fault():
		return fmt.Errorf("%w: %w", DeadlineExceeded, err)
	case err == nil && verdict.Allowed:
		return fmt.Errorf("%w: allowed too late", DeadlineExceeded)
	}
	return err
}

func (p *Pipeline) denial(f *Facts, err error) Decision {
	d := p.decision(f, ReasonOf(err))
	d.Detail = err.Error()
	var replay *Replayed
	if errors.As(err, &replay) {
		d.Caller = replay.Caller
	}
	return d
}

func (p *Pipeline) decision(f *Facts, reason Reason) Decision {
	d := Decision{ID: f.ID, Reason: reason, Operation: f.Match.Operation, Caller: f.Caller(), Proofs: f.Proofs, Spending: f.Spending,
		Answers: f.toldAnswers(), InteractionID: f.InteractionID, Unchecked: f.Unchecked(), Observed: f.Observed()}
	if f.Token != nil {
		d.NextNonce, d.Expiring = f.Token.NextNonce, f.Token.expiring(f.Time)
	}
	switch reason {
	case UnknownMethod:
		d.Methods = f.Match.Allowed
	case InsufficientScope:
		d.Scopes = neededScopes(d.Operation, d.Caller.Kind)
	}
	return d
}

// hide gives the decision the pseudonym that stands for its caller. Without one the
// caller could not be recorded, so that is a denial.
func (p *Pipeline) hide(d *Decision) {
	defer func() {
		if fault := recover(); fault != nil {
			*d = Decision{ID: d.ID, Operation: d.Operation, Revision: d.Revision, Bundles: d.Bundles, Detail: "pseudonym: " + panicText(fault),
				Answers: d.Answers, InteractionID: d.InteractionID}
		}
	}()
	d.Pseudonym = p.Pseudonyms.Subject(d.Caller)
}

// unlessAnonymous forgives that no credentials were sent where the operation takes
// none. Credentials that were sent and are bad are never forgiven.
func unlessAnonymous(err error, operation *Operation) error {
	if errors.Is(err, NoCredentials) && operation != nil && operation.TakesAnonymous() {
		return nil
	}
	return err
}

// permits holds the caller against the contract's security: any one requirement
// must be met whole (OpenAPI 3.1 §4.8.30). The requirement {} is met by callers without
// a token only: one with a token must meet another, or a token without the scope would
// be granted what is its holder's. A caller of the right kind is told which scope is lacking, any
// other that its kind is wrong.
func permits(operation *Operation, caller Caller) error {
	if operation.Public() {
		return nil
	}
	reason := CallerKind
	for _, requirement := range operation.Security {
		if !requirement.admits(caller.Kind) {
			continue
		}
		if holdsAll(caller.Scopes, requirement.Scopes) {
			return nil
		}
		reason = InsufficientScope
	}
	return fmt.Errorf("scopes: %w", reason)
}

// admits reports a requirement that callers of the kind can meet.
func (r Requirement) admits(kind Kind) bool {
	if r.Anonymous || kind == Anonymous {
		return r.Anonymous && kind == Anonymous
	}
	return r.Kinds == nil || slices.Contains(r.Kinds, kind)
}

func holdsAll(held, needed []string) bool {
	for _, scope := range needed {
		if !slices.Contains(held, scope) {
			return false
		}
	}
	return true
}

// neededScopes are those of the first requirement that callers of the kind can meet.
func neededScopes(operation *Operation, kind Kind) []string {
	for _, requirement := range operation.Security {
		if requirement.admits(kind) && len(requirement.Scopes) > 0 {
			return requirement.Scopes
		}
	}
	return nil
}
