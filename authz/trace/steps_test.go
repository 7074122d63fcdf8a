package trace

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
)

const (
	parentTrace     = "0af7651916cd43dd8448eb211c80319c"
	parentSpan      = "b7ad6b7169203331"
	sampledParent   = "00-" + parentTrace + "-" + parentSpan + "-01"
	unsampledParent = "00-" + parentTrace + "-" + parentSpan + "-00"
)

// The fakes answer what they are told to, or panic with it.

type fakeChecker struct {
	decision authz.Decision
	fault    any
	// inside runs within the check.
	inside func(context.Context)
	asked  *authz.Request
}

func (f *fakeChecker) Check(ctx context.Context, request *authz.Request) authz.Decision {
	f.asked = request
	if f.inside != nil {
		f.inside(ctx)
	}
	if f.fault != nil {
		panic(f.fault)
	}
	return f.decision
}

type fakeStep struct {
	owned   map[authz.Object]authz.Ownership
	consent *authz.Consent
	token   *authz.Token
	verdict authz.Verdict
	spent   authz.Spending
	err     error
	fault   any
	asked   []any
}

func (f *fakeStep) answer(asked ...any) {
	f.asked = asked
	if f.fault != nil {
		panic(f.fault)
	}
}

func (f *fakeStep) Owned(_ context.Context, caller authz.Caller, objects []authz.Object) (map[authz.Object]authz.Ownership, error) {
	f.answer(caller, objects)
	return f.owned, f.err
}

func (f *fakeStep) Consent(_ context.Context, caller authz.Caller) (*authz.Consent, error) {
	f.answer(caller)
	return f.consent, f.err
}

func (f *fakeStep) Verify(_ context.Context, match authz.Match, request *authz.Request, certificate *authz.Certificate, at time.Time) (*authz.Token, error) {
	f.answer(match, request, certificate, at)
	return f.token, f.err
}

func (f *fakeStep) Decide(_ context.Context, facts *authz.Facts) (authz.Verdict, error) {
	f.answer(facts)
	return f.verdict, f.err
}

func (f *fakeStep) Spend(_ context.Context, limits []authz.Limit) (authz.Spending, error) {
	f.answer(limits)
	return f.spent, f.err
}

// The arguments that every step is asked with, marked where they name a person.
var (
	someCaller  = authz.Caller{Kind: authz.Customer, Subject: "zz-subject", Client: "acme", Actor: "zz-actor", Consent: "zz-consent"}
	someObjects = []authz.Object{{Type: "payee", ID: "zz-payee"}, {Type: "account", ID: "zz-account"}, {Type: "account", ID: "zz-other"}}
	someRequest = &authz.Request{
		Method: "zz-method", Host: "zz-host", Target: "/zz-path?zz-query", Address: "zz-address",
		Headers: authz.Headers{{Name: "authorization", Value: "zz-token"}}, Body: []byte("zz-body"),
		Traceparent: sampledParent, Tracestate: "vendor=state",
	}
	someFacts       = &authz.Facts{Request: someRequest}
	someLimits      = []authz.Limit{{Name: "zz_name", Key: "zz-key", Max: 1, Window: time.Minute}}
	someMatch       = authz.Match{API: "accounts", Parameters: map[string]string{"AccountId": "zz-account"}}
	someCertificate = &authz.Certificate{Identity: &authz.Identity{Subject: "CN=zz-name"}}
	someTime        = time.Unix(1, 2)
)

// steps calls each wrapped step, and gives what it was asked and what it answered.
var steps = map[string]func(context.Context, *fakeStep, trace.Tracer) (asked []any, answer any, err error){
	"countersign.ownership": func(ctx context.Context, f *fakeStep, tracer trace.Tracer) ([]any, any, error) {
		owned, err := Owners(f, tracer).Owned(ctx, someCaller, someObjects)
		return []any{someCaller, someObjects}, owned, err
	},
	"countersign.consent": func(ctx context.Context, f *fakeStep, tracer trace.Tracer) ([]any, any, error) {
		consent, err := Consents(f, tracer).Consent(ctx, someCaller)
		return []any{someCaller}, consent, err
	},
	"countersign.token": func(ctx context.Context, f *fakeStep, tracer trace.Tracer) ([]any, any, error) {
		token, err := Tokens(f, tracer).Verify(ctx, someMatch, someRequest, someCertificate, someTime)
		return []any{someMatch, someRequest, someCertificate, someTime}, token, err
	},
	"countersign.policy": func(ctx context.Context, f *fakeStep, tracer trace.Tracer) ([]any, any, error) {
		verdict, err := Policy(f, tracer).Decide(ctx, someFacts)
		return []any{someFacts}, verdict, err
	},
	"countersign.limits": func(ctx context.Context, f *fakeStep, tracer trace.Tracer) ([]any, any, error) {
		spending, err := Limiter(f, tracer).Spend(ctx, someLimits)
		return []any{someLimits}, spending, err
	},
}

