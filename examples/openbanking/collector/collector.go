// Package collector receives traces over OTLP/gRPC and keeps them in memory, so that
// the demo and its tests can look at what Envoy and Countersign sent.
//
// It is no tracing backend: nothing is written, and nothing but the first spans is
// kept. A real deployment sends its spans to one of those.
package collector

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// maxSpans bounds what is kept; later spans are dropped.
const maxSpans = 100_000

// Span is one span of a trace. Ids are lower-case hex; Parent is "" for a root.
type Span struct {
	Trace, ID, Parent string
	// Service is the resource's service.name, and Name the span's own.
	Service, Name string
	Start         time.Time
	Duration      time.Duration
	Attributes    map[string]string
}

// Collector keeps spans by trace. It is safe for concurrent use.
type Collector struct {
	collectorv1.UnimplementedTraceServiceServer

	listener net.Listener
	server   *grpc.Server
	served   chan error

	mu     sync.Mutex
	traces map[string][]Span
	count  int
	// arrived is closed, and replaced, whenever spans arrive.
	arrived chan struct{}
}

// Listen starts a collector on a free loopback port. Close ends it.
func Listen() (*Collector, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	c := &Collector{
		listener: listener,
		server:   grpc.NewServer(),
		served:   make(chan error, 1),
		traces:   map[string][]Span{},
		arrived:  make(chan struct{}),
	}
	collectorv1.RegisterTraceServiceServer(c.server, c)
	go func() { c.served <- c.server.Serve(listener) }()
	return c, nil
}

// Port is the port on 127.0.0.1.
func (c *Collector) Port() int { return c.listener.Addr().(*net.TCPAddr).Port }

// Close cuts all connections.
func (c *Collector) Close() error {
	c.server.Stop()
	return <-c.served
}

// Export takes spans in; it is OTLP's.
func (c *Collector) Export(_ context.Context, request *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		service := serviceName(resource.GetResource())
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.keep(received(service, span))
			}
		}
	}
	close(c.arrived)
	c.arrived = make(chan struct{})
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (c *Collector) keep(span Span) {
	if c.count < maxSpans {
		c.count++
		c.traces[span.Trace] = append(c.traces[span.Trace], span)
	}
}

// Trace returns the spans of a trace that have arrived, in order of their start.
func (c *Collector) Trace(id string) []Span {
	c.mu.Lock()
	spans := slices.Clone(c.traces[id])
	c.mu.Unlock()
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return spans
}

// Await returns a trace's spans as soon as they are enough, or, with an error, those
// that have arrived when ctx ends.
func (c *Collector) Await(ctx context.Context, id string, enough func([]Span) bool) ([]Span, error) {
	for {
		c.mu.Lock()
		arrived := c.arrived
		c.mu.Unlock()
		spans := c.Trace(id)
		if enough(spans) {
			return spans, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return spans, fmt.Errorf("collector: %d spans of the trace arrived: %w", len(spans), ctx.Err())
		}
	}
}

// Joined reports a trace that is whole: Envoy's first span, and one of Countersign's
// whose parent is Envoy's.
func Joined(spans []Span) bool {
	envoys := map[string]bool{}
	whole := false
	for _, span := range spans {
		if span.Service == "envoy" {
			envoys[span.ID] = true
			whole = whole || span.Parent == ""
		}
	}
	for _, span := range spans {
		if span.Service == "countersign" && envoys[span.Parent] {
			return whole
		}
	}
	return false
}

func received(service string, span *tracev1.Span) Span {
	kept := Span{
		Trace:      hex.EncodeToString(span.GetTraceId()),
		ID:         hex.EncodeToString(span.GetSpanId()),
		Parent:     hex.EncodeToString(span.GetParentSpanId()),
		Service:    service,
		Name:       span.GetName(),
		Start:      time.Unix(0, int64(span.GetStartTimeUnixNano())),
		Duration:   time.Duration(span.GetEndTimeUnixNano() - span.GetStartTimeUnixNano()),
		Attributes: map[string]string{},
	}
	for _, attribute := range span.GetAttributes() {
		kept.Attributes[attribute.GetKey()] = text(attribute.GetValue())
	}
	return kept
}

func serviceName(resource *resourcev1.Resource) string {
	for _, attribute := range resource.GetAttributes() {
		if attribute.GetKey() == "service.name" {
			return text(attribute.GetValue())
		}
	}
	return ""
}

func text(value *commonv1.AnyValue) string {
	switch v := value.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		return v.StringValue
	case *commonv1.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *commonv1.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *commonv1.AnyValue_ArrayValue:
		elements := make([]string, len(v.ArrayValue.GetValues()))
		for i, element := range v.ArrayValue.GetValues() {
			elements[i] = text(element)
		}
		return strings.Join(elements, ", ")
	case nil:
		return ""
	}
	return value.String()
}
