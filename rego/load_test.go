package rego

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/countersign-io/countersign/authz"
)

// problems are those of New, its files as written.
func problems(t *testing.T, decision string, files map[string]string) []string {
	t.Helper()
	directory := write(t, files)
	_, err := New(Config{Path: directory, Decision: decision})
	if err == nil {
		return nil
	}
	var found authz.Problems
	if !errors.As(err, &found) {
		t.Fatalf("New = %v, want authz.Problems", err)
	}
	lines := make([]string, len(found))
	for i, problem := range found {
		if problem.What == "" || problem.Fix == "" {
			t.Errorf("%+v lacks what is wrong or what to do", problem)
		}
		problem.Fix = ""
		lines[i] = strings.ReplaceAll(problem.Error(), directory+"/", "")
	}
	return lines
}

func TestPoliciesThatDoNotLoad(t *testing.T) {
	for name, c := range map[string]struct {
		files    map[string]string
		decision string
		want     []string
	}{
		"the network is not for policies": {
			files: map[string]string{"pay.rego": "package countersign.site\n\ndeny contains \"x\" if http.send({\"url\": \"u\", \"method\": \"get\"}).status_code == 1\n"},
			want:  []string{"pay.rego:3: http.send is not for policies: it asks the network"},
		},
		"several faults are told at once": {
			files: map[string]string{"pay.rego": "package site\n\na if opa.runtime().env.X\n\nb if net.lookup_ip_addr(\"h\")\n"},
			want: []string{
				"pay.rego:3: opa.runtime is not for policies: it reads the environment",
				"pay.rego:5: net.lookup_ip_addr is not for policies: it asks the network",
			},
		},
		"schemas can refer to files and hosts": {
			files: map[string]string{"pay.rego": "package site\na if json.match_schema({}, {})[0]\n"},
			want:  []string{"pay.rego:2: json.match_schema is not for policies: a schema's $ref reads files and asks the network"},
		},
		"policies issue no tokens": {
			files: map[string]string{"pay.rego": "package site\na := io.jwt.encode_sign({}, {}, {})\n"},
			want:  []string{"pay.rego:2: io.jwt.encode_sign is not for policies: signatures are random, and policies issue no tokens"},
		},
		"files that do not parse": {
			files: map[string]string{"a.rego": "package a\np {\n", "b.rego": "package b\n\nq = \n"},
			want:  []string{"a.rego:3: ", "b.rego:4: ", "b.rego:4: "},
		},
		"variables that are not used": {
			files: map[string]string{"a.rego": "package a\np if {\n\tx := 1\n}\n"},
			want:  []string{"a.rego:3: assigned var x unused"},
		},
		"imports that are not used": {
			files: map[string]string{"a.rego": "package a\nimport data.b\np := 1\n"},
			want:  []string{"a.rego:2: import data.b unused"},
		},
		"the library's package": {
			files: map[string]string{"a.rego": "package countersign.standard\ngranted := true\n", "b.rego": "package countersign.standard.sub\nx := 1\n"},
			want: []string{
				"a.rego:1: package countersign.standard is the embedded library's",
				"b.rego:1: package countersign.standard is the embedded library's",
			},
		},
		"the library's package from without": {
			files: map[string]string{"a.rego": "package countersign\n\nstandard.granted := true\n"},
			want:  []string{"a.rego:3: the rule writes into the embedded library"},
		},
		"the library's package as a rule": {
			files: map[string]string{"a.rego": "package countersign\n\nstandard := true\n"},
			want:  []string{"a.rego:3: the rule writes into the embedded library"},
		},
		"the library's package by a key that varies": {
			files: map[string]string{"a.rego": "package countersign\n\nstandard[x] := true if some x in [\"granted\"]\n"},
			want:  []string{"a.rego:3: the rule writes into the embedded library"},
		},
		"a deny that is no set": {
			files: map[string]string{"a.rego": "package countersign.site\n\ndeny if input.caller.kind == \"staff\"\n\nwaive := \"permission\"\n"},
			want:  []string{"a.rego:3: deny and waive must be sets", "a.rego:5: deny and waive must be sets"},
		},
		"a deny that is an object": {
			files: map[string]string{"a.rego": "package countersign.site\n\ndeny[x] := true if some x in [\"a\"]\n\ndeny.a contains \"x\" if true\n"},
			want:  []string{"a.rego:3: deny and waive must be sets", "a.rego:5: deny and waive must be sets"},
		},
		"a deny from another package": {
			files: map[string]string{"a.rego": "package countersign\n\nsite.deny := true\n"},
			want:  []string{"a.rego:3: deny and waive must be sets"},
		},
		"reasons that are no codes": {
			files: map[string]string{"a.rego": "package countersign.site\n\ndeny contains \"not now\" if true\n\nwaive contains {\"Not-Owner\": \"a\"} if true\n"},
			want:  []string{`a.rego:3: "not now" is no reason`, `a.rego:5: "Not-Owner" is no reason`},
		},
		"data in the place of packages": {
			files: map[string]string{"data.json": `{"countersign": {"site": {"waive": ["permission"]}}}`},
			want:  []string{"data.countersign is for the packages of that name"},
		},
		"data in the place of a rule": {
			files: map[string]string{"data.json": `{"site": {"a": 1}}`, "a.rego": "package site\na := 2\n"},
			want:  []string{"a.rego:2: "},
		},
		"data that is no JSON":     {files: map[string]string{"data.json": `{`}, want: []string{""}},
		"data that is no object":   {files: map[string]string{"data.json": `[]`}, want: []string{""}},
		"a decision that is not":   {decision: "site.decision", want: []string{"decision: the policy has no rule \"site.decision\""}},
		"a decision that is data":  {decision: "site/a", files: map[string]string{"data.json": `{"site": {"a": true}}`}, want: []string{"decision: the policy has no rule \"site/a\""}},
		"a decision that is all":   {decision: "data", want: []string{"decision: the policy has no rule \"data\""}},
		"a package is no decision": {decision: "countersign.standard", want: []string{"decision: the policy has no rule \"countersign.standard\""}},
	} {
		t.Run(name, func(t *testing.T) {
			got := problems(t, c.decision, c.files)
			if len(got) != len(c.want) {
				t.Fatalf("problems = %q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %d = %q, want %q", i, got[i], want)
				}
			}
		})
	}
}

