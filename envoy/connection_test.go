package envoy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// lasting serves with connections that last as long as it says.
func lasting(t *testing.T, how keepalive.ServerParameters, checker authz.Checker) (*Server, *grpc.ClientConn) {
	t.Helper()
	server, err := build(Config{Listen: "127.0.0.1:0"}, checker, how)
	if err != nil {
		t.Fatal(err)
	}
	return server, run(t, server)
}

func TestConnectionsAreMadeAnewAndNoCallIsLost(t *testing.T) {
	peers := map[string]bool{}
	checker := fakeChecker{func(ctx context.Context, _ *authz.Request) authz.Decision {
		from, _ := peer.FromContext(ctx)
		peers[from.Addr.String()] = true
		return authz.Decision{Allowed: true, Reason: authz.Granted}
	}}
	_, connection := lasting(t, keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond, MaxConnectionAgeGrace: time.Minute}, checker)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for calls := 1; len(peers) < 4; calls++ {
		response, err := authv3.NewAuthorizationClient(connection).Check(ctx, httpCheck("GET", "/accounts", nil))
		if err != nil || response.GetOkResponse() == nil {
			t.Fatalf("call %d, on connection %d: %v, %v, want an allow", calls, len(peers), response, err)
		}
	}
}

func TestAnOldConnectionFinishesItsCalls(t *testing.T) {
	entered, release := make(chan string, 2), make(chan struct{})
	finish := sync.OnceFunc(func() { close(release) })
	defer finish()
	checker := fakeChecker{func(ctx context.Context, request *authz.Request) authz.Decision {
		from, _ := peer.FromContext(ctx)
		entered <- from.Addr.String()
		if request.Target == "/slow" {
			<-release
		}
		return authz.Decision{Allowed: true, Reason: authz.Granted}
	}}
	_, connection := lasting(t, keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond, MaxConnectionAgeGrace: time.Minute}, checker)
	slow := make(chan *authv3.CheckResponse, 1)
	go func() {
		response, _ := authv3.NewAuthorizationClient(connection).Check(t.Context(), httpCheck("GET", "/slow", nil))
		slow <- response
	}()
	old := <-entered
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for next := old; next == old; next = <-entered {
		if _, err := authv3.NewAuthorizationClient(connection).Check(ctx, httpCheck("GET", "/accounts", nil)); err != nil {
			t.Fatal(err)
		}
	}
	finish()
	if (<-slow).GetOkResponse() == nil {
		t.Error("the call on the old connection was not answered")
	}
}

func TestASilentPeerIsHungUpOn(t *testing.T) {
	server, _ := lasting(t, keepalive.ServerParameters{Time: time.Second, Timeout: 100 * time.Millisecond}, fakeChecker{})
	silent, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// The client's preface and empty settings (RFC 9113 §3.4), and nothing after.
	if _, err := silent.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if err := silent.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, silent); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

// TestConnectionsOutlastChecks holds what the defaults promise.
func TestConnectionsOutlastChecks(t *testing.T) {
	if connections.MaxConnectionAge <= 0 || connections.MaxConnectionAgeGrace <= maxTimeout {
		t.Errorf("connections last %v and %v more, want an end, and more than a check's %v", connections.MaxConnectionAge, connections.MaxConnectionAgeGrace, maxTimeout)
	}
	if connections.Time <= 0 || connections.Timeout <= 0 {
		t.Errorf("peers are asked every %v for %v, want both", connections.Time, connections.Timeout)
	}
}

func TestOneConnectionHoldsSoManyCallsAndNoMore(t *testing.T) {
	_, connection := start(t, Config{MaxConcurrentChecks: 1}, fakeChecker{})
	for range leastCalls {
		watch, err := healthv1.NewHealthClient(connection).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		wantHealth(t, watch, healthv1.HealthCheckResponse_NOT_SERVING)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := authv3.NewAuthorizationClient(connection).Check(ctx, httpCheck("GET", "/accounts", nil))
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("one call more = %v, want that it waits", err)
	}
}
