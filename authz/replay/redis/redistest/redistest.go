// Package redistest runs a real Redis server for a test, of its own and on loopback, that
// can be killed, started again and paused.
//
// It looks for the program in COUNTERSIGN_REDIS, on PATH, and where make installs it.
package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a Redis of a test's own. It is for one goroutine.
type Server struct {
	// Address is host and port, which stay the same when it is started again.
	Address string

	args    []string
	process *exec.Cmd
}

// Start starts a server that keeps nothing on disk and ends with the test. args are
// arguments of the program's besides.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{args: append([]string{"--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", t.TempDir()}, args...)}
	// Another process may take a port between being found free and being used.
	for range 5 {
		s.Address = freeAddress(t)
		if s.run(t) {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// Restart starts the server again after Kill. It has forgotten everything.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if !s.run(t) {
		t.Fatal("the server does not start again")
	}
}

// Kill ends the process as a crash would.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill() // it may have ended
	_ = s.process.Wait()         // which is told as an error
	s.process = nil
}

// Pause stops the process where it stands: it keeps its connections and answers nothing.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// Command runs one that nobody but a test needs, such as FLUSHALL, and returns the answer
// as it comes over the wire.
func (s *Server) Command(t testing.TB, line string) string {
	t.Helper()
	connection, err := net.DialTimeout("tcp", s.Address, time.Second)
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

// program finds a redis-server, which make installs.
func program(t testing.TB) string {
	t.Helper()
	names := []string{os.Getenv("COUNTERSIGN_REDIS"), "redis-server"}
	for _, root := range []string{"..", "../../.."} { // as tests of integration and of package redis see it
		names = append(names, filepath.Join(root, ".tools", "redis", "bin", "redis-server"))
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no redis-server: run these tests by make test, which installs it")
	return ""
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
func (s *Server) run(t testing.TB) bool {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.Address)
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
	s.Kill()
	return false
}

// answers reports that this very process answers, with or without asking for a password.
func (s *Server) answers() bool {
	connection, err := net.DialTimeout("tcp", s.Address, time.Second)
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
