package trace

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
)

// The steps have a span only below one that is recorded, which is the check's.

// recording reports that ctx carries a span that is recorded.
func recording(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// unavailable stands for every error of a store: its own text can hold an id.
const unavailable = "unavailable"

type owners struct {
	next   authz.Owners
	tracer trace.Tracer
}

var _ authz.Owners = (*owners)(nil)

// Owners gives lookups in the store of owners a span "countersign.ownership". A nil
// next stays nil, and with a nil tracer Owners is next itself.
func Owners(next authz.Owners, tracer trace.Tracer) authz.Owners {
	if next == nil || tracer == nil {
		return next
	}
	return &owners{next, tracer}
}

// Owned answers what the wrapped Owners answers.
func (o *owners) Owned(ctx context.Context, caller authz.Caller, objects []authz.Object) (map[authz.Object]authz.Ownership, error) {
	if !recording(ctx) {
		return o.next.Owned(ctx, caller, objects)
	}
	ctx, span := o.tracer.Start(ctx, "countersign.ownership", trace.WithSpanKind(trace.SpanKindClient))
	defer end(span)
	span.SetAttributes(
		attribute.Int("countersign.objects.count", len(objects)),
		attribute.StringSlice("countersign.objects.types", typesOf(objects)),
	)
	owned, err := o.next.Owned(ctx, caller, objects)
	if err != nil {
		span.SetStatus(codes.Error, unavailable)
	} else {
		span.SetAttributes(attribute.Int("countersign.objects.owned", len(owned)))
	}
	return owned, err
}

func typesOf(objects []authz.Object) []string {
	var types []string
	for _, object := range objects {
		if !slices.Contains(types, string(object.Type)) {
			types = append(types, string(object.Type))
		}
	}
	slices.Sort(types)
	return types
}

type consents struct {
	next   authz.Consents
	tracer trace.Tracer
}

var _ authz.Consents = (*consents)(nil)

// Consents gives lookups in the store of consents a span "countersign.consent". A nil
// next stays nil, and with a nil tracer Consents is next itself.
func Consents(next authz.Consents, tracer trace.Tracer) authz.Consents {
	if next == nil || tracer == nil {
		return next
	}
	return &consents{next, tracer}
}

// Consent answers what the wrapped Consents answers.
func (c *consents) Consent(ctx context.Context, caller authz.Caller) (*authz.Consent, error) {
	if !recording(ctx) {
		return c.next.Consent(ctx, caller)
	}
	ctx, span := c.tracer.Start(ctx, "countersign.consent", trace.WithSpanKind(trace.SpanKindClient))
	defer end(span)
	consent, err := c.next.Consent(ctx, caller)
	if err != nil {
		span.SetStatus(codes.Error, unavailable)
	} else {
		span.SetAttributes(attribute.Bool("countersign.consent.found", consent != nil))
	}
	return consent, err
}

type limiter struct {
	next   authz.Limiter
	tracer trace.Tracer
}

var _ authz.Limiter = (*limiter)(nil)

// Limiter gives the spending of limits a span "countersign.limits". A nil next stays
// nil, and with a nil tracer Limiter is next itself.
func Limiter(next authz.Limiter, tracer trace.Tracer) authz.Limiter {
	if next == nil || tracer == nil {
		return next
	}
	return &limiter{next, tracer}
}

// Spend answers what the wrapped Limiter answers.
func (l *limiter) Spend(ctx context.Context, limits []authz.Limit) (authz.Spending, error) {
	if !recording(ctx) {
		return l.next.Spend(ctx, limits)
	}
	ctx, span := l.tracer.Start(ctx, "countersign.limits", trace.WithSpanKind(trace.SpanKindClient))
	defer end(span)
	span.SetAttributes(attribute.Int("countersign.limits.count", len(limits)))
	spending, err := l.next.Spend(ctx, limits)
	if err != nil {
		span.SetStatus(codes.Error, unavailable)
	} else {
		span.SetAttributes(attribute.Bool("countersign.limits.spent", spending.OK))
	}
	return spending, err
}

type tokens struct {
	next   authz.Tokens
	tracer trace.Tracer
}

var _ authz.Tokens = (*tokens)(nil)

// Tokens gives the verification of a token a span "countersign.token". With a nil
// tracer, Tokens is next itself.
func Tokens(next authz.Tokens, tracer trace.Tracer) authz.Tokens {
	if next == nil || tracer == nil {
		return next
	}
	return &tokens{next, tracer}
}

// Verify answers what the wrapped Tokens answers.
func (t *tokens) Verify(ctx context.Context, match authz.Match, request *authz.Request, certificate *authz.Certificate, at time.Time) (*authz.Token, error) {
	if !recording(ctx) {
		return t.next.Verify(ctx, match, request, certificate, at)
	}
	ctx, span := t.tracer.Start(ctx, "countersign.token")
	defer end(span)
	token, err := t.next.Verify(ctx, match, request, certificate, at)
	switch {
	case err != nil:
		reason := authz.ReasonOf(err)
		span.SetAttributes(attribute.String("countersign.reason", reason.String()))
		tellFault(span, false, reason)
	case token != nil:
		span.SetAttributes(attribute.String("countersign.caller.kind", token.Caller.Kind.String()))
	}
	return token, err
}

type policy struct {
	next   authz.Policy
	tracer trace.Tracer
}

var _ authz.Policy = (*policy)(nil)

// Policy gives the policy's evaluation a span "countersign.policy". With a nil
// tracer, Policy is next itself.
func Policy(next authz.Policy, tracer trace.Tracer) authz.Policy {
	if next == nil || tracer == nil {
		return next
	}
	return &policy{next, tracer}
}

// Decide answers what the wrapped Policy answers.
func (p *policy) Decide(ctx context.Context, facts *authz.Facts) (authz.Verdict, error) {
	if !recording(ctx) {
		return p.next.Decide(ctx, facts)
	}
	ctx, span := p.tracer.Start(ctx, "countersign.policy")
	defer end(span)
	verdict, err := p.next.Decide(ctx, facts)
	if err != nil {
		span.SetStatus(codes.Error, authz.PolicyError.String())
	} else {
		span.SetAttributes(attribute.Bool("countersign.allowed", verdict.Allowed))
	}
	return verdict, err
}
