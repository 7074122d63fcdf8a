package jaeger

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/examples/openbanking/collector"
)

const trace = "0bf92f3577b34da6a3ce929d0e0e4736"

// kept is a trace as Jaeger answers with it, the later span first.
const kept = `{"data": [{"traceID": "` + trace + `", "spans": [
  {"traceID": "` + trace + `", "spanID": "00f067aa0ba902b8", "operationName": "countersign.check", "processID": "p2",
   "references": [
     {"refType": "FOLLOWS_FROM", "traceID": "` + trace + `", "spanID": "0000000000000001"},
     {"refType": "CHILD_OF", "traceID": "ffffffffffffffffffffffffffffffff", "spanID": "0000000000000002"},
     {"refType": "CHILD_OF", "traceID": "` + trace + `", "spanID": "00f067aa0ba902b7"}],
   "startTime": 1795257983000250, "duration": 700,
   "tags": [{"key": "countersign.allowed", "type": "bool", "value": false},
            {"key": "countersign.reason", "type": "string", "value": "not_owner"},
            {"key": "countersign.objects.count", "type": "int64", "value": 12345678901}]},
  {"traceID": "` + trace + `", "spanID": "00f067aa0ba902b7", "operationName": "ingress", "processID": "p1",
   "references": [], "startTime": 1795257983000000, "duration": 1500, "tags": []}],
 "processes": {"p1": {"serviceName": "envoy"}, "p2": {"serviceName": "countersign"}}}]}`

// fakeJaeger answers one trace's address with what answer writes, and 404 elsewhere.
func fakeJaeger(t *testing.T, answer http.HandlerFunc) *Query {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /api/traces/"+trace, answer)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &Query{URL: server.URL}
}

func writes(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func TestTraceReadsJaegersForm(t *testing.T) {
	got, err := fakeJaeger(t, writes(kept)).Trace(t.Context(), trace)
	if err != nil {
		t.Fatalf("Trace: %v", err)
	}
	want := []collector.Span{
		{Trace: trace, ID: "00f067aa0ba902b7", Service: "envoy", Name: "ingress",
			Start: time.UnixMicro(1795257983000000), Duration: 1500 * time.Microsecond, Attributes: map[string]string{}},
		{Trace: trace, ID: "00f067aa0ba902b8", Parent: "00f067aa0ba902b7", Service: "countersign", Name: "countersign.check",
			Start: time.UnixMicro(1795257983000250), Duration: 700 * time.Microsecond, Attributes: map[string]string{
				"countersign.allowed": "false", "countersign.reason": "not_owner", "countersign.objects.count": "12345678901"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Trace (-want +got):\n%s", diff)
	}
}

func TestTraceThatJaegerDoesNotKnowHasNoSpans(t *testing.T) {
	spans, err := fakeJaeger(t, writes(kept)).Trace(t.Context(), strings.Repeat("0", 32))
	if len(spans) != 0 || err != nil {
		t.Errorf("Trace = %v, %v, want nothing", spans, err)
	}
}

func TestTraceTellsOfAnswersThatAreNone(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"another status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, "400"},
		{"no JSON", writes("<html>"), "invalid character"},
		{"too long", writes(strings.Repeat(" ", maxTrace+1)), "more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spans, err := fakeJaeger(t, test.answer).Trace(t.Context(), trace)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Trace = %v, %v, want an error with %q", spans, err, test.want)
			}
		})
	}
}

func TestAwaitLooksAgainUntilThereIsEnough(t *testing.T) {
	var looks atomic.Int32
	jaeger := fakeJaeger(t, func(w http.ResponseWriter, r *http.Request) {
		if looks.Add(1) < 3 {
			http.NotFound(w, r)
			return
		}
		writes(kept)(w, r)
	})
	spans, err := jaeger.Await(t.Context(), trace, collector.Joined)
	if err != nil || len(spans) != 2 || looks.Load() != 3 {
		t.Errorf("Await = %d spans, %v after %d looks, want 2 after 3", len(spans), err, looks.Load())
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	spans, err := fakeJaeger(t, writes(kept)).Await(ctx, trace, func([]collector.Span) bool {
		cancel()
		return false
	})
	if !errors.Is(err, context.Canceled) || len(spans) != 2 {
		t.Errorf("Await = %d spans, %v, want what arrived, and %v", len(spans), err, context.Canceled)
	}
}

func TestLinksLeadToTheTrace(t *testing.T) {
	jaeger := &Query{URL: "http://127.0.0.1:1"}
	if got, want := jaeger.Page(trace), "http://127.0.0.1:1/trace/"+trace; got != want {
		t.Errorf("Page = %q, want %q", got, want)
	}
	if got, want := jaeger.API("../x"), "http://127.0.0.1:1/api/traces/..%2Fx"; got != want {
		t.Errorf("API = %q, want %q", got, want)
	}
}