// bare is what the steps answer without anything around them.
func bare(f *fakeStep, step string) any {
	return map[string]any{
		"countersign.ownership": f.owned, "countersign.consent": f.consent,
		"countersign.token": f.token, "countersign.policy": f.verdict, "countersign.limits": f.spent,
	}[step]
}

func recorder(t *testing.T, options ...sdk.TracerProviderOption) (trace.Tracer, *tracetest.InMemoryExporter) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(append(options, sdk.WithSyncer(exporter))...)
	t.Cleanup(func() { provider.Shutdown(context.Background()) })
	return provider.Tracer(scope), exporter
}

func faces() map[string]*fakeStep {
	owned := map[authz.Object]authz.Ownership{someObjects[0]: {Relation: "zz-relation", Region: "GB"}}
	return map[string]*fakeStep{
		"an answer": {
			owned: owned, consent: &authz.Consent{ID: "zz-consent", Subject: "zz-subject"},
			token:   &authz.Token{Caller: someCaller, Claims: map[string]any{"email": "zz-claim"}},
			spent:   authz.Spending{OK: true, Left: []authz.Allowance{{Limit: someLimits[0]}}},
			verdict: authz.Verdict{Allowed: true, Detail: "zz-detail", Waived: []string{"zz-waived"}},
		},
		"a denial":            {owned: map[authz.Object]authz.Ownership{}, verdict: authz.Verdict{Reason: "zz_reason", Refusals: []string{"zz"}}},
		"nothing":             {},
		"an error":            {err: errors.New("zz-error")},
		"an error and answer": {owned: owned, err: fmt.Errorf("token: %w: zz-error", authz.TokenExpired)},
		"an outage":           {err: fmt.Errorf("token: %w: zz-error", authz.KeysUnavailable)},
	}
}

func TestNoStepsAnswerIsChanged(t *testing.T) {
	tracer, exporter := recorder(t)
	sampled, span := tracer.Start(context.Background(), "root")
	defer span.End()
	contexts := map[string]context.Context{"recording": sampled, "not recording": context.Background()}
	for step, call := range steps {
		for what, face := range faces() {
			for within, ctx := range contexts {
				t.Run(step+" "+what+" "+within, func(t *testing.T) {
					exporter.Reset()
					asked, got, err := call(ctx, face, tracer)
					if want := bare(face, step); !reflect.DeepEqual(got, want) {
						t.Errorf("answer = %v, want %v", got, want)
					}
					if err != face.err {
						t.Errorf("error = %v, want the very %v", err, face.err)
					}
					if !reflect.DeepEqual(asked, face.asked) {
						t.Errorf("asked with %v, want %v", face.asked, asked)
					}
					if got, want := len(exporter.GetSpans()), map[string]int{"recording": 1}[within]; got != want {
						t.Errorf("%d spans, want %d", got, want)
					}
				})
			}
		}
	}
}

func TestPanicsPassThroughUnwritten(t *testing.T) {
	tracer, exporter := recorder(t)
	calls := map[string]func(context.Context, any){
		"countersign.check": func(ctx context.Context, fault any) {
			Checks(&fakeChecker{fault: fault}, tracer).Check(ctx, someRequest)
		},
	}
	for step, call := range steps {
		calls[step] = func(ctx context.Context, fault any) { call(ctx, &fakeStep{fault: fault}, tracer) }
	}
	for step, call := range calls {
		t.Run(step, func(t *testing.T) {
			ctx, span := tracer.Start(context.Background(), "root")
			defer span.End()
			exporter.Reset()
			fault := errors.New("zz-panic")
			func() {
				defer func() {
					if got := recover(); got != any(fault) {
						t.Errorf("recovered %v, want the very %v", got, fault)
					}
				}()
				call(ctx, fault)
			}()
			spans := exporter.GetSpans()
			if len(spans) != 1 || spans[0].Name != step || spans[0].EndTime.IsZero() {
				t.Errorf("spans = %v, want an ended %s", spans, step)
			}
			wantNothingPersonal(t, spans)
		})
	}
}

