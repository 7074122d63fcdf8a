package envoy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// Server serves ext_authz and grpc.health.v1 on one listener. Its methods may be
// called from any goroutine, but Listen before Addr and Serve.
type Server struct {
	listen   string
	listener net.Listener
	grpc     *grpc.Server
	health   *health.Server
	limit    *limit
	// drain ends the watches of health.
	drain context.CancelFunc
}

// services are the names under which health is reported: the whole server's, and
// the one that it is there for.
var services = [...]string{"", authv3.Authorization_ServiceDesc.ServiceName}

// leastCalls is how many calls one connection may have under way at least. Each takes
// memory before it can be shed, so there is a bound. It is above the limit on checks,
// so that an Envoy is told that they are too many instead of being kept waiting; and no
// less than what Envoy's circuit breaker lets through unless it is set, since on a new
// connection Envoy sends that many before it knows of a bound, and a refused call is an
// error to it, not an answer.
const leastCalls = 1024

// connections says how long they last.
var connections = keepalive.ServerParameters{
	// An Envoy keeps its connection as long as it can. This makes it connect anew, so
	// that those behind one address come to share out instances that are added.
	MaxConnectionAge: 5 * time.Minute,
	// Calls under way are not cut: no check lasts as long.
	MaxConnectionAgeGrace: 2 * maxTimeout,
	// A peer that is gone without a word is noticed.
	Time:    30 * time.Second,
	Timeout: 10 * time.Second,
}

// New builds a server that answers with the checker's decisions. It is NOT_SERVING
// until SetServing says otherwise, but answers checks as soon as it serves: what
// the checker is not ready for, it denies. An error is an authz.Problems.
func New(cfg Config, checker authz.Checker) (*Server, error) {
	return build(cfg, checker, connections)
}

func build(cfg Config, checker authz.Checker, lasting keepalive.ServerParameters) (*Server, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	draining, drain := context.WithCancel(context.Background())
	s := &Server{
		listen: cfg.Listen,
		health: health.NewServer(),
		limit:  newLimit(cfg.MaxConcurrentChecks),
		drain:  drain,
		grpc: grpc.NewServer(
			grpc.MaxRecvMsgSize(cfg.MaxMessageBytes),
			grpc.MaxConcurrentStreams(uint32(max(leastCalls, 2*cfg.MaxConcurrentChecks))),
			grpc.KeepaliveParams(lasting),
			// Envoy may be told to ping often; gRPC's default is to hang up on it.
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		),
	}
	authv3.RegisterAuthorizationServer(s.grpc, &authorization{
		checker: checker,
		address: cfg.ClientAddress,
		realm:   cfg.Realm,
		timeout: cfg.Timeout,
		limit:   s.limit,
	})
	healthv1.RegisterHealthServer(s.grpc, watched{Server: s.health, draining: draining})
	s.SetServing(false)
	return s, nil
}

// Listen opens the listener. A socket file that nobody listens on is taken for a
// dead process's and replaced; any other file in its place is an error. An error is
// an authz.Problems with the key "listen".
func (s *Server) Listen() error {
	network, address := "tcp", s.listen
	if path, unix := strings.CutPrefix(s.listen, "unix:"); unix {
		network, address = "unix", path
		if err := removeStale(path); err != nil {
			return cannotListen(err)
		}
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return cannotListen(err)
	}
	s.listener = listener
	return nil
}

func cannotListen(err error) error {
	return authz.Problems{{Key: "listen", What: "cannot be listened on: " + err.Error(), Fix: "choose an address that is free, or stop what holds it"}}
}

// Addr is where the server listens; nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Serve answers calls until Drain, and returns nil then. It calls Listen where
// nobody has.
func (s *Server) Serve() error {
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	if err := s.grpc.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// SetServing reports health. It has no effect after Drain.
func (s *Server) SetServing(serving bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthv1.HealthCheckResponse_SERVING
	}
	for _, service := range services {
		s.health.SetServingStatus(service, status)
	}
}

// Shed is how many checks were refused because as many as may be were under way.
func (s *Server) Shed() uint64 { return s.limit.shed.Load() }

// Drain reports NOT_SERVING, takes no more calls and waits for those under way, but
// no longer than ctx: then they are cut off, and the error is ctx's.
func (s *Server) Drain(ctx context.Context) error {
	s.health.Shutdown()
	s.drain()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("drain: %w", ctx.Err())
		s.grpc.Stop()
		<-done
	}
	// gRPC closes only a listener that Serve has taken.
	if s.listener != nil {
		s.listener.Close()
	}
	return err
}

// removeStale removes a socket file that a dead process left.
func removeStale(path string) error {
	file, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case file.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and is no socket", path)
	}
	connection, err := net.Dial("unix", path)
	if err == nil {
		connection.Close()
		return fmt.Errorf("another process listens on %s", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
