//go:build unix

package main

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// held is a file that whoever reads it is held at: a named pipe.
type held struct {
	name string
	made time.Time
}

func hold(t *testing.T, name string) held {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return held{name, info.ModTime()}
}

// reached waits for somebody to read the file. release then gives it a text, and the
// time that it had, so that it has not changed while it was read.
func (h held) reached(t *testing.T) (release func(text string)) {
	t.Helper()
	opened := make(chan *os.File, 1)
	go func() {
		file, err := os.OpenFile(h.name, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
		}
		opened <- file
	}()
	select {
	case file := <-opened:
		return func(text string) {
			_, err := file.WriteString(text)
			if err == nil {
				err = os.Chtimes(h.name, h.made, h.made)
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
			if err != nil {
				t.Error(err)
			}
		}
	case <-time.After(patience):
		t.Fatal("nobody reads " + h.name)
		return nil
	}
}

const otherAPI = `
  - name: other
    enforce: policy-only
    policy: {paths: [other.rego]}

issuers:`

// TestChecksGoOnWhileAnActivationIsHeld holds the activation of a policy that refuses
// everything, before it is compiled and after, while 1,000 checks are made over gRPC:
// all of them end, by the policy in force. Let go, it is in force for the next check, and
// no check between was answered by one policy under the revision of the other.
func TestChecksGoOnWhileAnActivationIsHeld(t *testing.T) {
	for name, at := range map[string]struct{ file, text string }{
		"before the policy is compiled": {"policy/site.rego", closedPolicy},
		"after, reading another API's":  {"other.rego", "package envoy.authz\n\nallow := false\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file := bankFolder(t)
			rewrite(t, file, "\nissuers:", otherAPI)
			write(t, filepath.Join(filepath.Dir(file), "other.rego"), "package envoy.authz\n\nallow := true\n")
			p := startPolled(t, file, nil)
			before := p.ask(t)
			if !before.allowed {
				t.Fatalf("at first %+v, want it allowed", before)
			}
			write(t, p.path("policy/site.rego"), closedPolicy)
			barrier := hold(t, p.path(at.file))
			p.poll(t)
			p.poll(t) // Twice the same: it is read.
			release := barrier.reached(t)
			if others := p.askMany(t, 1000); others[before] != 1000 {
				t.Errorf("while the activation is held: %v, want 1,000 like %+v", others, before)
			}
			between := p.askWhile(t, func() {
				release(at.text)
				eventually(t, "the new policy decides", func() bool { return p.ask(t) != before })
			})
			after := p.ask(t)
			if after.allowed || after.reason != "closed" || after.revision == before.revision {
				t.Errorf("after it was let go %+v, want closed under another revision than %s", after, before.revision)
			}
			if between[before]+between[after] < 100 || len(between) > 2 {
				t.Errorf("between: %v, want all like %+v or %+v", between, before, after)
			}
		})
	}
}

// askMany counts the answers to so many checks, 20 at a time.
func (p *polled) askMany(t *testing.T, count int64) map[answered]int {
	t.Helper()
	var begun atomic.Int64
	return p.askAll(t, func() bool { return begun.Add(1) <= count })
}

// askWhile counts the answers to 100 checks and to those that are made while it does
// something.
func (p *polled) askWhile(t *testing.T, do func()) map[answered]int {
	t.Helper()
	var begun atomic.Int64
	var done atomic.Bool
	finished := make(chan map[answered]int, 1)
	go func() { finished <- p.askAll(t, func() bool { return begun.Add(1) <= 100 || !done.Load() }) }()
	do()
	done.Store(true)
	return <-finished
}

func (p *polled) askAll(t *testing.T, more func() bool) map[answered]int {
	var all sync.WaitGroup
	var lock sync.Mutex
	answers := map[answered]int{}
	for range 20 {
		all.Go(func() {
			for more() && !t.Failed() {
				got := p.ask(t)
				lock.Lock()
				answers[got]++
				lock.Unlock()
			}
		})
	}
	all.Wait()
	return answers
}
