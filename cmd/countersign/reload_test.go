package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

const (
	openPolicy   = "package countersign.site\n\ndeny contains \"closed\" if input.caller.tenant == \"closed\"\n"
	closedPolicy = "package countersign.site\n\ndeny contains \"closed\"\n"
	brokenPolicy = "package countersign.site\n\ndeny contains closed if {\n"
)

// polled is a served countersign that looks at its files when it is told to.
type polled struct {
	*served
	polls chan time.Time
	// file is the configuration, and in its folder is what it names.
	file string
}

func startPolled(t *testing.T, file string, environ func(string) (string, bool)) *polled {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &polled{polls: make(chan time.Time), file: file}
	p.served = start(ctx, t, file, world{polls: p.polls, environ: environ})
	t.Cleanup(func() {
		stop()
		p.wantEnd(t)
	})
	eventually(t, "it is ready", func() bool { return status(t, p.console+"/readyz") == 200 })
	return p
}

func (p *polled) path(name string) string { return filepath.Join(filepath.Dir(p.file), name) }

// poll has the files looked at. What an earlier poll led to is over when it returns.
func (p *polled) poll(t *testing.T) {
	t.Helper()
	select {
	case p.polls <- time.Time{}:
	case <-time.After(patience):
		t.Fatalf("nobody looks at the files\n%s", p.log.String())
	}
}

// settle has files that are at rest taken.
func (p *polled) settle(t *testing.T) {
	t.Helper()
	for range 3 {
		p.poll(t)
	}
}

// answered is what a check was answered.
type answered struct {
	allowed                     bool
	reason, operation, revision string
}

// ask asks for an operation that takes requests without a token.
func (p *polled) ask(t *testing.T) answered {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response, err := authv3.NewAuthorizationClient(p.connection).Check(ctx, &authv3.CheckRequest{
		Attributes: &authv3.AttributeContext{
			ContextExtensions: map[string]string{"countersign.api": "accounts"},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: "GET", Path: "/status", Host: "api.example",
			}},
		},
	})
	if err != nil {
		t.Errorf("Check() = %v", err)
		return answered{}
	}
	fields := response.GetDynamicMetadata().GetFields()
	return answered{
		allowed: response.GetStatus().GetCode() == 0, reason: fields["reason"].GetStringValue(),
		operation: fields["operation"].GetStringValue(), revision: fields["revision"].GetStringValue(),
	}
}

