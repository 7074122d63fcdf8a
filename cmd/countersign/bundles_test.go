package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// house is a policy with a decision of its own, which denies by the site's rules.
const house = "package house\n\ndecision := data.countersign.standard.decision\n"

// bundled is a countersign whose policy is bundles.
type bundled struct {
	*polled
	server *bundlestest.Server
	key    bundlestest.Key
}

// release is a bundle that the configuration takes.
func release(key bundlestest.Key, revision, site string) bundlestest.Bundle {
	return bundlestest.Bundle{Revision: revision, By: key, Roots: []string{"house", "countersign/site", "roles"},
		Files: map[string]string{"/house.rego": house, "/site.rego": site, "/roles/data.json": `{"customer": ["read_accounts"]}`}}
}

// put serves another bundle.
func (b *bundled) put(t *testing.T, revision, site string) {
	t.Helper()
	b.server.Put("authz.tar.gz", release(b.key, revision, site).Build(t))
}

// bundleFolder is a bank whose policy is a signed bundle.
func bundleFolder(t *testing.T) (file string, server *bundlestest.Server, key bundlestest.Key) {
	t.Helper()
	file, server, key = bankFolder(t), bundlestest.Serve(t), bundlestest.NewKey(t, "release")
	section := `policy:
  decision: house.decision
  services: {policies: {url: "` + server.URL + `"}}
  keys: {release: {key: "` + strings.ReplaceAll(key.Public, "\n", `\n`) + `", algorithm: ES256}}
  bundles:
    authz: {service: policies, resource: authz.tar.gz, signing: {keyid: release}, size_limit_bytes: 1000000, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}
    limits: {service: policies, resource: limits.tar.gz, signing: {keyid: release}, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}
  status: {service: policies, partition_name: accounts}
`
	rewrite(t, file, "policy: {path: policy}\n", section)
	server.Put("limits.tar.gz", bundlestest.Bundle{Revision: "l1", By: key, Roots: []string{"limits"}, Files: map[string]string{"/limits/data.json": `{"a": 1}`}}.Build(t))
	return file, server, key
}

func startBundled(t *testing.T) *bundled {
	t.Helper()
	file, server, key := bundleFolder(t)
	b := &bundled{server: server, key: key}
	b.put(t, "v1", openPolicy)
	b.polled = startPolled(t, file, nil)
	return b
}

// await waits for a check to be answered so.
func (p *polled) await(t *testing.T, allowed bool) answered {
	t.Helper()
	var got answered
	eventually(t, "the other policy decides", func() bool { got = p.ask(t); return got.allowed == allowed && got.revision != "" })
	return got
}

// stands is what /status says.
func (p *polled) stands(t *testing.T) (told struct {
	Revision, Set string
	Ready         bool
	Bundles       []struct{ Name, Revision, Signer string }
	Pinned        *struct{ Set string }
	Refused       *struct{ Because string }
}) {
	t.Helper()
	_, text := get(t, p.console+"/status")
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		t.Fatalf("/status: %v\n%s", err, text)
	}
	return told
}

// TestBundlesDecide follows bundles from release to release.
func TestBundlesDecide(t *testing.T) {
	b := startBundled(t)
	first := b.await(t, true)
	stands := b.stands(t)
	if stands.Revision != first.revision || !stands.Ready || len(stands.Bundles) != 2 || stands.Bundles[0].Name != "authz" ||
		stands.Bundles[0].Revision != "v1" || stands.Bundles[0].Signer != "release" || stands.Bundles[1].Revision != "l1" {
		t.Errorf("/status says %+v", stands)
	}
	b.wantMetrics(t, `countersign_bundle_info{bundle="authz",revision="v1",signer="release"} 1`, `countersign_policy_pinned 0`,
		`countersign_bundle_downloads_total{bundle="authz",result="new"} 1`)
	b.put(t, "v2", closedPolicy)
	second := b.await(t, false)
	if second.reason != "closed" || second.revision == first.revision {
		t.Errorf("the second release answers %+v", second)
	}
	rewrite(t, b.file, "region: GB", "region: FR")
	b.settle(t)
	third := b.ask(t)
	if third.allowed || third.revision == second.revision {
		t.Errorf("after a reload the answer is %+v, want the same bundles under another revision", third)
	}
	rewrite(t, b.file, "resource: limits.tar.gz", "resource: other.tar.gz")
	b.settle(t)
	b.wantRefused(t, third, "policy.bundles.limits.resource: cannot change while running; restart")
	eventually(t, "it is told in OPA's form", func() bool {
		for _, report := range b.server.Status() {
			if strings.Contains(string(report), `"active_revision":"v2"`) {
				return true
			}
		}
		return false
	})
}

