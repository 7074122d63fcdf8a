package envoy

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// fakeChecker answers what its function does, and denies without one.
type fakeChecker struct {
	decide func(context.Context, *authz.Request) authz.Decision
}

func (f fakeChecker) Check(ctx context.Context, request *authz.Request) authz.Decision {
	if f.decide == nil {
		return authz.Decision{}
	}
	return f.decide(ctx, request)
}

// answers is a checker of one decision.
func answers(d authz.Decision) fakeChecker {
	return fakeChecker{func(context.Context, *authz.Request) authz.Decision { return d }}
}

// start serves on a free port of the loopback interface, or where cfg says.
func start(t *testing.T, cfg Config, checker authz.Checker) (*Server, *grpc.ClientConn) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	server, err := New(cfg, checker)
	if err != nil {
		t.Fatal(err)
	}
	return server, run(t, server)
}

// run serves until the test ends, and connects.
func run(t *testing.T, server *Server) *grpc.ClientConn {
	t.Helper()
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Drain(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v, want nil after Drain", err)
		}
	})
	target := server.Addr().String()
	if server.Addr().Network() == "unix" {
		target = "unix:" + target
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func call(t *testing.T, connection *grpc.ClientConn, check *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	response, err := authv3.NewAuthorizationClient(connection).Check(ctx, check)
	if err != nil {
		t.Fatalf("Check() = %v, want a response: an error hands the decision to Envoy", err)
	}
	return response
}

// httpCheck is a CheckRequest as Envoy sends it for a plain request.
func httpCheck(method, path string, fields map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: socket("192.0.2.7", 43402)},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Path: path, Host: "api.example.com", Scheme: "https", Headers: fields,
		}},
		ContextExtensions: map[string]string{"countersign.api": "accounts"},
	}}
}

func socket(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

func TestEveryFaultIsADenialAndNoGRPCError(t *testing.T) {
	faults := map[string]authz.Checker{
		"a checker that panics":               fakeChecker{func(context.Context, *authz.Request) authz.Decision { panic("boom") }},
		"no checker":                          nil,
		"the zero decision":                   fakeChecker{},
		"a refusal that claims to be granted": answers(authz.Decision{Reason: authz.Granted}),
		"a reason that does not exist":        answers(authz.Decision{Reason: 250}),
	}
	for name, checker := range faults {
		t.Run(name, func(t *testing.T) {
			_, connection := start(t, Config{}, checker)
			response := call(t, connection, httpCheck("GET", "/accounts", nil))
			if got := response.GetDeniedResponse().GetStatus().GetCode(); got != 500 {
				t.Errorf("status = %d, want 500", got)
			}
			if got := codes.Code(response.GetStatus().GetCode()); got != codes.PermissionDenied {
				t.Errorf("gRPC status = %v, want PermissionDenied", got)
			}
			fields := response.GetDynamicMetadata().GetFields()
			if got := fields["reason"].GetStringValue(); got != "internal" {
				t.Errorf("reason = %q, want internal", got)
			}
			if body := response.GetDeniedResponse().GetBody(); strings.Contains(body, "boom") || strings.Contains(body, "ranted") {
				t.Errorf("body %s tells what went wrong", body)
			}
		})
	}
}

func TestOversizedMessageIsGRPCsOwnError(t *testing.T) {
	asked := false
	_, connection := start(t, Config{MaxMessageBytes: smallestMessage}, fakeChecker{func(context.Context, *authz.Request) authz.Decision {
		asked = true
		return authz.Decision{Allowed: true}
	}})
	check := httpCheck("POST", "/payments", nil)
	check.Attributes.Request.Http.RawBody = make([]byte, smallestMessage)
	_, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), check)
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("Check() = %v, want ResourceExhausted", err)
	}
	if asked {
		t.Error("the checker was asked")
	}
}

func TestDeadlineLeavesAReserve(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := &authorization{timeout: time.Second}
	for name, row := range map[string]struct {
		call, want time.Duration // call 0: none
	}{
		"a call without a deadline gets the timeout":        {0, time.Second},
		"a call with a long deadline gets the timeout":      {time.Minute, time.Second},
		"a short deadline is kept, less the reserve":        {200 * time.Millisecond, 180 * time.Millisecond},
		"a deadline just after the timeout is cut":          {1010 * time.Millisecond, 990 * time.Millisecond},
		"a deadline within the reserve is over at once":     {10 * time.Millisecond, -10 * time.Millisecond},
		"a deadline that has passed does not become longer": {-time.Second, -1020 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if row.call != 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithDeadline(ctx, now.Add(row.call))
				defer cancel()
			}
			if got := a.deadline(ctx, now).Sub(now); got != row.want {
				t.Errorf("deadline = %v, want %v", got, row.want)
			}
		})
	}
}

func TestCheckerSeesTheDeadline(t *testing.T) {
	_, connection := start(t, Config{Timeout: 50 * time.Millisecond}, fakeChecker{func(ctx context.Context, _ *authz.Request) authz.Decision {
		<-ctx.Done()
		return authz.Decision{Reason: authz.DeadlineExceeded}
	}})
	response := call(t, connection, httpCheck("GET", "/accounts", nil))
	if got := response.GetDeniedResponse().GetStatus().GetCode(); got != 503 {
		t.Errorf("status = %d, want 503", got)
	}
}

