package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/console"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// BenchmarkCheck measures what an allowed check costs this process, which is the
// server alone: over gRPC the client is another process. The token is known, the
// policy is the standard one, the contract has 200 operations, and consent and
// ownership come from SQLite. x-allow is the cost over that of a server which always
// allows, as last measured in the same run. docs/performance.md reads the figures.
func BenchmarkCheck(b *testing.B) {
	system, request := openLarge(b)
	check := checkRequest(request)
	kept := system.Pipeline.Recorder
	var allow float64
	b.Run("gRPC/always-allow", func(b *testing.B) {
		allow = measure(b, startLoad(b, serveAllow(b), check))
	})
	for _, records := range []struct {
		name     string
		recorder authz.Recorder
	}{{"durable", kept}, {"buffered", openBuffered(b)}} {
		b.Run("in process/"+records.name, func(b *testing.B) {
			system.Pipeline.Recorder = records.recorder
			times(b, measure(b, func(count int) error {
				return together(count, func() error { return checkOnce(b.Context(), system.Pipeline, request) })
			}), allow)
		})
		b.Run("gRPC/"+records.name, func(b *testing.B) {
			system.Pipeline.Recorder = records.recorder
			times(b, measure(b, startLoad(b, serveSystem(b, system), check)), allow)
		})
	}
}

// mostAllocations is a little more than an allowed check makes in process by a program with
// the race detector, with its record
// and its input: what makes a check slower nearly always allocates, on any machine alike.
const mostAllocations = 1500

func TestACheckAllocatesNoMoreThanItDid(t *testing.T) {
	system, request := openLarge(t)
	allocations := testing.AllocsPerRun(warmUp, func() {
		if err := checkOnce(t.Context(), system.Pipeline, request); err != nil {
			t.Error(err)
		}
	})
	if allocations > mostAllocations {
		t.Errorf("a check makes %.0f allocations, at most %d before: find out why, and what it costs (docs/performance.md)", allocations, mostAllocations)
	}
	if allocations < mostAllocations/2 {
		t.Errorf("a check makes %.0f allocations: lower the bound of %d", allocations, mostAllocations)
	}
	t.Logf("%.0f allocations", allocations)
}

// warmUp is how many checks are made before any is measured.
const warmUp = 200

// measure reports and returns what one of b.N checks costs this process: microseconds
// of CPU, in user and kernel mode, and allocations.
func measure(b *testing.B, checks func(count int) error) float64 {
	b.Helper()
	if err := checks(warmUp); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime(b)
	if err := checks(b.N); err != nil {
		b.Fatal(err)
	}
	spent := processorTime(b) - began
	b.StopTimer()
	cost := float64(spent.Nanoseconds()) / 1e3 / float64(b.N)
	b.ReportMetric(cost, "cpu-µs/check")
	return cost
}

