// Package docs_test holds the documentation against the code: every key, reason and
// fact that there is must be there, and no other, and what is shown must work.
package docs_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
)

// fence begins and ends a block, which may be indented as part of a list.
var fence = regexp.MustCompile("^( *)```(.*)$")

// marks is the comment before a block.
var marks = regexp.MustCompile(`^ *<!-- test: (.*) -->$`)

func TestConfigurationNamesEveryKey(t *testing.T) {
	documented := firsts(t, rows(page(t, "configuration.md"), "Key"))
	same(t, documented, configKeys("", reflect.TypeFor[config.Config]()))
}

// configKeys are the keys of a type, as the page writes them: "apis[].name".
func configKeys(prefix string, of reflect.Type) []string {
	switch of.Kind() {
	case reflect.Pointer:
		return configKeys(prefix, of.Elem())
	case reflect.Slice:
		return configKeys(prefix+"[]", of.Elem())
	case reflect.Map:
		name := "<type>"
		if of.Key() == reflect.TypeFor[authz.ClientID]() {
			name = "<client>"
		}
		return configKeys(prefix+"."+name, of.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var keys []string
	for field := range of.Fields() {
		switch tag := field.Tag.Get("yaml"); tag {
		case "", "-":
		case ",inline":
			keys = append(keys, configKeys(prefix, field.Type)...)
		default:
			key := strings.TrimPrefix(prefix+"."+tag, ".")
			keys = append(append(keys, key), configKeys(key, field.Type)...)
		}
	}
	return keys
}

func TestConfigurationsLoad(t *testing.T) {
	count := 0
	for name, text := range pages(t) {
		for _, b := range blocksOf(text) {
			if b.mark != "config" {
				continue
			}
			count++
			file := filepath.Join(t.TempDir(), "countersign.yaml")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file, func(string) (string, bool) { return "", false })
			if err != nil {
				t.Errorf("%s:%d: %v", name, b.line, err)
				continue
			}
			for _, fault := range []error{cfg.Tokens().Check(), cfg.Server.Check(), cfg.CheckAdmin()} {
				if fault != nil {
					t.Errorf("%s:%d: %v", name, b.line, fault)
				}
			}
		}
	}
	if count < 2 {
		t.Errorf("%d configurations were loaded, want 2 at least", count)
	}
}

// TestFilesStandAsTheyAre holds what is shown of a file against it: all of it, or a part.
func TestFilesStandAsTheyAre(t *testing.T) {
	count := 0
	for name, text := range pages(t) {
		for _, b := range blocksOf(text) {
			kind, file, _ := strings.Cut(b.mark, " ")
			switch {
			case kind == "file" && page(t, file) != b.text, kind == "part" && !strings.Contains(page(t, file), b.text):
				t.Errorf("%s:%d: does not stand so in %s", name, b.line, file)
			case kind == "file" || kind == "part":
				count++
			}
		}
	}
	if count < 4 {
		t.Errorf("%d blocks were held against a file, want 4 at least", count)
	}
}

// reasons are all of authz: the numbers after the last are internal again.
func reasons() []authz.Reason {
	all := []authz.Reason{authz.Internal}
	for number := 1; number < 256; number++ {
		reason := authz.Reason(number)
		if reason.String() == authz.Internal.String() {
			break
		}
		all = append(all, reason)
	}
	return all
}

func TestConceptsNameEveryReason(t *testing.T) {
	statuses := map[string]string{}
	for _, row := range rows(page(t, "concepts.md"), "Step") {
		statuses[strings.Trim(row[1], "`")] = row[2]
	}
	var codes []string
	for _, reason := range reasons() {
		codes = append(codes, reason.String())
		if status := strconv.Itoa(reason.Status()); statuses[reason.String()] != status {
			t.Errorf("%s: status %q, want %s", reason, statuses[reason.String()], status)
		}
	}
	same(t, slices.Collect(maps.Keys(statuses)), codes)
}

// TestStepsStandInOrder holds the table of reasons to the order of the steps, since
// it says that the earliest wins. What may come at any step stands at the end.
func TestStepsStandInOrder(t *testing.T) {
	last := 0
	for _, row := range rows(page(t, "concepts.md"), "Step") {
		number, _, _ := strings.Cut(row[0], " ")
		step, err := strconv.Atoi(number)
		if number == "any" {
			step, err = 99, nil
		}
		if err != nil || step < last {
			t.Errorf("%s: step %q comes after step %d", row[1], row[0], last)
		}
		last = step
	}
}

// write makes a folder of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

var packageLine = regexp.MustCompile(`(?m)^package (\S+)$`)

// TestPoliciesCompile compiles every policy that is shown, by itself and, those of
// one package, together; and runs every test that is shown.
func TestPoliciesCompile(t *testing.T) {
	tests := 0
	for name, text := range pages(t) {
		site := map[string]string{}
		for _, b := range blocksOf(text) {
			if b.language != "rego" {
				continue
			}
			at := name + ":" + strconv.Itoa(b.line)
			found := packageLine.FindStringSubmatch(b.text)
			if found == nil {
				t.Errorf("%s: no package", at)
				continue
			}
			if strings.HasSuffix(found[1], "_test") {
				tests++
				files := maps.Clone(site)
				files["shown_test.rego"] = b.text
				var report strings.Builder
				if err := rego.Test(t.Context(), rego.Config{Path: write(t, files)}, &report); err != nil {
					t.Errorf("%s: %v\n%s", at, err, report.String())
				}
				continue
			}
			decision, is := strings.CutPrefix(b.mark, "decision ")
			if !is {
				decision = ""
			}
			if _, err := rego.New(rego.Config{Path: write(t, map[string]string{"shown.rego": b.text}), Decision: decision}); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			if found[1] == "countersign.site" {
				site[strconv.Itoa(b.line)+".rego"] = b.text
			}
		}
		if _, err := rego.New(rego.Config{Path: write(t, site)}); err != nil {
			t.Errorf("%s: together: %v", name, err)
		}
	}
	if tests == 0 {
		t.Error("no test was run")
	}
}

func TestJSONIsJSON(t *testing.T) {
	for name, text := range pages(t) {
		for _, b := range blocksOf(text) {
			if b.language == "json" && !json.Valid([]byte(b.text)) {
				t.Errorf("%s:%d: no JSON", name, b.line)
			}
		}
	}
}

// TestTablesLoad compiles the library with every table of data that is shown.
func TestTablesLoad(t *testing.T) {
	count := 0
	for name, text := range pages(t) {
		for _, b := range blocksOf(text) {
			if b.mark != "tables" {
				continue
			}
			count++
			if _, err := rego.New(rego.Config{Path: write(t, map[string]string{"data.yaml": b.text})}); err != nil {
				t.Errorf("%s:%d: %v", name, b.line, err)
			}
		}
	}
	if count == 0 {
		t.Error("no tables are shown")
	}
}

// TestRefusedBuiltinsAreRefused calls each built-in that the page says is refused.
func TestRefusedBuiltinsAreRefused(t *testing.T) {
	operands := map[string]string{
		"http.send": `{}`, "net.lookup_ip_addr": `"h"`, "opa.runtime": ``,
		"json.match_schema": `{}, {}`, "json.verify_schema": `{}`,
		"io.jwt.encode_sign": `{}, {}, {}`, "io.jwt.encode_sign_raw": `"", "", ""`,
		"crypto.x509.parse_and_verify_certificates": `""`, "strings.render_template": `"", {}`,
	}
	text := page(t, "writing-policies.md")
	for name, operand := range operands {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("%s is not named", name)
		}
		module := "package site\n\ndecision := true if " + name + "(" + operand + ")\n"
		_, err := rego.New(rego.Config{Path: write(t, map[string]string{"a.rego": module}), Decision: "site.decision"})
		if err == nil || !strings.Contains(err.Error(), name+" is not for policies") {
			t.Errorf("%s: New = %v, want that it is not for policies", name, err)
		}
	}
}

