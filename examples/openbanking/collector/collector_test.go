package collector

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

func listen(t *testing.T) (*Collector, collectorv1.TraceServiceClient) {
	t.Helper()
	c, err := Listen()
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	connection, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", c.Port()), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(connection.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, collectorv1.NewTraceServiceClient(connection)
}

func span(id, parent byte, name string, start uint64, attributes ...*commonv1.KeyValue) *tracev1.Span {
	traceID, _ := hex.DecodeString(trace)
	s := &tracev1.Span{TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, id}, Name: name,
		StartTimeUnixNano: start * 1000, EndTimeUnixNano: (start + 1500) * 1000, Attributes: attributes}
	if parent != 0 {
		s.ParentSpanId = []byte{0, 0, 0, 0, 0, 0, 0, parent}
	}
	return s
}

func attribute(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

func export(t *testing.T, client collectorv1.TraceServiceClient, service string, spans ...*tracev1.Span) {
	t.Helper()
	_, err := client.Export(t.Context(), &collectorv1.ExportTraceServiceRequest{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{attribute("service.name", service)}},
		ScopeSpans: []*tracev1.ScopeSpans{{Spans: spans}},
	}}})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
}

func TestTreePutsChildrenUnderParents(t *testing.T) {
	c, client := listen(t)
	export(t, client, "countersign", span(3, 2, "decide", 30, attribute("countersign.reason", "granted"), attribute("other", "x")))
	export(t, client, "envoy", span(4, 1, "upstream", 40), span(2, 1, "ask", 20), span(1, 0, "ingress", 10))
	want := strings.TrimPrefix(`
envoy              ingress                              1.5ms
├─ envoy           ask                                  1.5ms
│  └─ countersign  decide                               1.5ms
│                    countersign.reason = granted
└─ envoy           upstream                             1.5ms
`, "\n")
	if got := Tree(c.Trace(trace)); got != want {
		t.Errorf("Tree:\n%s\nwant:\n%s", got, want)
	}
}

func TestTreeShowsSpansWhoseParentIsMissing(t *testing.T) {
	c, client := listen(t)
	export(t, client, "countersign", span(3, 2, "decide", 30))
	if got := Tree(c.Trace(trace)); !strings.HasPrefix(got, "countersign") {
		t.Errorf("Tree = %q", got)
	}
	if got := Tree(c.Trace("another")); got != "" {
		t.Errorf("Tree of another = %q", got)
	}
}

func TestAwait(t *testing.T) {
	c, client := listen(t)
	two := func(spans []Span) bool { return len(spans) == 2 }
	answered := make(chan error, 1)
	go func() {
		spans, err := c.Await(t.Context(), trace, two)
		if err == nil && (spans[0].Name != "ingress" || spans[1].Parent != spans[0].ID) {
			err = fmt.Errorf("spans are %v", spans)
		}
		answered <- err
	}()
	export(t, client, "envoy", span(2, 1, "ask", 20))
	export(t, client, "envoy", span(1, 0, "ingress", 10))
	if err := <-answered; err != nil {
		t.Errorf("Await: %v", err)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	c, client := listen(t)
	export(t, client, "envoy", span(1, 0, "ingress", 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	spans, err := c.Await(ctx, trace, func([]Span) bool { return false })
	if !errors.Is(err, context.Canceled) || len(spans) != 1 {
		t.Errorf("Await = %d spans, %v; want what arrived, and %v", len(spans), err, context.Canceled)
	}
}

func TestJoined(t *testing.T) {
	ingress := Span{Service: "envoy", ID: "1"}
	ask := Span{Service: "envoy", ID: "2", Parent: "1"}
	decide := Span{Service: "countersign", ID: "3", Parent: "2"}
	lookup := Span{Service: "countersign", ID: "4", Parent: "3"}
	own := Span{Service: "countersign", ID: "5"}
	tests := []struct {
		name  string
		spans []Span
		want  bool
	}{
		{"a span under Envoy's joins", []Span{decide, lookup, ask, ingress}, true},
		{"nothing has arrived", nil, false},
		{"Countersign's is missing", []Span{ingress, ask}, false},
		{"Envoy's first is missing", []Span{ask, decide}, false},
		{"what lies between is missing", []Span{ingress, decide}, false},
		{"Countersign has a trace of its own", []Span{ingress, ask, own}, false},
		{"only a lookup has arrived", []Span{ingress, ask, lookup}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Joined(test.spans); got != test.want {
				t.Errorf("Joined = %t, want %t", got, test.want)
			}
		})
	}
}
