package integration

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// closed is what the second release refuses everything with.
var closed = refusal(http.StatusForbidden, "closed")

// released are Countersigns of one configuration, whose policy is a signed bundle.
type released struct {
	*replicas
	server *bundlestest.Server
	key    bundlestest.Key
	// policy are the files of the bank's own.
	policy map[string]string
	// folders has the run folder of each process.
	folders string
}

// TestBundlesOfAFleet has two processes follow a server that goes away and comes back. They
// swap releases while checks run, refuse what was tampered with, start again without the
// server, and differ and agree as they are rolled back and on.
func TestBundlesOfAFleet(t *testing.T) {
	r := startReleased(t)
	r.put(t, "v1", false)
	one, endOne := r.begin(t, "one")
	two, endTwo := r.begin(t, "two")
	r.await(t, granted, one, two)
	r.status(t, 0, one, two)

	stop := r.askOn(t, one, two)
	for _, release := range []struct {
		revision string
		closes   bool
		want     verdict
	}{{"v2", true, closed}, {"v3", false, granted}, {"v4", true, closed}, {"v5", false, granted}} {
		r.put(t, release.revision, release.closes)
		r.await(t, release.want, one, two)
	}
	if asked := stop(); asked < 100 {
		t.Errorf("only %d checks ran", asked)
	}

	forged := *r
	forged.key = bundlestest.NewKey(t, r.key.ID)
	forged.put(t, "v6", true)
	for _, each := range []replica{one, two} {
		eventually(t, "the forgery to be refused", func() bool {
			return strings.Contains(page(t, each.admin+"/readyz?verbose"), "failed to verify JWT signature")
		})
	}
	r.await(t, granted, one, two)
	r.server.Kill()
	endTwo()
	two, endTwo = r.begin(t, "two") // without the server
	r.await(t, granted, two)
	r.status(t, 0, one, two)

	r.command(t, "one", 0, "pin", "v4")
	r.await(t, closed, one)
	r.await(t, granted, two)
	if told := r.status(t, 1, one, two); !strings.Contains(told, "authz v4, signed by release") || !strings.Contains(told, "authz v5, signed by release") || !strings.Contains(told, "pinned ") {
		t.Errorf("status of two that differ:\n%s", told)
	}
	if told := r.command(t, "two", 2, "pin", "v9"); !strings.Contains(told, `"v9" is not kept; pin one of: `) {
		t.Errorf("pin of what is not kept: %s", told)
	}
	endOne()
	one, endOne = r.begin(t, "one")
	r.await(t, closed, one)
	r.command(t, "one", 0, "unpin")
	r.await(t, granted, one)
	r.status(t, 0, one, two)

	r.put(t, "v7", true)
	r.server.Restart(t)
	r.await(t, closed, one, two)
	r.status(t, 0, one, two)
	if _, unchanged := r.server.Asked(); unchanged == 0 {
		t.Error("the server was never asked by an ETag")
	}
	endOne()
	endTwo()
}

