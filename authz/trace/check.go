package trace

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
)

// checks wraps a Checker.
type checks struct {
	next   authz.Checker
	tracer trace.Tracer
}

var _ authz.Checker = (*checks)(nil)

// Checks gives every check a span "countersign.check", below Envoy's span where the
// request has one, else as a root that the sampler decides on. A request whose
// traceparent says that it is not sampled has none. With a nil tracer, Checks is
// next itself.
func Checks(next authz.Checker, tracer trace.Tracer) authz.Checker {
	if tracer == nil {
		return next
	}
	return &checks{next, tracer}
}

// Check answers what the wrapped Checker answers.
func (c *checks) Check(ctx context.Context, request *authz.Request) authz.Decision {
	if unsampled(request.Traceparent) {
		return c.next.Check(ctx, request)
	}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier{request})
	ctx, span := c.tracer.Start(ctx, "countersign.check", trace.WithSpanKind(trace.SpanKindServer))
	defer end(span)
	decision := c.next.Check(ctx, request)
	if span.IsRecording() {
		tell(span, &decision)
	}
	return decision
}

// end ends a span in a deferred call. It must not be deferred span.End itself: that
// recovers a panic, and writes its text, which can hold anything, into the span.
func end(span trace.Span) { span.End() }

func tell(span trace.Span, d *authz.Decision) {
	span.SetAttributes(
		attribute.String("countersign.decision_id", d.ID.String()),
		attribute.Bool("countersign.allowed", d.Allowed),
		attribute.String("countersign.reason", d.Code()),
		attribute.String("countersign.revision", d.Revision),
	)
	if d.Operation != nil {
		span.SetAttributes(
			attribute.String("countersign.api", string(d.Operation.API)),
			attribute.String("countersign.operation", d.Operation.ID),
			attribute.String("http.request.method", d.Operation.Method),
		)
	}
	if d.Caller.Client != "" {
		// An OAuth client is a company's program, not a person.
		span.SetAttributes(attribute.String("countersign.client", string(d.Caller.Client)))
	}
	if d.InteractionID != "" {
		span.SetAttributes(attribute.String("countersign.interaction_id", d.InteractionID))
	}
	if len(d.Unchecked) > 0 {
		span.SetAttributes(attribute.StringSlice("countersign.unchecked", authz.Codes(d.Unchecked)))
	}
	if len(d.Observed) > 0 {
		span.SetAttributes(attribute.StringSlice("countersign.observed", d.Observed))
	}
	tellFault(span, d.Allowed, d.Reason)
}

// tellFault marks what is our fault or a store's: a denial that a caller has earned
// is no error of the service's.
func tellFault(span trace.Span, allowed bool, reason authz.Reason) {
	if !allowed && reason.Status() >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, reason.String())
	}
}

// unsampled reports a traceparent whose sampled flag is off (W3C Trace Context
// §3.2.2.5). Only the flag is looked at: Envoy wrote the rest. One that is too short
// to have it counts as none.
func unsampled(traceparent string) bool {
	const flags = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0")
	if len(traceparent) <= flags {
		return false
	}
	switch traceparent[flags] {
	case '0', '2', '4', '6', '8', 'a', 'c', 'e':
		return true
	}
	return false
}

// carrier shows the propagator the two values that came with Envoy's call, and
// none of the client's headers.
type carrier struct{ request *authz.Request }

// Get returns a header's value by its lower-case name.
func (c carrier) Get(name string) string {
	switch name {
	case "traceparent":
		return c.request.Traceparent
	case "tracestate":
		return c.request.Tracestate
	}
	return ""
}

// Set does nothing: nothing is propagated from here.
func (c carrier) Set(string, string) {}

// Keys are the names that Get knows.
func (c carrier) Keys() []string { return []string{"traceparent", "tracestate"} }
