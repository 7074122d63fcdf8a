package bank

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shell starts a script that writes "up" when it runs.
func shell(t *testing.T, script string) *process {
	t.Helper()
	p, err := start(t.TempDir(), "script", "/bin/sh", []string{"WORD=up"}, "-c", script)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return p
}

func (p *process) wrote(text string) func() error {
	return func() error {
		if !strings.Contains(p.tail(), text) {
			return errors.New("nothing written yet")
		}
		return nil
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	// A reader of a pipe sees its end when the last process that holds it is gone.
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := shell(t, "sleep 600 > "+pipe+" & trap 'exit 0' TERM; echo $WORD; wait")
	held, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := p.await(t.Context(), p.wrote("up")); err != nil {
		t.Fatalf("await: %v", err)
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := io.ReadAll(held); err != nil {
		t.Errorf("ReadAll: %v", err)
	}
}

func TestAKilledProcessNeedsNoStop(t *testing.T) {
	p := shell(t, "trap '' TERM; echo $WORD; exec sleep 600")
	if err := p.await(t.Context(), p.wrote("up")); err != nil {
		t.Fatalf("await: %v", err)
	}
	if err := p.kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	select {
	case <-p.gone:
	default:
		t.Error("it still runs")
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := p.kill(); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("kill of what is gone = %v, want %v", err, syscall.ESRCH)
	}
}

func TestAwaitTellsOfAProcessThatEnds(t *testing.T) {
	p := shell(t, "echo no such configuration; exit 2")
	err := p.await(t.Context(), p.wrote("never"))
	if err == nil || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("await = %v, want its exit status", err)
	}
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "no such configuration") {
		t.Errorf("stop = %v, want what it wrote", err)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	p := shell(t, "exec sleep 600")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.await(ctx, p.wrote("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("await = %v, want %v", err, context.Canceled)
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestStartOfWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	if _, err := start(dir, "absent", filepath.Join(dir, "absent"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start = %v, want %v", err, os.ErrNotExist)
	}
}

func TestStackThatCannotStartLeavesNothing(t *testing.T) {
	stack, err := Start(t.Context(), Options{Dir: t.TempDir(), Countersign: "no-such-program", Envoy: "no-such-program"})
	if err == nil || stack != nil {
		t.Fatalf("Start = %v, %v; want an error", stack, err)
	}
}