// wantMetrics fails where /metrics lacks a line.
func (p *polled) wantMetrics(t *testing.T, lines ...string) {
	t.Helper()
	_, body := get(t, p.console+"/metrics")
	for _, line := range lines {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// wantRefused fails unless what was in force is, and the operator is told why.
func (p *polled) wantRefused(t *testing.T, before answered, why ...string) {
	t.Helper()
	if got := p.ask(t); got != before {
		t.Errorf("after a refused reload the answer is %+v, want still %+v", got, before)
	}
	code, verbose := get(t, p.console+"/readyz?verbose")
	if code != 200 || status(t, p.console+"/readyz") != 200 {
		t.Errorf("/readyz = %d after a refused reload, want it green", code)
	}
	for _, text := range append(why, "ready\nrevision "+before.revision+" in force since ", "the last reload was refused at ") {
		if !strings.Contains(verbose, text) {
			t.Errorf("/readyz?verbose lacks %q:\n%s", text, verbose)
		}
	}
	for _, text := range append(why, "reload refused") {
		if !strings.Contains(p.log.String(), text) {
			t.Errorf("the log lacks %q:\n%s", text, p.log.String())
		}
	}
	p.wantMetrics(t, `countersign_reload_failed 1`, `countersign_snapshot_info{revision="`+before.revision+`"} 1`)
}

func TestReloadOfAPolicy(t *testing.T) {
	p := startPolled(t, bankFolder(t), nil)
	before := p.ask(t)
	if !before.allowed || before.revision == "" {
		t.Fatalf("at first %+v, want it allowed", before)
	}
	p.settle(t)
	p.wantMetrics(t, `countersign_reloads_total{result="unchanged"} 0`)

	write(t, p.path("policy/site.rego"), closedPolicy)
	p.settle(t)
	after := p.ask(t)
	if after.allowed || after.reason != "closed" || after.revision == before.revision {
		t.Errorf("after the change %+v, want closed under another revision than %s", after, before.revision)
	}
	if _, verbose := get(t, p.console+"/readyz?verbose"); !strings.HasPrefix(verbose, "ready\nrevision "+after.revision) {
		t.Errorf("/readyz?verbose = %q, want revision %s", verbose, after.revision)
	}
	p.wantMetrics(t, `countersign_reload_failed 0`, `countersign_reloads_total{result="loaded"} 1`,
		`countersign_snapshot_info{revision="`+after.revision+`"} 1`)

	write(t, p.path("policy/site.rego"), openPolicy)
	p.settle(t)
	if again := p.ask(t); !again.allowed || again.revision == after.revision {
		t.Errorf("after it was changed back %+v, want it allowed", again)
	}
	if strings.Contains(p.log.String(), "ERROR") {
		t.Errorf("the log has errors:\n%s", p.log.String())
	}
}

// TestFilesAreLookedAtByThemselves has nobody say when.
func TestFilesAreLookedAtByThemselves(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	file := bankFolder(t)
	p := &polled{file: file, served: start(ctx, t, file, world{})}
	write(t, p.path("policy/site.rego"), closedPolicy)
	eventually(t, "the new policy decides", func() bool { return p.ask(t).reason == "closed" })
	stop()
	p.wantEnd(t)
}

// TestReloadOfEachPart changes one of all that a snapshot is made of at a time.
func TestReloadOfEachPart(t *testing.T) {
	p := startPolled(t, bankFolder(t), nil)
	for _, part := range []struct{ name, file, from, to string }{
		{"the configuration", "countersign.yaml", "region: GB", "region: US"},
		{"a contract", "openapi.yaml", "ReadStatus", "TellStatus"},
		{"the policy's data", "policy/data.json", `["read_accounts"]`, `["read_accounts", "x"]`},
	} {
		before := p.ask(t)
		rewrite(t, p.path(part.file), part.from, part.to)
		p.settle(t)
		if after := p.ask(t); after.revision == before.revision || !after.allowed {
			t.Errorf("%s: %+v, want another revision than %s", part.name, after, before.revision)
		}
	}
	if got := p.ask(t); got.operation != "TellStatus" {
		t.Errorf("operation = %q, want that of the new contract", got.operation)
	}
}

func TestBrokenPolicyIsRefused(t *testing.T) {
	p := startPolled(t, bankFolder(t), nil)
	before := p.ask(t)
	write(t, p.path("policy/site.rego"), brokenPolicy)
	p.settle(t)
	p.wantRefused(t, before, p.path("policy/site.rego")+":")
	p.wantMetrics(t, `countersign_reloads_total{result="refused"} 1`)
	p.settle(t)
	p.wantMetrics(t, `countersign_reloads_total{result="refused"} 1`)

	write(t, p.path("policy/site.rego"), openPolicy)
	p.settle(t)
	p.wantMetrics(t, `countersign_reload_failed 0`)
	if _, verbose := get(t, p.console+"/readyz?verbose"); strings.Contains(verbose, "refused") {
		t.Errorf("/readyz?verbose = %q after it was mended", verbose)
	}
}

// TestRefusedReloads holds that each is refused whole: a change of the policy that
// comes with it is not in force.
func TestRefusedReloads(t *testing.T) {
	for _, test := range []struct{ name, file, from, to, why string }{
		{"another address", "countersign.yaml", "listen: 127.0.0.1:0", "listen: 127.0.0.1:1", "countersign.yaml:1: listen: cannot change while running; restart"},
		{"another console", "countersign.yaml", "admin: 127.0.0.1:0", "admin: 127.0.0.1:1", "admin: cannot change while running; restart"},
		{"another state", "countersign.yaml", "state: state", "state: other", "state: cannot change while running; restart"},
		{"another database", "countersign.yaml", "database: bank.db", "database: other.db", "ownership.account.database: cannot change while running; restart"},
		{"another query", "countersign.yaml", "owner = :subject", "owner  = :subject", "ownership.account.query: cannot change while running; restart"},
		{"another key set", "countersign.yaml", "{file: jwks.json}", `{url: "https://auth.example/jwks"}`, "issuers[0].jwks.file: cannot change while running; restart"},
		{"a broken key set", "jwks.json", "{", "[", "issuers[0].jwks.file: is no usable JWK Set"},
		{"a key that is none", "countersign.yaml", "region: GB", "regoin: GB", `countersign.yaml:4: regoin: is no key`},
		{"no YAML", "countersign.yaml", "region: GB", "region: [", `countersign.yaml:`},
		{"a broken contract", "openapi.yaml", "security: []", "security: [{nobody: []}]", "openapi.yaml:"},
		{"objects of an unknown owner", "openapi.yaml", "type: account", "type: card", "ownership.card: is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := startPolled(t, bankFolder(t), nil)
			before := p.ask(t)
			rewrite(t, p.path(test.file), test.from, test.to)
			write(t, p.path("policy/site.rego"), closedPolicy)
			p.settle(t)
			p.wantRefused(t, before, test.why)
			rewrite(t, p.path(test.file), test.to, test.from)
			p.settle(t)
			if got := p.ask(t); got.reason != "closed" {
				t.Errorf("once it is mended %+v, want the policy that came with it", got)
			}
		})
	}
}

// TestSwappedLinkIsNoticed replaces a policy as Kubernetes does a mounted ConfigMap's:
// its files are links through ..data, which is swapped.
func TestSwappedLinkIsNoticed(t *testing.T) {
	file := bankFolder(t)
	policy := filepath.Join(filepath.Dir(file), "policy")
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(policy, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(policy, name, "site.rego"), text)
		link, swapped := filepath.Join(policy, "..data_tmp"), filepath.Join(policy, "..data")
		if err := errors.Join(os.Symlink(name, link), os.Rename(link, swapped)); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", openPolicy)
	site := filepath.Join(policy, "site.rego")
	if err := errors.Join(os.Remove(site), os.Symlink(filepath.Join("..data", "site.rego"), site)); err != nil {
		t.Fatal(err)
	}
	p := startPolled(t, file, nil)
	before := p.ask(t)
	version("..2", closedPolicy)
	p.settle(t)
	if after := p.ask(t); !before.allowed || after.reason != "closed" || after.revision == before.revision {
		t.Errorf("before %+v, after %+v, want closed under another revision", before, after)
	}
}

// TestKeySetIsReadAtOnce holds that a key which an operator takes out stops verifying
// with the reload, and not with the store's next look at the file.
func TestKeySetIsReadAtOnce(t *testing.T) {
	p := startPolled(t, bankFolder(t), nil)
	before := p.ask(t)
	whole, err := os.ReadFile(p.path("jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.path("jwks.json"), `{"keys": []}`)
	p.settle(t)
	eventually(t, "no key is left", func() bool { return status(t, p.console+"/readyz") == 503 })
	write(t, p.path("jwks.json"), string(whole))
	p.settle(t)
	eventually(t, "the key is back", func() bool { return status(t, p.console+"/readyz") == 200 })
	if got := p.ask(t); got != before {
		t.Errorf("after the keys came back %+v, want %+v: keys are no part of the revision", got, before)
	}
}

func TestHangUpReloadsAtOnce(t *testing.T) {
	p := startPolled(t, bankFolder(t), nil)
	write(t, p.path("policy/site.rego"), closedPolicy)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new policy decides", func() bool { return p.ask(t).reason == "closed" })
	p.settle(t)
	p.wantMetrics(t, `countersign_reloads_total{result="loaded"} 1`, `countersign_reloads_total{result="unchanged"} 0`)
}

// TestFilesThatMoveAreReadAgain changes a file while it is read.
func TestFilesThatMoveAreReadAgain(t *testing.T) {
	file := bankFolder(t)
	rewrite(t, file, "region: GB", "region: ${REGION}")
	var moving atomic.Bool
	p := startPolled(t, file, func(string) (string, bool) {
		if moving.CompareAndSwap(true, false) {
			write(t, filepath.Join(filepath.Dir(file), "policy", "other.rego"), closedPolicy)
			rewrite(t, file, "region: ${REGION}", "region: ${REGION} # changed")
		}
		return "GB", true
	})
	before := p.ask(t)
	write(t, p.path("policy/site.rego"), closedPolicy)
	moving.Store(true)
	p.poll(t)
	p.poll(t)
	p.poll(t)
	if got := p.ask(t); got != before || !strings.Contains(p.log.String(), "reload waits") {
		t.Errorf("what was read while it moved is in force: %+v\n%s", got, p.log.String())
	}
	p.wantMetrics(t, `countersign_reload_failed 0`)
	p.settle(t)
	if got := p.ask(t); got.reason != "closed" {
		t.Errorf("once at rest %+v, want closed", got)
	}
}

func TestPanicInAReloadIsARefusal(t *testing.T) {
	file := bankFolder(t)
	rewrite(t, file, "region: GB", "region: ${REGION}")
	var broken atomic.Bool
	p := startPolled(t, file, func(string) (string, bool) {
		if broken.Load() {
			panic("broken")
		}
		return "GB", true
	})
	before := p.ask(t)
	broken.Store(true)
	write(t, p.path("policy/site.rego"), closedPolicy)
	p.settle(t)
	p.wantRefused(t, before, "panic")
}

// TestChecksWhileReloading swaps contract and policy, together, 50 times under checks.
// Each policy refuses the operation of its own contract only, so that a check that
// was decided by parts of two snapshots would be allowed.
func TestChecksWhileReloading(t *testing.T) {
	file := bankFolder(t)
	dir := filepath.Dir(file)
	for _, colour := range []string{"Red", "Green"} {
		if err := copyNew(filepath.Join(dir, colour), os.DirFS("testdata/base")); err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(dir, colour, "openapi.yaml"), "ReadStatus", colour)
		write(t, filepath.Join(dir, colour, "policy", "site.rego"),
			"package countersign.site\n\ndeny contains \""+strings.ToLower(colour)+"\" if input.operation.id == \""+colour+"\"\n")
	}
	current := filepath.Join(dir, "current")
	point := func(colour string) {
		if err := errors.Join(os.Symlink(colour, current+".new"), os.Rename(current+".new", current)); err != nil {
			t.Error(err)
		}
	}
	point("Red")
	rewrite(t, file, "document: openapi.yaml", "document: current/openapi.yaml")
	rewrite(t, file, "{path: policy}", "{path: current/policy}")
	p := startPolled(t, file, nil)

	revisions := map[string]string{}
	var mu sync.Mutex
	wantWhole := func(got answered) {
		mu.Lock()
		defer mu.Unlock()
		if revisions[got.operation] == "" {
			revisions[got.operation] = got.revision
		}
		if got.allowed || got.reason != strings.ToLower(got.operation) || got.revision != revisions[got.operation] {
			t.Errorf("answer %+v under %v, want that of one snapshot", got, revisions)
		}
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					wantWhole(p.ask(t))
				}
			}
		})
	}
	for turn := range 50 {
		colour := []string{"Green", "Red"}[turn%2]
		point(colour)
		p.settle(t)
		if got := p.ask(t); got.operation != colour {
			t.Errorf("turn %d: %+v, want %s in force", turn, got, colour)
		}
	}
	close(done)
	group.Wait()
	if len(revisions) != 2 || revisions["Red"] == revisions["Green"] {
		t.Errorf("revisions %v, want two", revisions)
	}
	p.wantMetrics(t, `countersign_reloads_total{result="loaded"} 50`, `countersign_reloads_total{result="refused"} 0`)
}

// TestLeniencyIsTold holds that the log says what an issuer is forgiven: at the start, and
// when a reload forgives more.
func TestLeniencyIsTold(t *testing.T) {
	file := bankFolder(t)
	rewrite(t, file, "profile: oauth\n", "profile: oauth\n    legacy: [untyped]\n")
	p := startPolled(t, file, nil)
	const told, untyped, scp = `msg="an issuer is shown leniency" issuer=https://auth.example takes=`, `"tokens without typ,`, `"scopes from an array scp`
	if log := p.log.String(); !strings.Contains(log, told+untyped) || strings.Contains(log, scp) {
		t.Errorf("the log at the start lacks %s%s, or tells more:\n%s", told, untyped, log)
	}
	rewrite(t, file, "[untyped]", "[untyped, scp]")
	p.settle(t)
	if log := p.log.String(); !strings.Contains(log, told+scp) {
		t.Errorf("the log after a reload lacks %s%s:\n%s", told, scp, log)
	}
}