// TestRequirementsAreTheLibrarys holds the page's table against the library's order.
func TestRequirementsAreTheLibrarys(t *testing.T) {
	library := page(t, filepath.Join("..", "rego", "library", "standard.rego"))
	_, order, found := strings.Cut(library, "order := {")
	order, _, closed := strings.Cut(order, "}")
	if !found || !closed {
		t.Fatal("the library has no order")
	}
	var real []string
	for _, quoted := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(order, -1) {
		real = append(real, quoted[1])
	}
	documented := firsts(t, rows(page(t, "writing-policies.md"), "Requirement"))
	if !slices.Equal(documented, real) {
		t.Errorf("requirements are %q, want %q", documented, real)
	}
}

func TestExtensionKeysAreNamed(t *testing.T) {
	text := page(t, "openapi.md")
	var documented []string
	for _, row := range rows(text, "Key") {
		documented = append(documented, strings.Trim(row[0], "`"))
	}
	// The contract's own words: it tells what it knows when it refuses.
	refused := page(t, filepath.Join("..", "authz", "contract", "testdata", "problems.txtar"))
	var real []string
	for _, start := range []string{
		"x-countersign: is not a mapping; known are ",
		"get.x-countersign.objects[16]: is not a mapping; known are ",
	} {
		_, known, found := strings.Cut(refused, start)
		known, _, _ = strings.Cut(known, "\n")
		if !found {
			t.Errorf("%q is no longer told", start)
		}
		real = append(real, strings.Split(known, ", ")...)
	}
	same(t, documented, real)
}