// TestMisspeltInput holds that a fact which no input has is a fault of the policy, not a
// condition that never holds.
func TestMisspeltInput(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"a section":             {`input.tokn.subject == "ann"`, `site.rego:4: input has no "tokn"; did you mean "token"?`},
		"a fact":                {`input.caller.subjct == "ann"`, `site.rego:4: input.caller has no "subjct"; did you mean "subject"?`},
		"a fact in the wrong":   {`input.token.subject == "ann"`, `site.rego:4: input.token has no "subject"; known are acr, amr, auth_time, `},
		"a fact of an object":   {`input.objects[_].owner`, `site.rego:4: input.objects[_] has no "owner"; did you mean "owned"?`},
		"a local name":          {"caller := input.caller\n\tcaller.rols", `site.rego:5: caller has no "rols"; did you mean "roles"?`},
		"below a text":          {`input.caller.kind.name`, `site.rego:4: undefined ref: input.caller.kind.name: input.caller.kind is string; `},
		"a wrong operand":       {`startswith(input.caller.roles, "a")`, `site.rego:4: startswith: invalid argument(s): given array[string], string, takes (`},
		"an object as a whole":  {`input.operation.step_up == {"max_age": 1}`, `is never object<max_age: number>; compare facts of one type, those of an object one by one; `},
		"a key of another type": {`input.caller[0]`, `site.rego:4: input.caller has no 0; known are`},
		"what is never equal":   {`input.caller.roles == "admin"`, `site.rego:4: match error: array[string] is never string`},
	} {
		t.Run(name, func(t *testing.T) {
			module := "package countersign.site\n\ndeny contains \"x\" if {\n\t" + c.body + "\n}\n"
			_, err := New(Config{Path: write(t, map[string]string{"site.rego": module})})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New = %v, want %q", err, c.want)
			}
		})
	}
	// What is open, and what is of the right type.
	open := "input.token.claims.any.thing\n\tinput.parsed_body.any.thing\n\tinput.attributes.any.thing\n\t" +
		"input.operation.parameters.any\n\tinput.parsed_query.any[0]\n\tinput.token.authorization_details[_].any.thing\n\t" +
		"input.parsed_path == [\"accounts\", \"1\"]\n\tinput.objects != []\n\tinput.consent.objects == [{\"type\": \"a\", \"id\": \"1\"}]"
	own(t, "package site\n\ndecision if {\n\t"+open+"\n}\n")
}

func TestPathThatIsNot(t *testing.T) {
	_, err := New(Config{Path: filepath.Join(t.TempDir(), "none")})
	var found authz.Problems
	if !errors.As(err, &found) || found[0].Key != "path" {
		t.Errorf("New = %v, want a problem of path", err)
	}
}

