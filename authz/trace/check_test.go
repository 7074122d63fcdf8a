package trace

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
)

func TestCheckIsBelowEnvoysSpan(t *testing.T) {
	tracer, exporter := recorder(t)
	var inside context.Context
	checker := Checks(&fakeChecker{inside: func(ctx context.Context) { inside = ctx }}, tracer)
	checker.Check(context.Background(), someRequest)
	span := exporter.GetSpans()[0]
	if span.Name != "countersign.check" || span.SpanKind != trace.SpanKindServer {
		t.Errorf("span = %s %v, want countersign.check server", span.Name, span.SpanKind)
	}
	if span.Parent.TraceID().String() != parentTrace || span.Parent.SpanID().String() != parentSpan || !span.Parent.IsRemote() {
		t.Errorf("parent = %v %v, want Envoy's", span.Parent.TraceID(), span.Parent.SpanID())
	}
	if got := span.SpanContext.TraceState().String(); got != "vendor=state" {
		t.Errorf("tracestate = %q, want Envoy's", got)
	}
	if got := trace.SpanContextFromContext(inside); got.SpanID() != span.SpanContext.SpanID() {
		t.Errorf("the check ran under span %v, want %v", got.SpanID(), span.SpanContext.SpanID())
	}
}

func TestWhichChecksAreTraced(t *testing.T) {
	tests := []struct {
		name, traceparent string
		sampler           sdk.Sampler
		spans             int
		root              bool
	}{
		{"sampled by Envoy", sampledParent, nil, 1, false},
		{"sampled among other flags", sampledParent[:53] + "03", nil, 1, false},
		{"not sampled by Envoy", unsampledParent, nil, 0, false},
		{"not sampled among other flags", unsampledParent[:53] + "02", nil, 0, false},
		{"not sampled by Envoy, whatever the sampler", unsampledParent, sdk.AlwaysSample(), 0, false},
		{"sampled by a later version", "01" + sampledParent[2:] + "-more", nil, 1, false},
		{"not sampled by a later version", "01" + unsampledParent[2:] + "-more", nil, 0, false},
		{"no parent", "", nil, 1, true},
		{"no parent, and the sampler declines", "", sdk.NeverSample(), 0, true},
		{"a malformed parent is none", "00-zz", nil, 1, true},
		{"a parent with malformed flags is none", sampledParent[:53] + "xx", nil, 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var options []sdk.TracerProviderOption
			if test.sampler != nil {
				options = append(options, sdk.WithSampler(test.sampler))
			}
			tracer, exporter := recorder(t, options...)
			next := &fakeChecker{decision: authz.Decision{Allowed: true, Reason: authz.Granted}}
			if got := Checks(next, tracer).Check(context.Background(), &authz.Request{Traceparent: test.traceparent}); !got.Allowed {
				t.Errorf("Check = %v, want the allow", got)
			}
			spans := exporter.GetSpans()
			if len(spans) != test.spans {
				t.Fatalf("%d spans, want %d", len(spans), test.spans)
			}
			if len(spans) > 0 && spans[0].Parent.IsValid() == test.root {
				t.Errorf("the span is a root = %v, want %v", !spans[0].Parent.IsValid(), test.root)
			}
		})
	}
}

func TestSampledFlagIsTheLowestBit(t *testing.T) {
	for flags := range 256 {
		if got, want := unsampled(fmt.Sprintf("%s%02x", sampledParent[:53], flags)), flags&1 == 0; got != want {
			t.Errorf("unsampled with flags %02x = %v, want %v", flags, got, want)
		}
	}
}

func TestNoDecisionIsChanged(t *testing.T) {
	tracer, _ := recorder(t)
	decisions := []authz.Decision{
		{},
		{Allowed: true, Reason: authz.Granted, Verdict: authz.Verdict{Allowed: true}, Operation: &authz.Operation{ID: "x"}},
		{Reason: authz.PolicyDenied, Detail: "detail", Caller: someCaller, Scopes: []string{"a"}, Methods: []string{"GET"}},
		{Reason: authz.NotRecorded},
	}
	for i, want := range decisions {
		for _, parent := range []string{"", sampledParent, unsampledParent} {
			t.Run(fmt.Sprintf("%d %s", i, parent), func(t *testing.T) {
				next := &fakeChecker{decision: want}
				request := &authz.Request{Traceparent: parent}
				if got := Checks(next, tracer).Check(context.Background(), request); !reflect.DeepEqual(got, want) {
					t.Errorf("Check = %v, want %v", got, want)
				}
				if next.asked != request {
					t.Error("another request was checked")
				}
			})
		}
	}
}

