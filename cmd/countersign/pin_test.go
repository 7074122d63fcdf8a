package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// command runs one, and gives what it wrote and its exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, faults bytes.Buffer
	code = run(t.Context(), args, world{environ: os.LookupEnv, stdin: strings.NewReader(""), stdout: &out, stderr: &faults})
	return out.String(), faults.String(), code
}

// serveBundles serves until stop, which waits for the end.
func serveBundles(t *testing.T, file string) (b *polled, stop func()) {
	t.Helper()
	ctx, cancel := contextOf(t)
	b = &polled{polls: make(chan time.Time), file: file}
	b.served = start(ctx, t, file, world{polls: b.polls})
	return b, func() { cancel(); b.wantEnd(t) }
}

func (p *polled) awaitBundle(t *testing.T, revision string) {
	t.Helper()
	eventually(t, revision+" is in force", func() bool {
		stands := p.stands(t)
		return len(stands.Bundles) > 0 && stands.Bundles[0].Revision == revision
	})
}

func put(t *testing.T, server *bundlestest.Server, key bundlestest.Key, revision, site string) {
	t.Helper()
	server.Put("authz.tar.gz", release(key, revision, site).Build(t))
}

// TestPinRollsBack rolls a release back, holds it there over a newer one and a restart,
// and goes on to the newest.
func TestPinRollsBack(t *testing.T) {
	file, server, key := bundleFolder(t)
	if out, faults, code := command(t, "policy", "pin", "--config", file, "v1"); code != exitWrong || !strings.Contains(faults, "no set of bundles is kept") {
		t.Errorf("pin before anything is kept: %d %s %s", code, out, faults)
	}
	if out, _, code := command(t, "policy", "list", "--config", file); code != exitOK || out != "no bundles are kept yet\n" {
		t.Errorf("list before anything is kept: %d %s", code, out)
	}
	put(t, server, key, "v1", openPolicy)
	b, stop := serveBundles(t, file)
	b.awaitBundle(t, "v1")
	put(t, server, key, "v2", closedPolicy)
	b.awaitBundle(t, "v2")

	_, faults, code := command(t, "policy", "pin", "--config", file, "v0")
	if code != exitWrong || !strings.Contains(faults, `"v0" is not kept; pin one of: `) || !strings.Contains(faults, "authz v1, signed by release") {
		t.Errorf("pin of what is not kept: %d %s", code, faults)
	}
	if _, faults, code := command(t, "policy", "pin", "--config", file, "l1"); code != exitWrong || !strings.Contains(faults, "is in several sets") {
		t.Errorf("pin of what several have: %d %s", code, faults)
	}
	if out, faults, code := command(t, "policy", "pin", "--config", file, "v1"); code != exitOK || !strings.HasPrefix(out, "pinned: ") {
		t.Fatalf("pin: %d %s %s", code, out, faults)
	}
	b.poll(t)
	b.awaitBundle(t, "v1")
	b.await(t, true)
	b.wantMetrics(t, "countersign_policy_pinned 1")
	if _, verbose := get(t, b.console+"/readyz?verbose"); !strings.Contains(verbose, "are pinned since") {
		t.Errorf("/readyz?verbose does not say that it is pinned:\n%s", verbose)
	}
	put(t, server, key, "v3", closedPolicy)
	eventually(t, "the third is downloaded", func() bool {
		_, metrics := get(t, b.console+"/metrics")
		return strings.Contains(metrics, `countersign_bundle_downloads_total{bundle="authz",result="new"} 3`)
	})
	b.awaitBundle(t, "v1")
	stop()

	again, stop := serveBundles(t, file)
	again.awaitBundle(t, "v1")
	if stands := again.stands(t); stands.Pinned == nil || stands.Pinned.Set != stands.Set {
		t.Errorf("after a restart /status says %+v, want it pinned", stands)
	}
	out, _, code := command(t, "policy", "list", "--config", file, "--output", "json")
	var list []keptSet
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 2 || list[0].Pinned || !list[1].Pinned || list[1].Bundles[0].Revision != "v1" {
		t.Errorf("list: %d %v\n%s", code, err, out)
	}
	eventually(t, "the third is downloaded again", func() bool {
		_, metrics := get(t, again.console+"/metrics")
		return strings.Contains(metrics, `countersign_bundle_downloads_total{bundle="authz",result="new"} 1`)
	})
	if out, _, code := command(t, "policy", "unpin", "--config", file); code != exitOK || !strings.HasPrefix(out, "no longer pinned") {
		t.Errorf("unpin: %d %s", code, out)
	}
	again.poll(t)
	again.awaitBundle(t, "v3")
	again.await(t, false)
	if out, _, code := command(t, "policy", "unpin", "--config", file); code != exitOK || out != "nothing was pinned\n" {
		t.Errorf("unpin again: %d %s", code, out)
	}
	stop()
}

// TestPinnedBundlesThatAreDamagedDecideNothing holds that a start goes on to no other
// release than the one that is pinned.
func TestPinnedBundlesThatAreDamagedDecideNothing(t *testing.T) {
	file, server, key := bundleFolder(t)
	put(t, server, key, "v1", closedPolicy)
	b, stop := serveBundles(t, file)
	b.awaitBundle(t, "v1")
	set := b.stands(t).Set
	put(t, server, key, "v2", openPolicy)
	b.awaitBundle(t, "v2")
	stop()
	if _, faults, code := command(t, "policy", "pin", "--config", file, set); code != exitOK {
		t.Fatalf("pin: %d %s", code, faults)
	}
	write(t, b.path("state/bundles/"+set+"/0.tar.gz"), "damaged")
	again, stop := serveBundles(t, file)
	eventually(t, "it is refused", func() bool {
		refused := again.stands(t).Refused
		return refused != nil && strings.Contains(refused.Because, "is damaged on disk")
	})
	if got := again.ask(t); got.reason != "policy_unavailable" {
		t.Errorf("with a damaged pin the answer is %+v, want policy_unavailable", got)
	}
	stop()
}

// TestStatusOfAFleet asks two processes that enforce two releases, and then one.
func TestStatusOfAFleet(t *testing.T) {
	first := startBundled(t)
	first.awaitBundle(t, "v1")
	second := startPolled(t, bankFolder(t), nil)
	one, other := strings.TrimPrefix(first.console, "http://"), second.console
	out, _, code := command(t, "status", one, other)
	if code != exitFailed || !strings.Contains(out, "DIFFER   2 asked, 2 answered, 2 revisions") || !strings.Contains(out, "authz v1, signed by release") {
		t.Errorf("two releases: %d\n%s", code, out)
	}
	if out, _, code := command(t, "status", one, first.console); code != exitOK || !strings.Contains(out, "AGREE    2 enforce one revision") {
		t.Errorf("one release: %d\n%s", code, out)
	}
	out, _, code = command(t, "status", "--output", "json", one, "127.0.0.1:1")
	var told fleetStatus
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != exitFailed || told.Agree || told.Processes[1].Fault == "" || told.Processes[0].Status.Revision == "" {
		t.Errorf("one that is away: %d %v\n%s", code, err, out)
	}
	for _, args := range [][]string{{"status"}, {"status", "nowhere"}, {"status", "ftp://a:1"}} {
		if _, faults, code := command(t, args...); code != exitWrong || faults == "" {
			t.Errorf("%v: %d %s", args, code, faults)
		}
	}
}