func TestSchemasInAnnotationsAreNotFetched(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	module := "package site\n\n# METADATA\n# scope: rule\n# schemas:\n#   - input: {\"$ref\": \"" + server.URL + "/schema\"}\n" +
		"decision if input.caller.kind == \"customer\"\n"
	_, err := New(Config{Path: write(t, map[string]string{"a.rego": module}), Decision: "site.decision"})
	server.Close()
	close(asked)
	for path := range asked {
		t.Errorf("New = %v, and asked the network for %s", err, path)
	}
}

func TestWhatIsNoPartOfAPolicy(t *testing.T) {
	e := engine(t, "", map[string]string{
		"data.json":           policyData,
		"deny_test.rego":      "package countersign.site\ndeny contains \"x\" if true\n",
		"..data/deny.rego":    "package countersign.site\ndeny contains \"x\" if true\n",
		".hidden.rego":        "package countersign.site\ndeny contains \"x\" if true\n",
		"README.md":           "# not a policy",
		"deep/er/ignored.txt": "{",
	})
	if verdict := decide(t, e, fullFacts()); !verdict.Allowed {
		t.Errorf("refused: %v", verdict.Refusals)
	}
}

func TestDataStandsUnderItsDirectory(t *testing.T) {
	e := engine(t, "site/decision", map[string]string{
		"site.rego":          "package site\ndecision if data.limits.gb.max == 12345678901234567890\n",
		"limits/gb/max.json": `{"max": 12345678901234567890}`,
		"limits/ie/any.yaml": "max: 5\n",
	})
	if verdict := decide(t, e, fullFacts()); !verdict.Allowed {
		t.Error("refused")
	}
}

func TestBundle(t *testing.T) {
	directory := write(t, map[string]string{
		"data.json":            policyData,
		"payments/pay.rego":    "package countersign.site\ndeny contains \"second_signer\" if input.caller.subject == \"ann\"\n",
		"payments/a_test.rego": "package countersign.site\ndeny contains \"not_this\" if true\n",
	})
	e, err := New(Config{Path: bundled(t, directory)})
	if err != nil {
		t.Fatal(err)
	}
	if verdict := decide(t, e, fullFacts()); verdict.Reason != "second_signer" || len(verdict.Refusals) != 1 {
		t.Errorf("Decide = %v, want second_signer alone", verdict.Refusals)
	}
	bad := bundled(t, write(t, map[string]string{"a/bad.rego": "package a\n\np := http.send({})\n"}))
	if _, err := New(Config{Path: bad}); err == nil || !strings.Contains(err.Error(), "bad.rego:3: http.send is not for policies") {
		t.Errorf("New = %v, want http.send refused", err)
	}
	if _, err := New(Config{Path: filepath.Join(directory, "data.json")}); err == nil {
		t.Error("New took a file that is no bundle")
	}
}

