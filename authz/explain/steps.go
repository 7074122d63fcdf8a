package explain

import (
	"context"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// step is a step that is wrapped, in the pipeline's order.
type step uint8

const (
	matching step = iota
	reading
	verifying
	revoking
	inspecting
	consenting
	owning
	deciding

	stepCount
)

// call is how far a step came. One that began and did not end panicked, or was left
// behind when time ran out.
type call struct {
	begun, ended bool
	err          error
}

// faulty reports a step that was taken and did not end well.
func (c call) faulty() bool { return c.begun && (!c.ended || c.err != nil) }

func (c *Checker) begin(s step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[s].begun = true
}

func (c *Checker) end(s step, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[s].ended, c.calls[s].err = true, err
}

type keptContracts struct {
	next  authz.Contracts
	keeps *Checker
}

func (k keptContracts) Match(request *authz.Request, target authz.Target) (authz.Match, error) {
	k.keeps.begin(matching)
	match, err := k.next.Match(request, target)
	k.keeps.end(matching, err)
	return match, err
}

func (k keptContracts) Inspect(match authz.Match, request *authz.Request, target authz.Target) (authz.Inspection, error) {
	k.keeps.begin(inspecting)
	inspection, err := k.next.Inspect(match, request, target)
	k.keeps.end(inspecting, err)
	return inspection, err
}

type keptCertificates struct {
	next  authz.Certificates
	keeps *Checker
}

func (k keptCertificates) Read(request *authz.Request) (*authz.Certificate, error) {
	k.keeps.begin(reading)
	certificate, err := k.next.Read(request)
	k.keeps.end(reading, err)
	return certificate, err
}

type keptTokens struct {
	next  authz.Tokens
	keeps *Checker
}

func (k keptTokens) Verify(ctx context.Context, match authz.Match, request *authz.Request, certificate *authz.Certificate, at time.Time) (*authz.Token, error) {
	k.keeps.begin(verifying)
	token, err := k.next.Verify(ctx, match, request, certificate, at)
	k.keeps.end(verifying, err)
	return token, err
}

// keptRevocations has to who cannot read what is revoked nothing be so, which the step
// tells: the rest is explained all the same, but where the operation requires to know.
type keptRevocations struct {
	next  authz.Revocations
	keeps *Checker
}

func (k keptRevocations) Revoked(token *authz.Token) (revoked bool, asOf time.Time) {
	k.keeps.begin(revoking)
	revoked, asOf = k.next.Revoked(token)
	k.keeps.end(revoking, nil)
	k.keeps.mu.Lock()
	defer k.keeps.mu.Unlock()
	if k.keeps.known = asOf; asOf.IsZero() {
		asOf = time.Unix(0, 0)
	}
	return revoked, asOf
}

type keptConsents struct {
	next  authz.Consents
	keeps *Checker
}

func (k keptConsents) Consent(ctx context.Context, caller authz.Caller) (*authz.Consent, error) {
	k.keeps.begin(consenting)
	consent, err := k.next.Consent(ctx, caller)
	k.keeps.end(consenting, err)
	return consent, err
}

type keptOwners struct {
	next  authz.Owners
	keeps *Checker
}

func (k keptOwners) Owned(ctx context.Context, caller authz.Caller, objects []authz.Object) (map[authz.Object]authz.Ownership, error) {
	k.keeps.begin(owning)
	owned, err := k.next.Owned(ctx, caller, objects)
	k.keeps.end(owning, err)
	return owned, err
}

type keptPolicy struct {
	next  authz.Policy
	keeps *Checker
}

func (k keptPolicy) Decide(ctx context.Context, facts *authz.Facts) (authz.Verdict, error) {
	k.keeps.begin(deciding)
	verdict, err := k.next.Decide(ctx, facts)
	k.keeps.end(deciding, err)
	return verdict, err
}

// unspent is a limiter of which nothing was spent yet: what is explained costs nobody a
// call, and what serve has counted is its own.
type unspent struct{}

func (unspent) Spend(_ context.Context, limits []authz.Limit) (authz.Spending, error) {
	spending := authz.Spending{OK: true}
	for _, limit := range limits {
		spending.Left = append(spending.Left, authz.Allowance{Limit: limit, Remaining: limit.Max - 1, Reset: limit.Window})
	}
	return spending, nil
}
