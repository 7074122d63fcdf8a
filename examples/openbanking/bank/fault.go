package bank

import (
	"context"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
)

// KillCountersign ends Countersign as a crash would: it has no time to do anything.
func (s *Stack) KillCountersign() error { return s.countersign.kill() }

// RestartCountersign starts Countersign again after KillCountersign, with the files and
// on the ports that it had, and waits until it is ready, or until ctx ends.
func (s *Stack) RestartCountersign(ctx context.Context) error {
	again, err := s.launch()
	if err != nil {
		return err
	}
	s.countersign = again
	return again.await(ctx, func() error { return answersOK(ctx, s.Admin+"/readyz") })
}

// CountersignLog is what Countersign has written since it was last started.
func (s *Stack) CountersignLog() (string, error) {
	text, err := os.ReadFile(s.countersign.log)
	return string(text), err
}

// PauseCountersign stops Countersign where it stands: it keeps its connections and
// answers nothing until ResumeCountersign.
func (s *Stack) PauseCountersign() error { return s.countersign.signal(syscall.SIGSTOP) }

// ResumeCountersign lets a paused Countersign go on.
func (s *Stack) ResumeCountersign() error { return s.countersign.signal(syscall.SIGCONT) }

// ReloadCountersign has Countersign look at its files at once. It does not wait until
// what changed is in force.
func (s *Stack) ReloadCountersign() error { return s.countersign.signal(syscall.SIGHUP) }

// RaiseIssuer brings up the issuer of a stack that was started with IssuerDown, and
// waits until Countersign has its keys, or until ctx ends.
func (s *Stack) RaiseIssuer(ctx context.Context) error {
	s.issuer.down.Store(false)
	return s.countersign.await(ctx, func() error { return answersOK(ctx, s.Admin+"/readyz") })
}

// outage is a server that can be down: then it answers nothing of its own.
type outage struct {
	next http.Handler
	down atomic.Bool
}

// ServeHTTP answers what next does, or 502.
func (o *outage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if o.down.Load() {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	o.next.ServeHTTP(w, r)
}