// openKeys are parts of the input that somebody else gives their form.
var openKeys = []string{
	"input.attributes", "input.token.claims", "input.token.authorization_details", "input.parsed_body", "input.parsed_query", "input.operation.parameters",
}

// TestStandardPolicyIsAsTold takes from the page what the library is said to do
// where it is easily got wrong.
func TestStandardPolicyIsAsTold(t *testing.T) {
	tests := []struct {
		name   string
		site   string
		change func(f *authz.Facts)
		reason string
	}{
		{name: "all requirements satisfied", change: func(*authz.Facts) {}},
		{name: "nothing grants", reason: "nothing_grants", change: func(f *authz.Facts) {
			f.Match.Operation = &authz.Operation{ID: "a", Security: []authz.Requirement{{Scopes: []string{"s"}}}}
			f.Inspection.Objects = nil
		}},
		{name: "a public operation names an object", reason: "not_owner", change: func(f *authz.Facts) {
			f.Match.Operation = &authz.Operation{ID: "a"}
			f.Token, f.Owned = nil, nil
		}},
		{name: "a waiver grants", change: func(f *authz.Facts) {
			f.Match.Operation = &authz.Operation{ID: "a", Permission: "none", Security: []authz.Requirement{{}}}
			f.Inspection.Objects = nil
		}, site: "package countersign.site\n\nwaive contains \"permission\"\n"},
		{name: "a denial is not waived", change: func(*authz.Facts) {}, reason: "closed",
			site: "package countersign.site\n\ndeny contains \"closed\"\n\nwaive contains \"closed\"\n"},
		{name: "an earlier requirement is told before a denial", reason: "not_owner", change: func(f *authz.Facts) { f.Owned = nil; f.Match.Operation.Regions = nil },
			site: "package countersign.site\n\ndeny contains \"closed\"\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{"data.json": `{"roles": {"customer": ["read"]}}`}
			if test.site != "" {
				files["site.rego"] = test.site
			}
			engine, err := rego.New(rego.Config{Path: write(t, files)})
			if err != nil {
				t.Fatal(err)
			}
			facts := fullFacts()
			test.change(facts)
			verdict, err := engine.Decide(t.Context(), facts)
			if err != nil || verdict.Reason != test.reason || verdict.Allowed != (test.reason == "") {
				t.Errorf("Decide = %v, %q, %v, want reason %q", verdict.Allowed, verdict.Reason, err, test.reason)
			}
		})
	}
}

