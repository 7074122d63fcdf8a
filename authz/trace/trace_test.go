package trace

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/countersign-io/countersign/authz"
)

// clearEnvironment takes away what the environment of the test run says.
func clearEnvironment(t *testing.T) {
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
	} {
		t.Setenv(name, "")
	}
}

func TestTracingIsOffUnlessItIsAskedFor(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        bool
	}{
		{"nothing set", nil, false},
		{"no exporter", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{"switched off", map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, false},
		{"an exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{"an endpoint for traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, true},
		{"by gRPC", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clearEnvironment(t)
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			provider, err := Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := provider.Tracer() != nil; got != test.want {
				t.Errorf("there is a tracer = %v, want %v", got, test.want)
			}
			if err := provider.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultyEnvironmentIsToldWhole(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "carrier-pigeon")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "no pair")
	_, err := Open(t.Context())
	var problems authz.Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("Open = %v, want two problems", err)
	}
	for i, key := range []string{"OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_EXPORTER"} {
		if problems[i].Key != key || problems[i].Fix == "" {
			t.Errorf("problem %d = %+v, want one of %s with a fix", i, problems[i], key)
		}
	}
}

func TestFaultyProtocolIsRefused(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke")
	if _, err := Open(t.Context()); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Errorf("Open = %v, want a problem that names the variable", err)
	}
}

// fakeCollector keeps the names of the service and the spans that it is sent.
type fakeCollector struct {
	services, spans []string
}

func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err := errors.Join(err, proto.Unmarshal(body, &sent)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, resource := range sent.ResourceSpans {
		for _, attribute := range resource.Resource.Attributes {
			if attribute.Key == "service.name" {
				c.services = append(c.services, attribute.Value.GetStringValue())
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, span.Name)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func TestCloseSendsWhatWasRecorded(t *testing.T) {
	for _, test := range []struct{ name, service, want string }{
		{"by our own name", "", "countersign"},
		{"by the operator's name", "gate", "gate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			received := &fakeCollector{}
			server := httptest.NewServer(received)
			defer server.Close()
			clearEnvironment(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
			t.Setenv("OTEL_SERVICE_NAME", test.service)
			provider, err := Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			Checks(&fakeChecker{}, provider.Tracer()).Check(t.Context(), &authz.Request{Traceparent: sampledParent})
			if err := provider.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(received.services) != 1 || received.services[0] != test.want {
				t.Errorf("services = %q, want %q", received.services, test.want)
			}
			if len(received.spans) != 1 || received.spans[0] != "countersign.check" {
				t.Errorf("spans = %q, want countersign.check", received.spans)
			}
		})
	}
}

func TestCloseTellsWhatItCouldNotSend(t *testing.T) {
	provider := &Provider{sdk: sdk.NewTracerProvider(sdk.WithBatcher(fakeExporter{}))}
	if err := provider.Close(context.Background()); !errors.Is(err, errBroken) {
		t.Errorf("Close = %v, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken")

type fakeExporter struct{}

func (fakeExporter) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return errBroken }
func (fakeExporter) Shutdown(context.Context) error                        { return errBroken }