// bundled writes a directory as a bundle.
func bundled(t *testing.T, directory string) string {
	t.Helper()
	b, err := bundle.NewCustomReader(bundle.NewDirectoryLoader(directory)).Read()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := bundle.NewWriter(&text).Write(b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy.tar.gz")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDigest(t *testing.T) {
	files := func() map[string]string {
		return map[string]string{"data.json": `{"a": 1, "b": 2}`, "site.rego": "package site\ndecision := true\nother := true\n"}
	}
	digest := func(decision string, change func(files map[string]string)) string {
		files := files()
		change(files)
		return string(engine(t, decision, files).Digest())
	}
	same := func(map[string]string) {}
	base := digest("site.decision", same)
	for name, equal := range map[string]string{
		"another directory":       digest("site.decision", same),
		"another way to write it": digest("data.site.decision", same),
		"keys in another order":   digest("site/decision", func(f map[string]string) { f["data.json"] = `{"b": 2, "a": 1}` }),
		"tests are no part of it": digest("site/decision", func(f map[string]string) { f["site_test.rego"] = "package t\n" }),
	} {
		if equal != base {
			t.Errorf("%s: the digest differs", name)
		}
	}
	for name, other := range map[string]string{
		"decision": digest("site.other", same),
		"data":     digest("site.decision", func(f map[string]string) { f["data.json"] = `{"a": 1, "b": 3}` }),
		"module":   digest("site.decision", func(f map[string]string) { f["site.rego"] += "\n" }),
		"added":    digest("site.decision", func(f map[string]string) { f["x.rego"] = "package x\n" }),
	} {
		if other == base {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

func TestSitesTestsRun(t *testing.T) {
	site := "package countersign.site\ndeny contains \"no_staff\" if input.caller.kind == \"staff\"\n"
	test := func(condition string) map[string]string {
		return map[string]string{
			"site.rego": site,
			"site_test.rego": "package countersign.site_test\nimport data.countersign.standard\ntest_staff if {\n" +
				"\td := standard.decision with input as {\"caller\": {\"kind\": \"staff\"}}\n\t" + condition + "\n}\n",
		}
	}
	var report strings.Builder
	if err := Test(t.Context(), Config{Path: write(t, test(`"no_staff" in d.refusals`))}, &report); err != nil {
		t.Errorf("Test = %v\n%s", err, report.String())
	}
	err := Test(t.Context(), Config{Path: write(t, test(`d.allowed`))}, &report)
	if !errors.Is(err, errTestsFailed) || !strings.Contains(report.String(), "site_test.rego:3: data.countersign.site_test.test_staff: failed: line 5 does not hold: d.allowed") {
		t.Errorf("Test = %v, want a failure\n%s", err, report.String())
	}
	if err := Test(t.Context(), Config{Path: write(t, map[string]string{"site.rego": site})}, &report); !errors.Is(err, errNoTests) {
		t.Errorf("Test = %v, want no tests", err)
	}
	err = Test(t.Context(), Config{Path: write(t, test(`http.send({}).a == d`))}, &report)
	var found authz.Problems
	if !errors.As(err, &found) || found[0].Line != 5 {
		t.Errorf("Test = %v, want a problem in line 5", err)
	}
}

// TestCapabilitiesPublished holds that who reads the file may call what policies may.
func TestCapabilitiesPublished(t *testing.T) {
	text, err := Capabilities()
	if err != nil {
		t.Fatal(err)
	}
	published, err := ast.LoadCapabilitiesJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names(capabilities()), names(published)); diff != "" || published.AllowNet == nil || len(published.AllowNet) > 0 {
		t.Errorf("hosts %v, built-ins (-given +published):\n%s", published.AllowNet, diff)
	}
}

func names(capabilities *ast.Capabilities) []string {
	var names []string
	for _, builtin := range capabilities.Builtins {
		names = append(names, builtin.Name)
	}
	return names
}

func TestCapabilitiesAreOPAsOwnLessWhatDoesNotRepeat(t *testing.T) {
	if hosts := capabilities().AllowNet; hosts == nil || len(hosts) > 0 {
		t.Errorf("hosts = %v, want none, and not nil, which is any", hosts)
	}
	names := map[string]bool{}
	for _, builtin := range capabilities().Builtins {
		names[builtin.Name] = true
	}
	got := map[string]bool{}
	for _, name := range []string{"http.send", "opa.runtime", "net.lookup_ip_addr", "json.match_schema", "time.now_ns",
		"rand.intn", "uuid.rfc4122", "io.jwt.decode_verify", "io.jwt.verify_es256", "rego.parse_module", "trace", "net.cidr_contains",
		"crypto.x509.parse_and_verify_certificates", "crypto.x509.parse_and_verify_certificates_with_options", "strings.render_template"} {
		got[name] = names[name]
	}
	want := map[string]bool{"http.send": false, "opa.runtime": false, "net.lookup_ip_addr": false, "json.match_schema": false,
		"time.now_ns": true, "rand.intn": true, "uuid.rfc4122": true, "io.jwt.decode_verify": true, "io.jwt.verify_es256": true,
		"rego.parse_module": true, "trace": true, "net.cidr_contains": true, "crypto.x509.parse_and_verify_certificates": false,
		"crypto.x509.parse_and_verify_certificates_with_options": true, "strings.render_template": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("built-ins (-want +got):\n%s", diff)
	}
}

// TestEnginesAreMadeSideBySide holds that what engines share of the library is changed by
// none of them: the race detector looks on, and all decide alike.
func TestEnginesAreMadeSideBySide(t *testing.T) {
	path := write(t, map[string]string{"data.json": policyData})
	want := standardEngine(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			made, err := New(Config{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			verdict, err := made.Decide(t.Context(), fullFacts())
			if err != nil || !verdict.Allowed || !bytes.Equal(made.Digest(), want.Digest()) {
				t.Errorf("Decide() = %v, %v by %x, want allowed by %x", verdict.Allowed, err, made.Digest(), want.Digest())
			}
		})
	}
	group.Wait()
}

// TestTheLibraryStaysAsItWasParsed holds that neither to make engines nor to explain
// changes what the next one starts from.
func TestTheLibraryStaysAsItWasParsed(t *testing.T) {
	standardEngine(t)
	files, err := parsedLibrary()
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		anew, err := parse(file.name, file.text)
		if err != nil {
			t.Fatal(err)
		}
		if !anew.Equal(file.module) || anew.String() != file.module.String() {
			t.Errorf("%s is no longer as it was parsed", file.name)
		}
	}
}
