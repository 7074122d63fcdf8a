package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
)

const peerConfiguration = `state: state
apis:
  - name: legacy
    enforce: policy-only
    policy: {paths: [policy.rego], builtins: [http.send], hosts: [127.0.0.1]}
  - name: trial
    enforce: policy-only
    policy: {paths: [policy.rego], decision: envoy/authz/tried, dry_run: true, builtins: [http.send]}
`

const peerPolicy = `package envoy.authz

default allow := false

allow if http.send({"method": "GET", "url": "URL"}).body[_] == input.parsed_path[0]

tried := input.parsed_path[0] == "tea"
`

// peerRecords has policy-only APIs decide, and returns the configuration and how often the
// server of the policy was asked.
func peerRecords(t *testing.T) (file, policy string, count *atomic.Int32) {
	t.Helper()
	count = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		count.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`["tea", "milk"]`))
	}))
	defer server.Close()
	dir := t.TempDir()
	file, policy = filepath.Join(dir, "countersign.yaml"), strings.Replace(peerPolicy, "URL", server.URL, 1)
	write(t, file, peerConfiguration)
	write(t, filepath.Join(dir, "policy.rego"), policy)
	system := startedAt(t, file)
	for _, api := range []authz.API{"legacy", "trial"} {
		for _, path := range []string{"/tea", "/milk", "/coffee"} {
			http := map[string]any{"path": path, "headers": map[string]any{"authorization": "Bearer s3cr3t"}}
			d := system.Pipeline.Check(t.Context(), &authz.Request{API: api, Method: "GET", Host: "a.example", Target: path,
				Attributes: func() map[string]any { return map[string]any{"request": map[string]any{"http": http}} }})
			if want := api == "trial" || path != "/coffee"; d.Allowed != want {
				t.Fatalf("%s %s: %+v, want allowed %v", api, path, d, want)
			}
		}
	}
	if err := system.Close(); err != nil {
		t.Fatal(err)
	}
	return file, policy, count
}

// TestReplayOfPolicyOnlyAPIs holds that what such an API decided is decided again by what
// was kept, denials and dry runs too, and by what the network answered then; and that one
// of them can have a candidate.
func TestReplayOfPolicyOnlyAPIs(t *testing.T) {
	file, policy, count := peerRecords(t)
	candidate := filepath.Join(t.TempDir(), "policy.rego")
	write(t, candidate, strings.Replace(policy, "== input.parsed_path[0]\n", "== input.parsed_path[0]\n\nallow if input.parsed_path[0] == \"coffee\"\n", 1))
	counts := func(sames, flips int) map[outcome]int {
		return map[outcome]int{same: sames, flipped: flips, changed: 0, lacking: 0, withheld: 0, failed: 0, native: 0}
	}
	if diff := cmp.Diff(counts(6, 0), replayOf(t, file, exitOK).Counts); diff != "" {
		t.Errorf("by the same policies (-want +got):\n%s", diff)
	}
	told := replayOf(t, file, exitFailed, "--api", "legacy", "--policy", candidate)
	if diff := cmp.Diff(counts(2, 1), told.Counts); diff != "" {
		t.Errorf("by a candidate (-want +got):\n%s", diff)
	}
	write(t, candidate, "package envoy.authz\n\ntried if input.parsed_path[0] != \"tea\"\n\nallow := true")
	if diff := cmp.Diff(counts(0, 3), replayOf(t, file, exitFailed, "--api", "trial", "--policy", candidate).Counts); diff != "" {
		t.Errorf("of a dry run (-want +got):\n%s", diff)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"replay", "--config", file, "--api", "bank"}, world{environ: os.LookupEnv, stdout: &out, stderr: &out}); code != exitWrong ||
		!strings.Contains(out.String(), "countersign.yaml:2: apis: have no policy-only one of the name bank") {
		t.Errorf("of an API that is not there, replay exits %d: %s", code, out.String())
	}
	if count.Load() != 3 {
		t.Errorf("the network was asked %d times, want the 3 of then", count.Load())
	}
}

