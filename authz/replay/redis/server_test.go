package redis_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/countersign-io/countersign/authz/replay/replaytest"
)

// server is a Redis of a test's own.
type server struct {
	address string
	args    []string
	process *exec.Cmd
}

// program finds a redis-server, which make installs.
func program(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("COUNTERSIGN_REDIS"), "redis-server", filepath.Join("..", "..", "..", ".tools", "redis", "bin", "redis-server")} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no redis-server: run these tests by make test, which installs it")
	return ""
}

// start starts a server that keeps nothing on disk and ends with the test.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{args: append([]string{"--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", t.TempDir()}, args...)}
	// Another process may take a port between being found free and being used.
	for range 5 {
		s.address = freeAddress(t)
		if s.run(t) {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// run starts the process, and reports that it takes connections.
func (s *server) run(t testing.TB) bool {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.address)
	s.process = exec.Command(program(t), append([]string{"--port", port}, s.args...)...)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-poll.C {
		if s.answers() {
			return true
		}
	}
	s.kill()
	return false
}

// answers reports that this very process answers, with or without asking for a password.
func (s *server) answers() bool {
	connection, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return false
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprint(connection, "INFO server\r\n"); err != nil {
		return false
	}
	answer := make([]byte, 4096)
	n, err := connection.Read(answer)
	text := string(answer[:n])
	return err == nil && (strings.Contains(text, fmt.Sprintf("process_id:%d\r", s.process.Process.Pid)) || strings.HasPrefix(text, "-NOAUTH"))
}

// kill ends the process as a crash would.
func (s *server) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill() // it may have ended
	_ = s.process.Wait()         // which is told as an error
	s.process = nil
}

// open opens a client of a server's, which closes with the test.
func open(t testing.TB, cfg redis.Config) *redis.Engine {
	t.Helper()
	engine, err := redis.Open(cfg)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(engine.Close)
	return engine
}

// mustBeFresh holds that a key is fresh, which is that all is well.
func mustBeFresh(t *testing.T, engine *redis.Engine, key byte) {
	t.Helper()
	if fresh, err := engine.Fresh(t.Context(), [32]byte{key}, time.Now().Add(time.Hour)); err != nil || !fresh {
		t.Errorf("Fresh() = %t, %v, want true", fresh, err)
	}
}

func eventuallyReady(t *testing.T, engine *redis.Engine) {
	t.Helper()
	replaytest.Eventually(t, "the server to be there", func() bool { return engine.Ready(t.Context()) == nil })
}

// command runs one that is not for tests of the engine to need, such as FLUSHALL.
func (s *server) command(t *testing.T, line string) string {
	t.Helper()
	connection, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = fmt.Fprint(connection, line+"\r\n")
	answer := make([]byte, 1<<16)
	n, read := connection.Read(answer)
	if err := errors.Join(err, read); err != nil {
		t.Fatal(err)
	}
	return string(answer[:n])
}
