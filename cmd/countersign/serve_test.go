package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/countersign-io/countersign/authz/audit"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// eventually polls until what is asked holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// bankFolder is a folder with all that testdata/base/countersign.yaml names, and that
// file in it.
func bankFolder(t *testing.T) (file string) {
	t.Helper()
	dir := t.TempDir()
	if err := furnish(dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "countersign.yaml")
}

// rewrite puts a text in place of another in a file.
func rewrite(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s does not have %q", file, from)
	}
	write(t, file, strings.Replace(string(text), from, to, 1))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// served is a countersign that runs in this process.
type served struct {
	log        lockedBuffer
	connection *grpc.ClientConn
	// console is the URL of the operator's HTTP.
	console string
	exit    chan int
}

// start serves a configuration until ctx ends.
func start(ctx context.Context, t *testing.T, file string, w world) *served {
	t.Helper()
	s := &served{exit: make(chan int, 1)}
	w.stdout, w.stderr = &s.log, &s.log
	if w.environ == nil {
		w.environ = os.LookupEnv
	}
	go func() { s.exit <- run(ctx, []string{"serve", "--config", file}, w) }()
	address := regexp.MustCompile(`msg=serving address=(\S+)`)
	admin := regexp.MustCompile(`msg=console address=(\S+)`)
	eventually(t, "it serves", func() bool {
		return address.MatchString(s.log.String()) && admin.MatchString(s.log.String())
	})
	s.console = "http://" + admin.FindStringSubmatch(s.log.String())[1]
	var err error
	s.connection, err = grpc.NewClient(address.FindStringSubmatch(s.log.String())[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.connection.Close() })
	return s
}

// wantEnd fails where it does not end, and end well.
func (s *served) wantEnd(t *testing.T) {
	t.Helper()
	select {
	case code := <-s.exit:
		if code != exitOK {
			t.Errorf("exit code %d, want 0\n%s", code, s.log.String())
		}
	case <-time.After(patience):
		t.Fatalf("it does not end\n%s", s.log.String())
	}
}

// TestServe starts while the issuer is down, becomes ready when it comes up, and
// drains when it is told to end.
func TestServe(t *testing.T) {
	var up atomic.Bool
	keys, err := keySet()
	if err != nil {
		t.Fatal(err)
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "%s", keys)
	}))
	defer issuer.Close()
	file := bankFolder(t)
	rewrite(t, file, "{file: jwks.json}", "{url: "+issuer.URL+"}")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := start(ctx, t, file, world{})
	connection, base := s.connection, s.console

	if got := health(t, connection); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health without keys = %v, want NOT_SERVING", got)
	}
	if got := status(t, base+"/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz without keys = %d, want 503", got)
	}
	if got := status(t, base+"/healthz"); got != http.StatusOK {
		t.Errorf("/healthz = %d, want 200", got)
	}
	up.Store(true)
	eventually(t, "it is ready", func() bool {
		return health(t, connection) == healthv1.HealthCheckResponse_SERVING && status(t, base+"/readyz") == http.StatusOK
	})
	stop()
	s.wantEnd(t)
	if text := s.log.String(); !strings.Contains(text, "draining") || strings.Contains(text, "ERROR") {
		t.Errorf("log lacks the drain, or has errors:\n%s", text)
	}
}

func health(t *testing.T, connection *grpc.ClientConn) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetStatus()
}

func status(t *testing.T, url string) int {
	t.Helper()
	code, _ := get(t, url)
	return code
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// A Redis that is not there yet does not keep it from starting, and from being ready it does.
func TestServeIsNotReadyWithoutItsRedis(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close() // so that what connects is refused
	file := bankFolder(t)
	rewrite(t, file, "policy:", "replay: {engine: redis, redis: {address: \""+nobody.Addr().String()+"\"}}\n\npolicy:")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := start(ctx, t, file, world{})
	if got := health(t, s.connection); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health without Redis = %v, want NOT_SERVING", got)
	}
	code, text := get(t, s.console+"/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(text, "replay: redis:") {
		t.Errorf("/readyz without Redis = %d %q, want 503 and why", code, text)
	}
	stop()
	s.wantEnd(t)
}

// TestReserveIsToldOnceItChanges holds that a disk that fills is told of, each time once.
func TestReserveIsToldOnceItChanges(t *testing.T) {
	var told bytes.Buffer
	log := slog.New(slog.NewTextHandler(&told, nil))
	var c condition
	for i, step := range []struct {
		low  bool
		want string
	}{
		{false, ""},
		{true, "level=WARN msg=\"less of the disk is free than the reserve"},
		{true, ""},
		{false, "level=INFO msg=\"more of the disk is free than the reserve"},
		{false, ""},
	} {
		told.Reset()
		c.tellReserve(audit.State{Low: step.low, Free: 7}, log)
		if got := told.String(); (got == "") != (step.want == "") || !strings.Contains(got, step.want) {
			t.Errorf("step %d: told %q, want %q", i, got, step.want)
		}
	}
}

// TestReserveThatIsReachedAtStartIsTold serves on a disk that has less than the reserve.
func TestReserveThatIsReachedAtStartIsTold(t *testing.T) {
	file, _, _ := asked(t, annAsks)
	rewrite(t, file, "audit: {folder: records}", "audit: {folder: records, reserve_bytes: 1152921504606846976}")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := start(ctx, t, file, world{})
	eventually(t, "it is told", func() bool { return strings.Contains(s.log.String(), "less of the disk is free than the reserve") })
	stop()
	s.wantEnd(t)
}

// contextOf is one that the test ends.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	return ctx, stop
}