// decideInPlaceOfOPA decides by the files in the current folder, records it, and returns the
// last decision's id.
func decideInPlaceOfOPA(t *testing.T, paths ...string) (last string) {
	t.Helper()
	cfg, err := config.LoadPeer(config.Peer{File: "config.yaml", Policies: []string{"policy.rego"}, V0: true}, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	system := started(t, cfg)
	for _, path := range paths {
		last = system.Pipeline.Check(t.Context(), &authz.Request{Method: "GET", Host: "a.example", Target: path,
			Attributes: func() map[string]any {
				return map[string]any{"request": map[string]any{"http": map[string]any{"path": path}}}
			}}).ID.String()
	}
	if err := system.Close(); err != nil {
		t.Fatal(err)
	}
	return last
}

// TestReplayInPlaceOfOPA holds that what was decided by OPA's configuration can be decided
// again by it.
func TestReplayInPlaceOfOPA(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "config.yaml", "plugins: {envoy_ext_authz_grpc: {path: envoy/authz/allow}}\n")
	write(t, "policy.rego", "package envoy.authz\n\ndefault allow = false\n\nallow { input.parsed_path[0] == \"tea\" }")
	write(t, "candidate.rego", "package envoy.authz\n\nallow = true")
	peer := []string{"--opa-config", "config.yaml", "--v0-compatible", "--allow", "http.send"}
	var out bytes.Buffer
	told := world{environ: os.LookupEnv, stdout: &out, stderr: &out}
	if code := run(t.Context(), append(append([]string{"replay"}, peer...), "policy.rego"), told); code != exitWrong || !strings.Contains(out.String(), "is no folder that can be read") {
		t.Errorf("replay of no records exits %d: %s", code, out.String())
	}
	decideInPlaceOfOPA(t, "/tea", "/milk", "/coffee")
	for candidate, want := range map[string]string{"policy.rego": "SAME  all of 3", "candidate.rego": "FLIPPED  2 of 3"} {
		out.Reset()
		if run(t.Context(), append(append([]string{"replay"}, peer...), candidate), told); !strings.HasPrefix(out.String(), want) {
			t.Errorf("replay of %s tells %s, want %q", candidate, out.String(), want)
		}
	}
	for wrong, args := range map[string][]string{
		"takes no --policy and no --api": append(peer, "--policy", "x"),
		"only with --opa-config":         {"--allow", "http.send"},
		`"x" is no argument`:             {"x"},
	} {
		out.Reset()
		if code := run(context.Background(), append([]string{"replay"}, args...), told); code != exitWrong || !strings.Contains(out.String(), wrong) {
			t.Errorf("replay %v exits %d: %s, want %q", args, code, out.String(), wrong)
		}
	}
}

// TestExplainInPlaceOfOPA holds that whatever serves in place of opa-envoy-plugin can be
// explained, a request and a decision alike.
func TestExplainInPlaceOfOPA(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config.yaml", "plugins: {envoy_ext_authz_grpc: {path: envoy/authz/allow}}\n")
	write(t, "policy.rego", "package envoy.authz\n\ndefault allow = false\n\nallow { input.parsed_path[0] == \"tea\" }")
	write(t, "asking.rego", "package envoy.authz\n\nallow { http.send({\"method\": \"GET\", \"url\": \"http://127.0.0.1:1\"}).status_code == 200 }")
	write(t, "request.json", `{"attributes": {"request": {"http": {"method": "GET", "host": "a.example", "path": "/milk"}}}}`)
	id := decideInPlaceOfOPA(t, "/milk")
	peer := []string{"explain", "--opa-config", "config.yaml", "--v0-compatible", "--state", "state"}
	for _, test := range []struct {
		more []string
		code int
		want string
	}{
		{[]string{"policy.rego", "request.json"}, exitOK, `policy.rego:5: input.parsed_path[0] == "tea"   (input.parsed_path[0] = "milk")`},
		{[]string{"--decision", id, "--input", "policy.rego"}, exitOK, `policy.rego:5: input.parsed_path[0] == "tea"   (input.parsed_path[0] = "milk")`},
		{[]string{"--allow", "http.send", "asking.rego", "request.json"}, exitOK, "envoy.authz.allow does not hold, asking.rego:3"},
		{[]string{"asking.rego", "request.json"}, exitWrong, "http.send is not for policies"},
		{[]string{"--state", "elsewhere", "--decision", id, "policy.rego"}, exitWrong, "has no record of " + id},
		{[]string{"--decision", id, "--policy", ".", "policy.rego"}, exitWrong, "takes no --policy beside --opa-config"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), slices.Concat(peer, test.more), world{environ: os.LookupEnv, stdout: &out, stderr: &out}); code != test.code || !strings.Contains(out.String(), test.want) {
			t.Errorf("explain %v exits %d, want %d and %q:\n%s", test.more, code, test.code, test.want, out.String())
		}
	}
}
