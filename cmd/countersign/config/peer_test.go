package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego"
)

func loadPeer(t *testing.T, text string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadPeer(Peer{File: file, Policies: []string{"policy.rego"}, State: "state"}, func(name string) (string, bool) { return "9999", name == "PORT" })
}

// TestPeerConfigurationIsHeeded holds that the plugin's keys say what they say there.
func TestPeerConfigurationIsHeeded(t *testing.T) {
	cfg, err := loadPeer(t, `
plugins:
  envoy_ext_authz_grpc:
    addr: grpc://127.0.0.1:${PORT}
    path: /envoy/authz/result
    dry-run: true
    proto-descriptor: book.pb
    skip-request-body-parse: true
    grpc-max-recv-msg-size: 1048576
    enable-reflection: true
labels: {a: b}
decision_logs: {console: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &PolicyOnly{DryRun: true, Peer: rego.PeerConfig{Paths: []string{"policy.rego"}, Decision: "/envoy/authz/result", Descriptors: "book.pb", SkipBody: true}}
	if diff := cmp.Diff(want, cfg.APIs[0].Policy); diff != "" || !cfg.APIs[0].IsPolicyOnly() || cfg.APIs[0].Contract.Name != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if cfg.Server.Listen != "127.0.0.1:9999" || cfg.Server.MaxMessageBytes != 1<<20 {
		t.Errorf("server %+v, want what the plugin's keys say", cfg.Server)
	}
	var left []string
	for _, key := range cfg.Unheeded() {
		left = append(left, key.Key)
	}
	if diff := cmp.Diff([]string{"plugins.envoy_ext_authz_grpc.enable-reflection", "labels", "decision_logs"}, left); diff != "" {
		t.Errorf("not heeded (-want +got):\n%s", diff)
	}
	at := cfg.Locate("apis[0].policy", authz.Problems{{Key: "decision"}})[0]
	if at.Key != "plugins.envoy_ext_authz_grpc.path" || at.Line != 5 {
		t.Errorf("a fault of the decision is told at %s, line %d, want the plugin's key", at.Key, at.Line)
	}
}

// TestPeerConfigurationFaults holds that what changes decisions and is not done is told,
// and what the plugin would overlook.
func TestPeerConfigurationFaults(t *testing.T) {
	const plugin = "plugins.envoy_ext_authz_grpc."
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"an empty plugin", "plugins: {envoy.ext_authz.grpc: {}}", nil},
		{"a query that is a path", "plugins: {envoy_ext_authz_grpc: {query: data.envoy.authz.result}}", nil},
		{"a query that is more", "plugins: {envoy_ext_authz_grpc: {query: 'x := data.envoy.authz.allow'}}", []string{plugin + "query"}},
		{"a query and a path", "plugins: {envoy_ext_authz_grpc: {query: data.a.b, path: a/b}}", []string{plugin + "path"}},
		{"a key that is overlooked", "plugins: {envoy_ext_authz_grpc: {dry_run: true}}", []string{plugin + "dry_run"}},
		{"a value of another type", "plugins: {envoy_ext_authz_grpc: {dry-run: perhaps}}", []string{plugin + "dry-run"}},
		{"a key twice", "plugins: {envoy_ext_authz_grpc: {path: a/b, path: c/d}}", []string{plugin + "path"}},
		{"an address of another scheme", "plugins: {envoy_ext_authz_grpc: {addr: 'http://127.0.0.1:1'}}", []string{plugin + "addr"}},
		{"a variable that is not there", "plugins: {envoy_ext_authz_grpc: {addr: '${NONE}'}}", []string{plugin + "addr"}},
		{"another plugin", "plugins: {other: {}}", []string{"plugins.other"}},
		{"bundles beside files", "bundles: {a: {resource: a.tar.gz}}\nservices: {s: {url: 'https://a.example'}}", []string{"bundles"}},
		{"an unknown key of bundles", "bundles: {a: {resorce: a.tar.gz}}", []string{"bundles", "bundles.a.resorce"}},
		{"one bundle, as it was once", "bundle: {name: a}", []string{"bundle"}},
		{"services alone", "services: [{name: s, url: 'https://a.example'}]", nil},
		{"discovery", "discovery: {name: a}", []string{"discovery"}},
		{"a key of nobody's", "plugin: {}", []string{"plugin"}},
		{"no YAML", "{", []string{""}},
	}
	for _, test := range tests {
		cfg, err := loadPeer(t, test.text)
		var got []string
		for _, problem := range authz.ProblemsOf(err) {
			got = append(got, problem.Key)
			if problem.Line == 0 || problem.Fix == "" {
				t.Errorf("%s: %v, want a line and what to do", test.name, problem)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if cfg == nil || test.want == nil && cfg.Server.Listen != ":9191" {
			t.Errorf("%s: %+v, want the plugin's address", test.name, cfg)
		}
	}
}

// TestPeerBundlesAreOPAs reads services in either form, and leaves of a status what it has
// for others.
func TestPeerBundlesAreOPAs(t *testing.T) {
	for _, services := range []string{"[{name: s, url: 'https://a.example'}]", "{s: {url: 'https://a.example'}}"} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		text := "services: " + services + "\nbundles: {a: {service: s, resource: a.tar.gz}}\nstatus: {service: s, console: true}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadPeer(Peer{File: file, State: "state"}, os.LookupEnv)
		if err == nil {
			err = cfg.Policy.Check()
		}
		if err != nil {
			t.Errorf("%s: %v", services, err)
			continue
		}
		got := cfg.Policy.Downloads
		if got.Services["s"].URL != "https://a.example" || got.Bundles["a"].Resource != "a.tar.gz" || got.Status.Service != "s" || !cfg.APIs[0].Policy.Peer.Bundled {
			t.Errorf("%s: %+v", services, got)
		}
		if left := cfg.Unheeded(); len(left) != 1 || left[0].Key != "status.console" || left[0].Line != 3 {
			t.Errorf("%s: not heeded %+v, want status.console", services, left)
		}
		if at := cfg.Locate("policy", authz.Problems{{Key: "bundles.a.service"}})[0]; at.Key != "bundles.a.service" || at.Line != 2 {
			t.Errorf("a fault is told at %s, line %d, want OPA's key", at.Key, at.Line)
		}
	}
}
