package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token"
)

type sample struct {
	Inner   inner            `yaml:",inline"`
	Wait    time.Duration    `yaml:"wait"`
	Count   int              `yaml:"count"`
	On      bool             `yaml:"on"`
	Names   []string         `yaml:"names"`
	Table   map[string]inner `yaml:"table"`
	Pointer *inner           `yaml:"pointer"`
	Hidden  string
}

type inner struct {
	Name string `yaml:"name"`
}

func environ(name string) (string, bool) {
	value, ok := map[string]string{"SECRET": "s3cret", "WAIT": "2s"}[name]
	return value, ok
}

func TestDecode(t *testing.T) {
	var got sample
	d := &decoder{environ: environ, lines: map[string]int{}}
	d.decode([]byte(`
name: &n bank ${SECRET}
wait: ${WAIT}
count: 3
on: true
names: [a, *n]
table:
  x: {name: y}
pointer: {name: z}
`), &got)
	want := sample{Inner: inner{"bank s3cret"}, Wait: 2 * time.Second, Count: 3, On: true,
		Names: []string{"a", "bank s3cret"}, Table: map[string]inner{"x": {"y"}}, Pointer: &inner{"z"}}
	if d.problems != nil {
		t.Fatal(d.problems)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decode() (-want +got):\n%s", diff)
	}
	for key, line := range map[string]int{"name": 2, "names[1]": 6, "table.x": 8, "table.x.name": 8, "pointer.name": 9} {
		if d.lines[key] != line {
			t.Errorf("line of %s = %d, want %d", key, d.lines[key], line)
		}
	}
}

func TestDecodeFindsEveryFault(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "is empty"},
		{"a comment alone", "# x", "is empty"},
		{"text alone", "x", `1: is text, not keys and values`},
		{"a second document", "name: x\n---\nnam: y", "2: is a second document"},
		{"a second document that is no YAML", "name: x\n---\n[", "is no YAML"},
		{"a tab", "a:\n\tb", "2: is no YAML"},
		{"an unknown key", "nam: x", `1: nam: is no key that is known here; did you mean "name"?`},
		{"a field without a key", "Hidden: x", "Hidden: is no key"},
		{"a key twice", "name: x\nname: y", "2: name: stands twice"},
		{"a number for text", "name: 5", `name: is a number, not text; put it in quotes: "5"`},
		{"a date for text", "name: 2026-11-21", "name: is a date"},
		{"a boolean for text", "name: true", "name: is true or false"},
		{"a list for text", "name: [x]", "name: is a list, not a single value"},
		{"text for a list", "names: x", "names: is text, not a list"},
		{"a list for a table", "table: [x]", "table: is a list, not keys and values"},
		{"a blank", "names:", "names: is left blank"},
		{"no unit", "wait: 5", `wait: "5" is no duration`},
		{"a fraction", "count: 1.5", `count: "1.5" is no whole number`},
		{"text for a boolean", "on: maybe", "on: \"maybe\" is neither true nor false"},
		{"an absent variable", "name: ${ABSENT}", "refers to ${ABSENT}, which the environment does not have"},
		{"a fault within a list", "table: {x: {nam: y}}", "table.x.nam: is no key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var into sample
			d := &decoder{environ: environ, lines: map[string]int{}}
			d.decode([]byte(test.text), &into)
			var lines []string
			for _, problem := range d.problems {
				problem.File = "f"
				lines = append(lines, problem.Error())
			}
			if len(lines) != 1 || !strings.Contains(lines[0], test.want) {
				t.Errorf("decode(%q) finds %q, want one problem with %q", test.text, lines, test.want)
			}
		})
	}
}

// FuzzDecode holds that no file makes the decoder panic or loop.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"name: x", "names: [a, b]", "a: &a [*a]", "x: {y: {z: 1}}", "<<: {name: x}", "? [a]\n: b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		var into sample
		(&decoder{environ: environ, lines: map[string]int{}}).decode(text, &into)
	})
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "countersign.yaml")
	err := os.WriteFile(file, []byte(`
listen: unix:authz.sock
state: state
apis: [{name: a, document: a.yaml, audiences: [x]}]
issuers: [{issuer: "https://i", jwks: {url: "https://i/k"}}, {issuer: "https://j", jwks: {file: /etc/j.json}}]
ownership: {account: {database: bank.db}}
consent: {database: bank.db}
replay: {redis: {password_file: p, tls: {ca_file: ca, certificate_file: c, key_file: /etc/k}}}
policy: {path: policy}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Server.Listen, c.State, c.APIs[0].Contract.Document, c.Issuers[0].JWKS.CacheDir, c.Issuers[1].JWKS.File,
		c.Ownership["account"].Database, c.Consent.Database, c.Policy.Path, c.Audit.Folder, c.Audit.PseudonymKey, c.Audit.InputKey,
		c.Replay.Redis.PasswordFile, c.Replay.Redis.TLS.CAFile, c.Replay.Redis.TLS.CertificateFile, c.Replay.Redis.TLS.KeyFile}
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	want := []string{"unix:" + in("authz.sock"), in("state"), in("a.yaml"), in("state", "keys"), "/etc/j.json",
		in("bank.db"), in("bank.db"), in("policy"), in("state", "records"), in("state", "pseudonym.key"), in("state", "input.key"),
		in("p"), in("ca"), in("c"), "/etc/k"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

// TestDigestIsOfWhatIsInForce holds that the environment's values count.
func TestDigestIsOfWhatIsInForce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "countersign.yaml")
	if err := os.WriteFile(file, []byte("state: s\napis: [{name: a}]\nregion: ${REGION}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := func(region string) string {
		c, err := Load(file, func(string) (string, bool) { return region, true })
		if err != nil {
			t.Fatal(err)
		}
		return string(c.Digest())
	}
	if first, again, other := digest("GB"), digest("GB"), digest("US"); first != again || first == other {
		t.Error("the digest does not follow the environment")
	}
}

func TestLocate(t *testing.T) {
	c := &Config{file: "c.yaml", lines: map[string]int{"": 1, "apis": 3, "apis[0]": 4, "apis[0].name": 4}}
	got := c.Locate("apis[0]", authz.Problems{{Key: "name"}, {Key: "hosts[2]"}, {Key: "x", File: "other", Line: 9}})
	want := authz.Problems{{File: "c.yaml", Line: 4, Key: "apis[0].name"}, {File: "c.yaml", Line: 4, Key: "apis[0].hosts[2]"}, {Key: "x", File: "other", Line: 9}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Locate() (-want +got):\n%s", diff)
	}
}

// The audiences of tokens are what a location of an authorization detail is held against.
func TestContractsKnowTheirAudiences(t *testing.T) {
	cfg := &Config{APIs: []API{{Tokens: token.API{Audiences: []string{"urn:rs"}}}, {}}}
	got := cfg.Contracts().APIs
	if diff := cmp.Diff([]string{"urn:rs"}, got[0].Audiences); diff != "" || got[1].Audiences != nil {
		t.Errorf("Contracts() = %+v, want the audiences of each", got)
	}
}