func startReleased(t *testing.T) *released {
	t.Helper()
	r := &released{replicas: &replicas{bank: openBank(t)}, server: bundlestest.Serve(t), key: bundlestest.NewKey(t, "release"), policy: map[string]string{}, folders: t.TempDir()}
	text, err := r.bank.Configuration("", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	text = changed(t, text, "policy: {path: policy, decision: openbanking.decision}", `policy:
  decision: openbanking.decision
  services: {policies: {url: "`+r.server.URL+`"}}
  keys: {release: {key: "`+strings.ReplaceAll(r.key.Public, "\n", `\n`)+`", algorithm: ES256}}
  bundles:
    authz: {resource: authz.tar.gz, signing: {keyid: release}, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}`) + "timeout: 20s\n"
	if err := os.WriteFile(filepath.Join(r.bank.Dir, "countersign.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(r.bank.Dir, "policy", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v: the bank has no policy", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.rego") {
			r.policy["/"+filepath.Base(file)] = string(text)
		}
	}
	return r
}

// put serves a release, which is the bank's policy or, where it closes, refuses everything.
func (r *released) put(t *testing.T, revision string, closes bool) {
	t.Helper()
	files := map[string]string{"/closed.rego": "package countersign.site\n"}
	if closes {
		files["/closed.rego"] += "\ndeny contains \"closed\"\n"
	}
	for name, text := range r.policy {
		files[name] = text
	}
	r.server.Put("authz.tar.gz", bundlestest.Bundle{Revision: revision, Files: files, By: r.key}.Build(t))
}

// folder is the run folder of a process: the same files as each has, and a state of its own.
func (r *released) folder(t *testing.T, name string) string {
	t.Helper()
	folder := filepath.Join(r.folders, name)
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	err := os.CopyFS(folder, os.DirFS(r.bank.Dir))
	if err := errors.Join(err, os.RemoveAll(filepath.Join(folder, "state"))); err != nil {
		t.Fatal(err)
	}
	return folder
}

// begin starts a process. end has it end, which it does in any case with the test.
func (r *released) begin(t *testing.T, name string) (one replica, end func()) {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	folder := r.folder(t, name)
	log, err := os.CreateTemp(folder, "log-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	process := exec.CommandContext(ctx, found.countersign, "serve", "--config", "countersign.yaml")
	process.Dir = folder
	process.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none")
	process.Stdout, process.Stderr = log, log
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	process.WaitDelay = longest
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		cancel()
		err := process.Wait()
		if !process.ProcessState.Success() {
			text, unread := os.ReadFile(log.Name())
			t.Errorf("%s: %v, %v\n%s", name, errors.Join(err, unread), process.ProcessState, text)
		}
		log.Close()
	})
	t.Cleanup(end)
	one = connect(t, log.Name())
	eventually(t, name+" to be ready", func() bool { return strings.HasPrefix(page(t, one.admin+"/readyz"), "ready") })
	return one, end
}

// await waits until each answers so.
func (r *released) await(t *testing.T, want verdict, each ...replica) {
	t.Helper()
	for _, one := range each {
		eventually(t, "the answer "+want.code, func() bool {
			got, err := one.ask(t.Context(), r.unlimited(t))
			return err == nil && got == want
		})
	}
}

// askOn asks each until stop, which says how often. Every answer is of one release or the
// other.
func (r *released) askOn(t *testing.T, each ...replica) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	var asking sync.WaitGroup
	for _, one := range each {
		check := r.unlimited(t)
		asking.Go(func() {
			for ctx.Err() == nil {
				got, err := one.ask(t.Context(), check)
				if err != nil || got != granted && got != closed {
					t.Errorf("while releases are swapped: %+v, %v", got, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	return func() int {
		cancel()
		asking.Wait()
		return int(asked.Load())
	}
}

// status asks the processes what they enforce.
func (r *released) status(t *testing.T, code int, each ...replica) string {
	t.Helper()
	args := []string{"status"}
	for _, one := range each {
		args = append(args, one.admin)
	}
	return r.run(t, r.bank.Dir, code, args...)
}

// command runs countersign policy for one process.
func (r *released) command(t *testing.T, name string, code int, args ...string) string {
	t.Helper()
	return r.run(t, r.folder(t, name), code, append([]string{"policy", args[0], "--config", "countersign.yaml"}, args[1:]...)...)
}

func (r *released) run(t *testing.T, folder string, code int, args ...string) string {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	command := exec.CommandContext(t.Context(), found.countersign, args...)
	command.Dir, command.Stdout, command.Stderr = folder, &told, &told
	err = command.Run()
	if got := command.ProcessState.ExitCode(); got != code {
		t.Errorf("countersign %s: exit %d, %v, want %d\n%s", args, got, err, code, told.String())
	}
	return told.String()
}