// TestBundleThatReadsUnreadBodiesIsRefused downloads a policy that reads bodies, which the
// contract lets go unread.
func TestBundleThatReadsUnreadBodiesIsRefused(t *testing.T) {
	file, server, key := bundleFolder(t)
	const last = "      responses: {\"200\": {description: the status}}\n"
	rewrite(t, filepath.Join(filepath.Dir(file), "openapi.yaml"), last, last+
		"    post: {operationId: WriteStatus, security: [], requestBody: {content: {application/json: {}}}, responses: {\"200\": {description: done}}, x-countersign: {observe: [body_malformed]}}\n")
	b := &bundled{server: server, key: key}
	b.put(t, "v1", openPolicy)
	b.polled = startPolled(t, file, nil)
	before := b.await(t, true)
	b.put(t, "v2", "package countersign.site\n\ndeny contains \"large\" if input.parsed_body.amount > 9\n")
	eventually(t, "it is refused", func() bool {
		refused := b.stands(t).Refused
		return refused != nil && strings.Contains(refused.Because, "operation WriteStatus of accounts observes body_malformed")
	})
	if got := b.ask(t); got != before {
		t.Errorf("the answer is %+v, want still %+v", got, before)
	}
}

// TestBundlesAreRefusedWhole serves what is not taken, one after the other: the last good
// one decides, and nothing else is kept.
func TestBundlesAreRefusedWhole(t *testing.T) {
	b := startBundled(t)
	before := b.await(t, true)
	kept := b.stands(t).Set
	over := release(b.key, "big", closedPolicy)
	over.Files["/roles/data.json"] = `{"customer": ["` + strings.Repeat("a", 1_000_001) + `"]}`
	without := release(b.key, "headless", closedPolicy)
	delete(without.Files, "/house.rego")
	everything := release(b.key, "greedy", closedPolicy)
	everything.Roots = nil
	for _, test := range []struct {
		name, why string
		raw       []byte
	}{
		{"does not compile", "unsafe", release(b.key, "b1", "package countersign.site\n\ndeny contains x if input.caller\n").Build(t)},
		{"a rule of the wrong form", "deny and waive must be sets", release(b.key, "b2", "package countersign.site\n\ndeny := true\n").Build(t)},
		{"a misspelt input", `input.caller has no "tenent"`, release(b.key, "b3", "package countersign.site\n\ndeny contains \"closed\" if input.caller.tenent == \"closed\"\n").Build(t)},
		{"a built-in that asks the network", "http.send is not for policies", release(b.key, "b4", "package countersign.site\n\ndeny contains \"closed\" if http.send({\"method\": \"get\", \"url\": \"https://a.example\"}).status_code == 200\n").Build(t)},
		{"a change of the library", "embedded library", bundlestest.Bundle{Revision: "b5", By: b.key, Roots: []string{"house", "countersign", "roles"},
			Files: map[string]string{"/house.rego": house, "/own.rego": "package countersign.standard\n\ndecision := true\n"}}.Build(t)},
		{"no decision", "the policy has no rule", without.Build(t)},
		{"roots that overlap", `bundles "authz" and "limits" overlap`, everything.Build(t)},
		{"over the size", "size_limit_bytes", over.Build(t)},
		{"a forged signature", "failed to verify JWT signature", release(bundlestest.NewKey(t, "release"), "forged", closedPolicy).Build(t)},
		{"no signature", "signature", release(bundlestest.Key{}, "unsigned", closedPolicy).Build(t)},
	} {
		b.server.Put("authz.tar.gz", test.raw)
		eventually(t, test.name+" is refused", func() bool {
			refused := b.stands(t).Refused
			return refused != nil && strings.Contains(refused.Because, test.why)
		})
		if got := b.ask(t); got != before {
			t.Errorf("%s: the answer is %+v, want still %+v", test.name, got, before)
		}
		if _, verbose := get(t, b.console+"/readyz?verbose"); !strings.Contains(verbose, test.why) || !strings.HasPrefix(verbose, "ready\n") {
			t.Errorf("%s: /readyz?verbose says\n%s", test.name, verbose)
		}
		if !strings.Contains(b.log.String(), strings.ReplaceAll(test.why, `"`, `\"`)) {
			t.Errorf("%s: the log does not say %q", test.name, test.why)
		}
	}
	entries, err := os.ReadDir(b.path("state/bundles"))
	if err != nil || len(entries) != 1 || entries[0].Name() != kept {
		t.Errorf("%v, %v are kept, want only what was in force", entries, err)
	}
	_, metrics := get(t, b.console+"/metrics")
	if strings.Contains(metrics, `countersign_bundle_downloads_total{bundle="authz",result="refused"} 0`) {
		t.Error("refusals are not counted")
	}
	b.put(t, "v2", closedPolicy)
	b.await(t, false)
	if stands := b.stands(t); stands.Refused != nil {
		t.Errorf("a good one is in force, and /status still says %+v", stands.Refused)
	}
}

