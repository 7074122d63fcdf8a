// Package trace joins decisions to the traces that Envoy begins: a span for each
// check, below Envoy's own, and spans for the steps within.
//
// Every tracer here wraps a step from outside and can never change its answer: what
// the step returns is returned, and what it panics with passes through. A span
// holds codes, counts and names from the contract, never a person's identifier, a
// path, an address or an error's text.
//
// A request that Envoy does not sample costs next to nothing, whatever the sampler:
// the parent's word is taken before anything is built.
package trace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
)

// scope names this instrumentation in every span.
const scope = "github.com/countersign-io/countersign/authz/trace"

// Provider makes the tracer, and sends what it records. The zero Provider traces
// nothing.
type Provider struct {
	sdk *sdk.TracerProvider
}

// Open sets tracing up as the environment says, by OpenTelemetry's own variables:
// OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_*,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME and OTEL_SDK_DISABLED. It departs from
// them in two ways: with neither an exporter nor an OTLP endpoint named there is no
// tracing, instead of spans for a collector on this host that may not be there; and
// the service's name is "countersign" where none is given.
//
// A collector that cannot be reached is no error. Nothing global is set.
func Open(ctx context.Context) (*Provider, error) {
	if !wanted() {
		return &Provider{}, nil
	}
	described, resourceErr := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "countersign")),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(),
	)
	exporter, exporterErr := autoexport.NewSpanExporter(ctx)
	if err := problems(resourceErr, exporterErr).Err(); err != nil {
		if exporterErr == nil {
			err = errors.Join(err, exporter.Shutdown(ctx))
		}
		return nil, err
	}
	return &Provider{sdk: sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(described))}, nil
}

// wanted reports that the environment asks for traces.
func wanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

func problems(resourceErr, exporterErr error) authz.Problems {
	var found authz.Problems
	if resourceErr != nil {
		found.Add("OTEL_RESOURCE_ATTRIBUTES", resourceErr.Error(), "write key=value pairs, separated by commas")
	}
	if exporterErr != nil {
		found.Add("OTEL_TRACES_EXPORTER", exporterErr.Error(), "set it to otlp, console or none, and OTEL_EXPORTER_OTLP_PROTOCOL to grpc or http/protobuf")
	}
	return found
}

// Tracer is what the steps are wrapped with; nil where there is no tracing.
func (p *Provider) Tracer() trace.Tracer {
	if p.sdk == nil {
		return nil
	}
	return p.sdk.Tracer(scope)
}

// Close sends what has been recorded, as long as ctx lasts, and ends tracing.
func (p *Provider) Close(ctx context.Context) error {
	if p.sdk == nil {
		return nil
	}
	if err := p.sdk.Shutdown(ctx); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}