func TestStepsTellCountsAndCodes(t *testing.T) {
	tracer, exporter := recorder(t)
	ctx, root := tracer.Start(context.Background(), "root")
	defer root.End()
	tests := []struct {
		step, face string
		kind       trace.SpanKind
		want       map[string]string
		status     sdk.Status
	}{
		{"countersign.ownership", "an answer", trace.SpanKindClient, map[string]string{
			"countersign.objects.count": "3", "countersign.objects.types": `["account","payee"]`, "countersign.objects.owned": "1",
		}, sdk.Status{}},
		{"countersign.ownership", "an error", trace.SpanKindClient, map[string]string{
			"countersign.objects.count": "3", "countersign.objects.types": `["account","payee"]`,
		}, sdk.Status{Code: codes.Error, Description: "unavailable"}},
		{"countersign.consent", "an answer", trace.SpanKindClient, map[string]string{"countersign.consent.found": "true"}, sdk.Status{}},
		{"countersign.consent", "nothing", trace.SpanKindClient, map[string]string{"countersign.consent.found": "false"}, sdk.Status{}},
		{"countersign.consent", "an error", trace.SpanKindClient, nil, sdk.Status{Code: codes.Error, Description: "unavailable"}},
		{"countersign.token", "an answer", trace.SpanKindInternal, map[string]string{"countersign.caller.kind": "customer"}, sdk.Status{}},
		{"countersign.token", "an error and answer", trace.SpanKindInternal, map[string]string{"countersign.reason": "token_expired"}, sdk.Status{}},
		{"countersign.token", "an outage", trace.SpanKindInternal, map[string]string{"countersign.reason": "keys_unavailable"},
			sdk.Status{Code: codes.Error, Description: "keys_unavailable"}},
		{"countersign.limits", "an answer", trace.SpanKindClient, map[string]string{"countersign.limits.count": "1", "countersign.limits.spent": "true"}, sdk.Status{}},
		{"countersign.limits", "nothing", trace.SpanKindClient, map[string]string{"countersign.limits.count": "1", "countersign.limits.spent": "false"}, sdk.Status{}},
		{"countersign.limits", "an error", trace.SpanKindClient, map[string]string{"countersign.limits.count": "1"}, sdk.Status{Code: codes.Error, Description: "unavailable"}},
		{"countersign.policy", "an answer", trace.SpanKindInternal, map[string]string{"countersign.allowed": "true"}, sdk.Status{}},
		{"countersign.policy", "a denial", trace.SpanKindInternal, map[string]string{"countersign.allowed": "false"}, sdk.Status{}},
		{"countersign.policy", "an error", trace.SpanKindInternal, nil, sdk.Status{Code: codes.Error, Description: "policy_error"}},
	}
	for _, test := range tests {
		t.Run(test.step+" "+test.face, func(t *testing.T) {
			exporter.Reset()
			steps[test.step](ctx, faces()[test.face], tracer)
			span := exporter.GetSpans()[0]
			if span.Name != test.step || span.SpanKind != test.kind || span.Parent.SpanID() != root.SpanContext().SpanID() {
				t.Errorf("span = %s %v below %v", span.Name, span.SpanKind, span.Parent.SpanID())
			}
			if diff := cmp.Diff(test.want, attributesOf(span)); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if span.Status != test.status {
				t.Errorf("status = %v, want %v", span.Status, test.status)
			}
		})
	}
}

func attributesOf(span tracetest.SpanStub) map[string]string {
	var out map[string]string
	for _, attribute := range span.Attributes {
		if out == nil {
			out = map[string]string{}
		}
		out[string(attribute.Key)] = attribute.Value.String()
	}
	return out
}

func TestNoPersonalData(t *testing.T) {
	tracer, exporter := recorder(t)
	for what, face := range faces() {
		t.Run(what, func(t *testing.T) {
			exporter.Reset()
			checker := &fakeChecker{
				decision: authz.Decision{
					Reason: authz.ReasonOf(face.err), Detail: "zz-detail", Caller: someCaller, Pseudonym: "zz-pseudonym",
					Operation: &authz.Operation{ID: "GetAccount", API: "accounts", Method: "GET", Path: "/accounts/{AccountId}"},
					Verdict:   authz.Verdict{Detail: "zz-detail", Refusals: []string{"zz"}, Waived: []string{"zz"}},
				},
				inside: func(ctx context.Context) {
					for _, call := range steps {
						call(ctx, face, tracer)
					}
				},
			}
			Checks(checker, tracer).Check(context.Background(), someRequest)
			spans := exporter.GetSpans()
			if len(spans) != len(steps)+1 {
				t.Fatalf("%d spans, want %d", len(spans), len(steps)+1)
			}
			wantNothingPersonal(t, spans)
		})
	}
}

func wantNothingPersonal(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	for _, span := range spans {
		if text := fmt.Sprintf("%v %v %v %v %v", span.Name, span.Attributes, span.Status, span.Events, span.Links); strings.Contains(text, "zz") {
			t.Errorf("the span holds personal data: %s", text)
		}
	}
}

func TestWithoutATracerNothingIsWrapped(t *testing.T) {
	step, checker := &fakeStep{}, &fakeChecker{}
	same := []bool{
		Checks(checker, nil) == authz.Checker(checker),
		Owners(step, nil) == authz.Owners(step),
		Consents(step, nil) == authz.Consents(step),
		Tokens(step, nil) == authz.Tokens(step),
		Policy(step, nil) == authz.Policy(step),
		Limiter(step, nil) == authz.Limiter(step),
	}
	if slices.Contains(same, false) {
		t.Errorf("the wrapped are the same = %v, want all", same)
	}
	tracer, _ := recorder(t)
	absent := []bool{Owners(nil, tracer) == nil, Consents(nil, tracer) == nil, Tokens(nil, tracer) == nil, Policy(nil, tracer) == nil, Limiter(nil, tracer) == nil}
	if slices.Contains(absent, false) {
		t.Errorf("what is absent stays nil = %v, want all", absent)
	}
}
