package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/countersign-io/countersign"

// TestImportRules holds the house's import rules for everything but tests:
//
//   - authz imports only the standard library;
//   - only rego and its children import OPA, whose downloader is one of them; only envoy imports go-control-plane;
//   - a leaf imports authz, generated proto, its own children, and authz/sqlite,
//     which is a way to a store and decides nothing; never another leaf. The children
//     of one may import each other, but not the leaf. Only cmd, examples and
//     integration put leaves together.
func TestImportRules(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && file != ".." && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		importer := path.Dir(strings.TrimPrefix(filepath.ToSlash(file), "../"))
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if rule := breaks(importer, imported); rule != "" {
				t.Errorf("%s imports %s: %s", file, imported, rule)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were looked at", files)
	}
}

// breaks names the rule that an import breaks, or "".
func breaks(importer, imported string) string {
	inner, ours := strings.CutPrefix(imported, module+"/")
	switch {
	case importer == "authz" && strings.Contains(imported, "."):
		return "authz imports only the standard library"
	case within(imported, "github.com/open-policy-agent/opa") && !within(importer, "rego"):
		return "only rego and its children import OPA"
	case within(imported, "github.com/envoyproxy") && importer != "envoy":
		return "only envoy imports go-control-plane"
	case !ours || assembles(importer):
		return ""
	case within(importer, "proto"):
		return "proto imports nothing of ours"
	case inner == "authz" || within(inner, "proto") || within(inner, importer):
		return ""
	case inner == "authz/sqlite":
		return "" // a way to a store, which decides nothing
	case isChild(importer) && isChild(inner) && within(inner, path.Dir(importer)):
		return ""
	case strings.HasSuffix(importer, "test") && within(inner, path.Dir(importer)):
		return "" // a conformance suite tests the package it lies in
	}
	return "a leaf imports authz, proto, its own children, and authz/sqlite, which is a way to a store and decides nothing"
}

// isChild reports a package of a leaf that is not the leaf itself.
func isChild(name string) bool { return within(name, "authz") && strings.Count(name, "/") > 1 }

// assembles reports packages that put leaves together.
func assembles(importer string) bool {
	return within(importer, "cmd") || within(importer, "examples") || within(importer, "integration")
}

func within(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// TestZonesAreBuiltIn holds that the hours of policies do not hang on what a machine has of
// time zones, or on what OPA imports: a zone that is not there would refuse.
func TestZonesAreBuiltIn(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "rego", "clock.go"), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(parsed.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == `"time/tzdata"` }) {
		t.Error("rego does not import time/tzdata")
	}
}

func TestImportRulesHoldSomething(t *testing.T) {
	tests := []struct {
		importer, imported string
		ok                 bool
	}{
		{"authz", "context", true},
		{"authz", "golang.org/x/sync/errgroup", false},
		{"authz", module + "/authz/token", false},
		{"authz/token", module + "/authz", true},
		{"authz/token", module + "/authz/token/jwks", true},
		{"authz/token", module + "/authz/contract", false},
		{"authz/token/jwks", module + "/authz/token", false},
		{"authz/token/jwks", module + "/authz/token/jose", true},
		{"authz/certificate", module + "/authz/token/jose", false},
		{"authz/audit/vault", module + "/authz/audit/secret", true},
		{"authz/audit/vault", module + "/authz/token/jwks", false},
		{"authz/contract", "github.com/open-policy-agent/opa/v1/ast", false},
		{"rego", "github.com/open-policy-agent/opa/v1/ast", true},
		{"rego", module + "/authz/token", false},
		{"rego", module + "/rego/bundles", true},
		{"rego/bundles", "github.com/open-policy-agent/opa/v1/download", true},
		{"rego/bundles", module + "/rego", false},
		{"cmd/countersign/wire", "github.com/open-policy-agent/opa/v1/bundle", false},
		{"cmd/countersign", "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3", false},
		{"envoy", "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3", true},
		{"authz/audit", module + "/proto/countersign/decision/v1", true},
		{"cmd/countersign/wire", module + "/authz/token", true},
		{"authz/consent/consenttest", module + "/authz/consent", true},
		{"authz/ownership/sqlite", module + "/authz/sqlite", true},
		{"authz/sqlite", module + "/authz/ownership", false},
		{"authz/sqlite", module + "/authz/consent/sqlite", false},
		{"authz/ownership/sqlite", module + "/authz/consent/sqlite", false},
		{"authz", module + "/authz/sqlite", false},
	}
	for _, test := range tests {
		if rule := breaks(test.importer, test.imported); (rule == "") != test.ok {
			t.Errorf("breaks(%s, %s) = %q, want ok %v", test.importer, test.imported, rule, test.ok)
		}
	}
}