// times reports a cost in those of the server that always allows, if it was measured.
func times(b *testing.B, cost, allow float64) {
	if allow > 0 {
		b.ReportMetric(cost/allow, "x-allow")
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func checkOnce(ctx context.Context, checker authz.Checker, request *authz.Request) error {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	if got := checker.Check(ctx, request); !got.Allowed {
		return fmt.Errorf("denied for %s: %s", got.Code(), got.Detail)
	}
	return nil
}

// openLarge wires the bank with a large contract and the standard policy alone, and
// makes the request that is measured: one for an account of the customer's, by a
// token that is bound to the client's certificate.
func openLarge(b testing.TB) (*wire.System, *authz.Request) {
	b.Helper()
	system, requests := openLargeFor(b, 1)
	return system, requests[0]
}

// openLargeFor is openLarge with so many requests, each by a token of its own, and with
// settings behind the configuration's.
func openLargeFor(b testing.TB, count int, settings ...string) (*wire.System, []*authz.Request) {
	b.Helper()
	made := openBank(b)
	data := `{"roles": {"customer": ["read_parts"]}, "regions": {"GB": ["GB"]}}`
	decision := "package openbanking\n\nimport data.countersign.standard\n\ndecision := standard.decision\n"
	for name, text := range map[string]string{"openapi.yaml": largeContract(), "policy/data.json": data, "policy/openbanking.rego": decision} {
		if err := os.WriteFile(filepath.Join(made.Dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"site.rego", "emergency.json"} {
		if err := os.Remove(filepath.Join(made.Dir, "policy", name)); err != nil {
			b.Fatal(err)
		}
	}
	headers := map[string]string{}
	for i := range 20 {
		headers[fmt.Sprintf("x-header-%02d", i)] = strings.Repeat("v", 40)
	}
	story := bank.Story{Ask: bank.Ask{
		Method: "GET", Path: "/accounts/22289/parts-73?page=2", Headers: headers, Listener: bank.MTLS, Certificate: bank.Acme,
		Token: bank.Token{As: "ann", Claims: map[string]any{"exp": "1h"}},
	}}
	requests := make([]*authz.Request, count)
	for i := range requests {
		var err error
		if requests[i], err = story.Request(made, ""); err != nil {
			b.Fatal(err)
		}
	}
	return wireBank(b, made, settings...), requests
}

// largeContract has 200 operations, each of which calls for a scope, a permission, a
// consent, an account of the customer's and a region.
func largeContract() string {
	var text strings.Builder
	text.WriteString(`openapi: 3.1.0
info: {title: Large, version: 1.0.0}
x-countersign:
  objects: [{type: account, parameter: AccountId}]
components:
  securitySchemes:
    PSUOAuth2Security:
      type: oauth2
      flows:
        authorizationCode:
          authorizationUrl: https://auth.bank.example/authorize
          tokenUrl: https://auth.bank.example/token
          scopes: {accounts: Read accounts}
paths:
`)
	for i := range 100 {
		fmt.Fprintf(&text, `  /accounts/{AccountId}/parts-%[1]d:
    parameters: [{name: AccountId, in: path, required: true, schema: {type: string}}]
    get: {operationId: Read%[1]d, %[2]s}
    delete: {operationId: Remove%[1]d, %[2]s}
`, i, `security: [{PSUOAuth2Security: [accounts]}],
      x-countersign: {permission: read_parts, consent: [[ReadBalances]], regions: [GB]}, responses: {"200": {description: Done}}`)
	}
	return text.String()
}

// checkRequest is the request as Envoy sends it, with raw headers.
func checkRequest(request *authz.Request) *authv3.CheckRequest {
	fields := []*corev3.HeaderValue{
		{Key: ":method", RawValue: []byte(request.Method)}, {Key: ":path", RawValue: []byte(request.Target)},
		{Key: ":scheme", RawValue: []byte(request.Scheme)}, {Key: ":authority", RawValue: []byte(request.Host)},
	}
	for _, field := range request.Headers {
		fields = append(fields, &corev3.HeaderValue{Key: field.Name, RawValue: []byte(field.Value)})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: request.Address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 41000}}}},
			Principal: request.Principal, Certificate: request.Certificate,
		},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Id: "1", Method: request.Method, Scheme: request.Scheme, Host: request.Host, Path: request.Target, Protocol: "HTTP/2",
			HeaderMap: &corev3.HeaderMap{Headers: fields}, RawBody: request.Body,
		}},
		TlsSession:        &authv3.AttributeContext_TLSSession{Sni: request.SNI},
		ContextExtensions: map[string]string{"countersign.api": string(request.API)},
	}}
}

// serveSystem serves checks as the command does, with metrics and without tracing,
// and returns the address.
func serveSystem(b *testing.B, system *wire.System) string {
	b.Helper()
	cfg := system.Config.Server
	cfg.Listen, cfg.Timeout = "127.0.0.1:0", loadPatience
	server, err := envoy.New(cfg, console.Checks(system.Pipeline, prometheus.NewRegistry()))
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), loadPatience)
		defer cancel()
		if err := server.Drain(ctx); err != nil {
			b.Error(err)
		}
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return server.Addr().String()
}

// serveAllow serves ext_authz by the generated code alone, and returns the address.
func serveAllow(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, alwaysAllow{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b.Cleanup(func() {
		server.GracefulStop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return listener.Addr().String()
}

// alwaysAllow answers OK to whatever it is asked.
type alwaysAllow struct {
	authv3.UnimplementedAuthorizationServer
}

func (alwaysAllow) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

// openBuffered opens a log whose records are answered on before they are on disk.
func openBuffered(b *testing.B) *audit.Log {
	b.Helper()
	keys := b.TempDir()
	log, err := audit.Open(audit.Config{Folder: b.TempDir(), Durability: audit.Buffered,
		PseudonymKey: filepath.Join(keys, "pseudonym.key"), InputKey: filepath.Join(keys, "input.key")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	return log
}
