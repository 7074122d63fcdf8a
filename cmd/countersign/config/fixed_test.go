package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const running = `listen: 127.0.0.1:9191
timeout: 1s
state: state
region: GB
apis: [{name: a, document: a.yaml, audiences: [x]}]
issuers:
- {issuer: "https://i", jwks: {url: "https://i/k"}, profile: oauth, kind: client}
- {issuer: "https://j", jwks: {file: j.json}, profile: oauth, kind: client}
ownership: {account: {engine: sqlite, database: bank.db, query: select 1}}
consent: {engine: sqlite, database: bank.db, query: select 2}
policy: {path: policy}
`

func TestWhatCannotChangeWhileRunning(t *testing.T) {
	load := func(text string) *Config {
		t.Helper()
		t.Chdir(t.TempDir()) // the same paths each time, since they are relative
		if err := os.WriteFile("c.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load("c.yaml", os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const fixed = ": cannot change while running; restart"
	tests := []struct {
		name, from, to string
		want           []string
	}{
		{"nothing", "", "", nil},
		{"a comment", "region: GB", "region: GB # here", nil},
		{"region", "region: GB", "region: US", nil},
		{"where client certificates are read", "region: GB", "client_certificate: xfcc\nxfcc_elements: 2", nil},
		{"an API", "name: a, document: a.yaml", "name: b, document: b.yaml", nil},
		{"a policy", "path: policy", "path: other", nil},
		{"what tokens must be", "kind: client", "kind: customer, skew: 1s, algorithms: [ES256]", nil},
		{"an issuer less", `- {issuer: "https://j", jwks: {file: j.json}, profile: oauth, kind: client}` + "\n", "", []string{"c.yaml:6: issuers: no longer have https://j, which cannot be removed while running; restart"}},
		{"the listener", "9191", "9192", []string{"c.yaml:1: listen" + fixed}},
		{"a key of the listener", "timeout: 1s\n", "", []string{"c.yaml:1: timeout" + fixed}},
		{"the console", "state:", "admin: 127.0.0.1:1\nstate:", []string{"c.yaml:3: admin" + fixed}},
		{"the state, which is where keys and records are kept", "state: state", "state: other",
			[]string{"c.yaml:1: audit.folder" + fixed, "c.yaml:3: state" + fixed, "c.yaml:7: issuers[0].jwks.cache_dir" + fixed}},
		{"the record", "state: state", "state: state\naudit: {folder: r}", []string{"c.yaml:4: audit.folder" + fixed}},
		{"a store", "account: {engine: sqlite, database: bank.db", "account: {engine: sqlite, database: other.db", []string{"c.yaml:9: ownership.account.database" + fixed}},
		{"a query", "select 1", "select 3", []string{"c.yaml:9: ownership.account.query" + fixed}},
		{"another type of object", "ownership: {account:", "ownership: {card:",
			[]string{"c.yaml:9: ownership.account: cannot be removed while running; restart", "c.yaml:9: ownership.card: cannot be added while running; restart"}},
		{"the only store of its kind", "consent: {engine: sqlite, database: bank.db, query: select 2}\n", "", []string{"c.yaml:1: consent" + fixed}},
		{"consents in another store", "select 2", "select 4", []string{"c.yaml:10: consent.query" + fixed}},
		{"a key set", "https://i/k", "https://i/l", []string{"c.yaml:7: issuers[0].jwks.url" + fixed}},
		{"an issuer", `"https://j"`, `"https://k"`, []string{
			"c.yaml:6: issuers: no longer have https://j, which cannot be removed while running; restart",
			"c.yaml:8: issuers[1].issuer: is not one of those at start: key sets cannot be added while running; restart"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(running, test.from) {
				t.Fatalf("%q is not there", test.from)
			}
			var got []string
			for _, problem := range load(strings.Replace(running, test.from, test.to, 1)).Fixed(load(running)) {
				got = append(got, problem.Error())
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Fixed() (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFilesAreThoseOfASnapshot holds that stores and records, which change with every
// request, are not among them.
func TestFilesAreThoseOfASnapshot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte(running), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{file, filepath.Join(dir, "a.yaml"), filepath.Join(dir, "j.json"), filepath.Join(dir, "policy")}
	if diff := cmp.Diff(want, c.Files()); diff != "" {
		t.Errorf("Files() (-want +got):\n%s", diff)
	}
}