// envoyShell holds the parts that envoy.md shows, as a whole configuration.
const envoyShell = `
static_resources:
  listeners:
  - name: edge
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          use_remote_address: true
          xff_num_trusted_hops: 1
{{certificates}}
{{paths}}
{{traces}}
          http_filters:
{{cors}}
{{filter}}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: metadata
              domains: [api.bank.example]
              routes:
{{metadata}}
            - name: all
              domains: ["*"]
{{origins}}
{{routes}}
  clusters:
{{cluster}}
  - name: upstream
    type: STATIC
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
{{socket}}
`

// TestEnvoyTakesWhatIsShown has Envoy judge the parts that envoy.md shows.
func TestEnvoyTakesWhatIsShown(t *testing.T) {
	indents := map[string]int{"paths": 10, "traces": 10, "certificates": 10, "cors": 10, "filter": 10, "metadata": 14, "origins": 14, "routes": 14, "cluster": 2, "socket": 8}
	whole, shown := envoyShell, 0
	for _, b := range blocksOf(page(t, "envoy.md")) {
		part, ok := strings.CutPrefix(b.mark, "envoy ")
		if !ok {
			continue
		}
		shown++
		margin := strings.Repeat(" ", indents[part])
		text := margin + strings.ReplaceAll(strings.TrimSpace(b.text), "\n", "\n"+margin)
		whole = strings.ReplaceAll(whole, "{{"+part+"}}", text)
	}
	if shown != len(indents) || strings.Contains(whole, "{{") {
		t.Fatalf("%d parts are shown, want %d:\n%s", shown, len(indents), whole)
	}
	envoy := findEnvoy(t)
	file := filepath.Join(write(t, map[string]string{"envoy.yaml": whole}), "envoy.yaml")
	judged := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "--log-level", "error", "-c", file)
	if out, err := judged.CombinedOutput(); err != nil {
		t.Errorf("envoy: %v\n%s", err, out)
	}
}

// TestMetadataRouteIsPrinted holds the route that is shown against what the command's own
// tests have it print.
func TestMetadataRouteIsPrinted(t *testing.T) {
	for _, file := range txtar.Parse([]byte(page(t, "../cmd/countersign/testdata/script/metadata.txtar"))).Files {
		shown := func(b block) bool { return b.mark == "envoy metadata" && b.text == string(file.Data) }
		if file.Name == "route.yaml" && !slices.ContainsFunc(blocksOf(page(t, "envoy.md")), shown) {
			t.Errorf("envoy.md does not show what is printed:\n%s", file.Data)
		}
	}
}

func findEnvoy(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("COUNTERSIGN_ENVOY"), "envoy", filepath.Join("..", ".tools", "envoy", "bin", "envoy")} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no envoy: run this test by make test, which installs it")
	return ""
}

// isLine reports a line of code, as "L12".
func isLine(text, file, fragment string) bool {
	number, found := strings.CutPrefix(fragment, "L")
	line, err := strconv.Atoi(number)
	return found && err == nil && filepath.Ext(file) == ".rego" && line <= strings.Count(text, "\n")
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for name, text := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(withoutBlocks(text), -1) {
			target, err := url.Parse(found[1])
			if err != nil || target.IsAbs() {
				continue
			}
			file := name
			if target.Path != "" {
				file = filepath.Join(filepath.Dir(name), filepath.FromSlash(target.Path))
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %s leads nowhere", name, found[1])
				continue
			}
			if target.Fragment != "" && !slices.Contains(anchors(page(t, file)), target.Fragment) && !isLine(page(t, file), file, target.Fragment) {
				t.Errorf("%s: %s has no such heading", name, found[1])
			}
		}
	}
}
