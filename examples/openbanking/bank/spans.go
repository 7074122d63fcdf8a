package bank

import (
	"context"
	"fmt"

	"github.com/countersign-io/countersign/examples/openbanking/collector"
	"github.com/countersign-io/countersign/examples/openbanking/jaeger"
)

// AwaitSpans returns a trace's spans as soon as they are enough, from wherever Envoy
// and Countersign send them to; or, with an error, those that have arrived when ctx
// ends.
func (s *Stack) AwaitSpans(ctx context.Context, trace string, enough func([]collector.Span) bool) ([]collector.Span, error) {
	if s.Jaeger != nil {
		return s.Jaeger.Await(ctx, trace, enough)
	}
	return s.Collector.Await(ctx, trace, enough)
}

// startSpans starts what spans are sent to.
func (s *Stack) startSpans(ctx context.Context, options Options) error {
	if options.Jaeger != "" {
		return s.startJaeger(ctx, options.Jaeger)
	}
	receiver, err := collector.Listen()
	if err != nil {
		return err
	}
	s.Collector = receiver
	s.stops = append(s.stops, receiver.Close)
	s.settings.SpansPort = receiver.Port()
	return nil
}

func (s *Stack) startJaeger(ctx context.Context, name string) error {
	program, err := program(name)
	if err != nil {
		return err
	}
	if s.settings.SpansPort, err = freePort(); err != nil {
		return err
	}
	query, err := freePort()
	if err != nil {
		return err
	}
	environment := []string{
		"SPAN_STORAGE_TYPE=memory",
		"OTEL_TRACES_SAMPLER=always_off", // it would send spans of its own
	}
	running, err := start(s.Bank.Dir, "jaeger", program, environment, jaegerFlags(s.settings.SpansPort, query)...)
	if err != nil {
		return err
	}
	s.stops = append(s.stops, running.stop)
	s.Jaeger = &jaeger.Query{URL: fmt.Sprintf("http://127.0.0.1:%d", query)}
	// It listens for spans before it answers queries.
	return running.await(ctx, func() error { return answersOK(ctx, s.Jaeger.URL+"/api/services") })
}

// jaegerFlags keep every listener of Jaeger's all-in-one on loopback: those that
// nobody here calls cannot be turned off, and take any port.
func jaegerFlags(spans, query int) []string {
	return []string{
		fmt.Sprintf("--collector.otlp.grpc.host-port=127.0.0.1:%d", spans),
		fmt.Sprintf("--query.http-server.host-port=127.0.0.1:%d", query),
		"--collector.otlp.http.host-port=127.0.0.1:0",
		"--collector.grpc-server.host-port=127.0.0.1:0",
		"--collector.http-server.host-port=127.0.0.1:0",
		"--query.grpc-server.host-port=127.0.0.1:0",
		"--admin.http.host-port=127.0.0.1:0",
		"--memory.max-traces=10000",
		"--log-level=warn",
	}
}