func TestHealthFollowsSetServing(t *testing.T) {
	server, connection := start(t, Config{}, fakeChecker{})
	client := healthv1.NewHealthClient(connection)
	for _, serving := range []bool{true, false, true} {
		want := healthv1.HealthCheckResponse_NOT_SERVING
		if serving {
			want = healthv1.HealthCheckResponse_SERVING
		}
		server.SetServing(serving)
		for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
			got, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || got.Status != want {
				t.Errorf("health of %q = %v, %v, want %v", service, got.GetStatus(), err, want)
			}
		}
	}
}

func TestHealthIsNotServingFromTheStart(t *testing.T) {
	_, connection := start(t, Config{}, fakeChecker{})
	for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
		got, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || got.Status != healthv1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("health of %q = %v, %v, want NOT_SERVING", service, got.GetStatus(), err)
		}
	}
}

func TestDrainReportsAndFinishesCallsUnderWay(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	server, connection := start(t, Config{}, fakeChecker{func(context.Context, *authz.Request) authz.Decision {
		close(entered)
		<-release
		return authz.Decision{Allowed: true, Reason: authz.Granted}
	}})
	server.SetServing(true)
	watching, stopWatching := context.WithCancel(t.Context())
	defer stopWatching()
	watch, err := healthv1.NewHealthClient(connection).Watch(watching, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	wantHealth(t, watch, healthv1.HealthCheckResponse_SERVING)
	answered := make(chan *authv3.CheckResponse, 1)
	go func() {
		response, _ := authv3.NewAuthorizationClient(connection).Check(context.Background(), httpCheck("GET", "/accounts", nil))
		answered <- response
	}()
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- server.Drain(context.Background()) }()
	wantHealth(t, watch, healthv1.HealthCheckResponse_NOT_SERVING)
	server.SetServing(true)
	stopWatching()
	close(release)
	if (<-answered).GetOkResponse() == nil {
		t.Error("the call under way was not answered")
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain() = %v, want nil", err)
	}
}

func wantHealth(t *testing.T, watch healthv1.Health_WatchClient, want healthv1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	got, err := watch.Recv()
	if err != nil || got.Status != want {
		t.Fatalf("health = %v, %v, want %v", got.GetStatus(), err, want)
	}
}

func TestDrainEndsWatchesOfHealth(t *testing.T) {
	s, connection := start(t, Config{}, fakeChecker{})
	watch, err := healthv1.NewHealthClient(connection).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatalf("Drain() = %v, with nothing but a watch open", err)
	}
	last := healthv1.HealthCheckResponse_UNKNOWN
	for {
		answer, err := watch.Recv()
		if err != nil {
			break
		}
		last = answer.GetStatus()
	}
	if last != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the watch ends with %v, want NOT_SERVING", last)
	}
}

func TestDrainCutsOffWhatDoesNotEnd(t *testing.T) {
	entered := make(chan struct{})
	server, connection := start(t, Config{Timeout: time.Minute}, fakeChecker{func(ctx context.Context, _ *authz.Request) authz.Decision {
		close(entered)
		<-ctx.Done()
		return authz.Decision{}
	}})
	go authv3.NewAuthorizationClient(connection).Check(context.Background(), httpCheck("GET", "/accounts", nil))
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain() = %v, want %v", err, context.Canceled)
	}
}

func TestDrainWithoutServeFreesTheListener(t *testing.T) {
	path := filepath.Join(socketFolder(t), "s")
	server, err := New(Config{Listen: "unix:" + path}, fakeChecker{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := server.Drain(t.Context()); err != nil {
		t.Errorf("Drain() = %v, want nil", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file is still there: %v", err)
	}
}

// socketFolder has a short path: a socket's has at most 107 bytes.
func socketFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "cs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func TestUnixSocketServes(t *testing.T) {
	_, connection := start(t, Config{Listen: "unix:" + filepath.Join(socketFolder(t), "s")}, fakeChecker{})
	if call(t, connection, httpCheck("GET", "/accounts", nil)).GetDeniedResponse() == nil {
		t.Error("no denial")
	}
}

func TestOnlyAStaleSocketIsReplaced(t *testing.T) {
	for name, row := range map[string]struct {
		leave func(t *testing.T, path string)
		want  string
	}{
		"a socket that nobody listens on": {leave: func(t *testing.T, path string) {
			listener := listenUnix(t, path)
			listener.SetUnlinkOnClose(false)
			listener.Close()
		}},
		"a socket in use": {want: "another process listens", leave: func(t *testing.T, path string) {
			listener := listenUnix(t, path)
			t.Cleanup(func() { listener.Close() })
		}},
		"a file": {want: "is no socket", leave: func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		"a link": {want: "is no socket", leave: func(t *testing.T, path string) {
			if err := os.Symlink("elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(socketFolder(t), "s")
			row.leave(t, path)
			server, err := New(Config{Listen: "unix:" + path}, fakeChecker{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Drain(context.Background()) })
			err = server.Listen()
			switch {
			case row.want == "" && err != nil:
				t.Errorf("Listen() = %v, want nil", err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("Listen() = %v, want %q", err, row.want)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("the file is gone: %v", err)
			}
		})
	}
}

func listenUnix(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
