package rego

import (
	"bytes"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/bundle"
	opabundle "github.com/open-policy-agent/opa/v1/plugins/bundle"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego/bundles"
	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// setOf joins bundles as they come from a server, each the files of an archive.
func setOf(t *testing.T, all map[string]map[string]string, order ...string) Config {
	t.Helper()
	cfg := Config{Set: &bundles.Set{ID: "set"}, Downloads: bundles.Config{Bundles: map[string]opabundle.Source{}}}
	for _, name := range order {
		read, err := bundle.NewReader(bytes.NewReader(bundlestest.Pack(t, all[name]))).Read()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Set.Bundles = append(cfg.Set.Bundles, &bundles.Bundle{Bundle: authz.Bundle{Name: name}, Content: &read})
		cfg.Downloads.Bundles[name] = opabundle.Source{}
	}
	return cfg
}

// TestFilesOfABundleStayInIt holds that the names in an archive lead to no module of the
// library, and to none of another bundle.
func TestFilesOfABundleStayInIt(t *testing.T) {
	const closed = "package countersign.site\n\ndeny contains \"closed\" if true\n"
	rules := map[string]string{"/.manifest": `{"roots": ["countersign/site"]}`, "/site.rego": closed}
	own := "package countersign.standard\n\ndecision := true\n"
	for name, test := range map[string]struct {
		other map[string]string
		says  string
	}{
		"out to the library":         {map[string]string{"../(standard library)/standard.rego": own}, "embedded library"},
		"out to a file beside it":    {map[string]string{"a/../../(standard library)/more.rego": own}, "embedded library"},
		"out to another bundle":      {map[string]string{"/../rules/site.rego": "package other\n"}, ""},
		"into a bundle by its name":  {map[string]string{"/x.rego": "package other\n", "./x.rego": "package other\n"}, `"others/x.rego" has the place of another`},
		"with a dot, as tar has it":  {map[string]string{"./x.rego": "package other\n"}, ""},
		"a library of the same name": {map[string]string{"/(standard library)/standard.rego": "package other\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.other["/.manifest"] = `{"roots": ["other", "countersign/standard"]}`
			cfg := setOf(t, map[string]map[string]string{"rules": rules, "others": test.other}, "others", "rules")
			loaded, err := load(cfg)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("load = %v, want %q", err, test.says)
				}
				return
			}
			if err != nil || string(loaded.raw["rules/site.rego"]) != closed {
				t.Errorf("load = %v with site.rego %q, want what its own bundle has", err, loaded.raw["rules/site.rego"])
			}
		})
	}
	nested := setOf(t, map[string]map[string]string{"a": {"/b/site.rego": "package other\n"}, "a/b": {"/site.rego": closed}}, "a", "a/b")
	if _, err := load(nested); err == nil || !strings.Contains(err.Error(), `"a/b/site.rego" has the place of another`) {
		t.Errorf("load of bundles named within each other = %v, want it refused", err)
	}
}

// TestNoFolderIsTheLibrarys holds it for files beside each other, too.
func TestNoFolderIsTheLibrarys(t *testing.T) {
	const file = "(standard library)/standard.rego"
	got := problems(t, "", map[string]string{file: "package countersign.standard\n\ndecision := true\n"})
	if len(got) != 1 || !strings.Contains(got[0], `file "`+file+`" has the place of another`) {
		t.Errorf("New = %q, want the file refused", got)
	}
}