func TestCheckTellsTheDecision(t *testing.T) {
	operation := &authz.Operation{ID: "GetAccount", API: "accounts", Method: "GET"}
	const id = "12000000-0000-0000-0000-000000000000"
	tests := []struct {
		name     string
		decision authz.Decision
		want     map[string]string
		status   sdk.Status
	}{
		{"an allow", authz.Decision{Allowed: true, Reason: authz.Granted, Operation: operation, Caller: someCaller, Revision: "r1"}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "true", "countersign.reason": "granted", "countersign.revision": "r1",
			"countersign.api": "accounts", "countersign.operation": "GetAccount", "http.request.method": "GET", "countersign.client": "acme",
		}, sdk.Status{}},
		{"an interaction", authz.Decision{Reason: authz.NoCredentials, InteractionID: "c770"}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "false", "countersign.reason": "no_credentials", "countersign.revision": "",
			"countersign.interaction_id": "c770",
		}, sdk.Status{}},
		{"an allow of what was not checked", authz.Decision{Allowed: true, Reason: authz.Granted, Unchecked: []authz.Reason{authz.ReplaysUnavailable, authz.LimitsUnavailable}}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "true", "countersign.reason": "granted", "countersign.revision": "",
			"countersign.unchecked": `["replays_unavailable","limits_unavailable"]`,
		}, sdk.Status{}},
		{"an allow of what is only observed", authz.Decision{Allowed: true, Reason: authz.Granted, Observed: []string{"object_malformed", "not_owner:account"}}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "true", "countersign.reason": "granted", "countersign.revision": "",
			"countersign.observed": `["object_malformed","not_owner:account"]`,
		}, sdk.Status{}},
		{"a policy's denial is no error", authz.Decision{Reason: authz.PolicyDenied, Verdict: authz.Verdict{Reason: "not_owner"}}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "false", "countersign.reason": "not_owner", "countersign.revision": "",
		}, sdk.Status{}},
		{"a store that is down", authz.Decision{Reason: authz.OwnershipUnavailable}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "false", "countersign.reason": "ownership_unavailable", "countersign.revision": "",
		}, sdk.Status{Code: codes.Error, Description: "ownership_unavailable"}},
		{"a fault of ours", authz.Decision{}, map[string]string{
			"countersign.decision_id": id, "countersign.allowed": "false", "countersign.reason": "internal", "countersign.revision": "",
		}, sdk.Status{Code: codes.Error, Description: "internal"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracer, exporter := recorder(t)
			test.decision.ID = authz.DecisionID{0x12}
			Checks(&fakeChecker{decision: test.decision}, tracer).Check(context.Background(), someRequest)
			span := exporter.GetSpans()[0]
			if diff := cmp.Diff(test.want, attributesOf(span)); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if span.Status != test.status {
				t.Errorf("status = %v, want %v", span.Status, test.status)
			}
		})
	}
}

func TestCarrierReadsOnlyTheTraceContext(t *testing.T) {
	c := carrier{someRequest}
	c.Set("traceparent", "other")
	got := map[string]string{}
	for _, name := range append(c.Keys(), "authorization") {
		got[name] = c.Get(name)
	}
	want := map[string]string{"traceparent": sampledParent, "tracestate": "vendor=state", "authorization": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("carrier (-want +got):\n%s", diff)
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(sampledParent, "vendor=state")
	f.Add(unsampledParent, "")
	f.Add("", "=,=")
	provider := sdk.NewTracerProvider()
	checker := Checks(&fakeChecker{}, provider.Tracer(scope))
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		request := &authz.Request{Traceparent: traceparent, Tracestate: tracestate}
		if checker.Check(context.Background(), request).Allowed {
			t.Error("allowed")
		}
	})
}

func TestUnsampledCheckAllocatesNothing(t *testing.T) {
	tracer, _ := recorder(t)
	checker := Checks(&fakeChecker{}, tracer)
	request := &authz.Request{Traceparent: unsampledParent}
	ctx := context.Background()
	if got := testing.AllocsPerRun(100, func() { checker.Check(ctx, request) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func BenchmarkCheck(b *testing.B) {
	tracer := sdk.NewTracerProvider().Tracer(scope)
	bare := &fakeChecker{decision: authz.Decision{Allowed: true, Reason: authz.Granted}}
	for _, bench := range []struct {
		name, parent string
		checker      authz.Checker
	}{
		{"untraced", unsampledParent, bare},
		{"unsampled", unsampledParent, Checks(bare, tracer)},
		{"sampled", sampledParent, Checks(bare, tracer)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			checker, request := bench.checker, &authz.Request{Traceparent: bench.parent}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				checker.Check(ctx, request)
			}
		})
	}
}