// TestBundlesOutliveTheirServer starts without a server and then with one, and again
// without: at first nothing is decided, at last what was kept decides.
func TestBundlesOutliveTheirServer(t *testing.T) {
	file, server, key := bundleFolder(t)
	server.Put("authz.tar.gz", release(key, "v1", closedPolicy).Build(t))
	server.Kill()
	ctx, stop := contextOf(t)
	s := &polled{polls: make(chan time.Time), file: file}
	s.served = start(ctx, t, file, world{polls: s.polls})
	if got := health(t, s.connection); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health without a policy = %v, want NOT_SERVING", got)
	}
	if got := s.ask(t); got.allowed || got.reason != "policy_unavailable" {
		t.Errorf("without a policy the answer is %+v, want policy_unavailable", got)
	}
	if code, text := get(t, s.console+"/readyz?verbose"); code != 503 || !strings.Contains(text, "no revision is in force yet") || !strings.Contains(text, "still to be downloaded") {
		t.Errorf("/readyz = %d %q", code, text)
	}
	server.Restart(t)
	first := s.await(t, false)
	for first.reason != "closed" {
		first = s.await(t, false)
	}
	eventually(t, "it is kept", func() bool { kept, _ := filepath.Glob(s.path("state/bundles/*/set.json")); return len(kept) == 1 })
	stop()
	s.wantEnd(t)

	server.Kill()
	again := startPolled(t, file, nil)
	if got := again.ask(t); got != first {
		t.Errorf("after a restart without the server the answer is %+v, want %+v", got, first)
	}
	eventually(t, "that it is away is told", func() bool { return strings.Contains(again.log.String(), "a bundle cannot be downloaded") })
}

// TestRecordsNameBundles has a decision recorded, and told with the bundles of its policy.
func TestRecordsNameBundles(t *testing.T) {
	b := startBundled(t)
	b.await(t, true)
	records := func() (lines []string) {
		files, _ := filepath.Glob(b.path("state/records/*"))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			lines = append(lines, strings.Split(string(text), "\n")...)
		}
		return lines
	}
	var id string
	eventually(t, "a record names the bundles", func() bool {
		for _, line := range records() {
			if at := strings.Index(line, "{"); at >= 0 && strings.Contains(line, `"bundles":[{"name":"authz","revision":"v1","signer":"release"},{"name":"limits","revision":"l1","signer":"release"}]`) {
				var record struct{ ID string }
				err := json.NewDecoder(strings.NewReader(line[at:])).Decode(&record)
				id = record.ID
				return err == nil
			}
		}
		return false
	})
	eventually(t, "it is recorded", func() bool {
		out, _, code := command(t, "explain", "--config", b.file, "--decision", id)
		return code == exitOK && strings.Contains(out, "authz v1, signed by release; limits l1, signed by release")
	})
}

// TestCommandsSayByWhichBundles judges by what was in force last, and says that there is
// none yet.
func TestCommandsSayByWhichBundles(t *testing.T) {
	file, server, key := bundleFolder(t)
	const none = "none has been in force yet"
	if out, faults, code := command(t, "check", "--config", file); code != exitOK || !strings.Contains(out, none) {
		t.Errorf("check: %d %s %s", code, out, faults)
	}
	request := filepath.Join(filepath.Dir(file), "request.json")
	write(t, request, `{"attributes": {"contextExtensions": {"countersign.api": "accounts"}, "request": {"http": {"method": "GET", "path": "/status", "host": "api.example"}}}}`)
	for _, args := range [][]string{{"test", "--config", file}, {"explain", "--config", file, request}} {
		if out, faults, code := command(t, args...); code != exitWrong || !strings.Contains(faults, "policy.bundles: are the policy, and none can be used: ") || !strings.Contains(faults, none) {
			t.Errorf("%v: %d %s %s", args, code, out, faults)
		}
	}
	put(t, server, key, "v1", openPolicy)
	b, stop := serveBundles(t, file)
	b.awaitBundle(t, "v1")
	set := b.stands(t).Set
	stop()
	if out, _, code := command(t, "check", "--config", file); code != exitOK || !strings.Contains(out, "the policy is of the bundles "+set) || !strings.Contains(out, "the policy reads\n  input.") {
		t.Errorf("check: %d %s", code, out)
	}
	said := "by the bundles that were in force last, set " + set + ": authz v1, signed by release"
	if _, faults, _ := command(t, "test", "--config", file); !strings.Contains(faults, said) {
		t.Errorf("test: %s", faults)
	}
	if out, faults, code := command(t, "explain", "--config", file, request); code != exitOK || !strings.Contains(faults, said) {
		t.Errorf("explain: %d %s %s", code, out, faults)
	}
}
