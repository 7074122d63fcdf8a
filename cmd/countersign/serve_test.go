package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
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

// bankFolder is a folder with all that testdata/base/countersign.yaml names, its
// keys at a URL.
func bankFolder(t *testing.T, jwks string) string {
	t.Helper()
	dir := t.TempDir()
	if err := copyNew(dir, os.DirFS("testdata/base")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "countersign.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("{file: jwks.json}"), []byte("{url: "+jwks+"}"), 1)
	database, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bank.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = database.Exec(schema)
	if err := errors.Join(err, database.Close(), os.WriteFile(file, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
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
	file := bankFolder(t, issuer.URL)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log lockedBuffer
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--config", file}, world{environ: os.LookupEnv, stdout: &log, stderr: &log})
	}()
	address := regexp.MustCompile(`msg=serving address=(\S+)`)
	admin := regexp.MustCompile(`msg=console address=(\S+)`)
	eventually(t, "it serves", func() bool { return address.MatchString(log.String()) && admin.MatchString(log.String()) })
	base := "http://" + admin.FindStringSubmatch(log.String())[1]
	connection, err := grpc.NewClient(address.FindStringSubmatch(log.String())[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()

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
	select {
	case code := <-exit:
		if code != exitOK {
			t.Errorf("exit code %d, want 0\n%s", code, log.String())
		}
	case <-time.After(patience):
		t.Fatalf("it does not end\n%s", log.String())
	}
	if text := log.String(); !strings.Contains(text, "draining") || strings.Contains(text, "ERROR") {
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
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}
