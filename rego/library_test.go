package rego

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	opa "github.com/open-policy-agent/opa/v1/rego"
)

// libraryTests is the library with its own tests.
func libraryTests(t *testing.T) *source {
	t.Helper()
	loaded, err := load(Config{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("library/*_test.rego")
	if err != nil || len(files) < 3 {
		t.Fatalf("the library has the tests %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := loaded.add(file, text); err != nil {
			t.Fatal(err)
		}
	}
	return loaded
}

func TestLibraryPassesItsOwnTests(t *testing.T) {
	var report strings.Builder
	if err := libraryTests(t).test(t.Context(), &report); err != nil {
		t.Errorf("%v\n%s", err, report.String())
	}
}

// TestLibraryDeclaresEveryReason holds METADATA against the order in which reasons are told,
// and has each reason told.
func TestLibraryDeclaresEveryReason(t *testing.T) {
	s := libraryTests(t)
	declared := []string{}
	for name, module := range s.modules {
		for _, rule := range module.Rules {
			if reason := declaredReason(rule); isLibrary(name) && reason != "" && !slices.Contains(declared, reason) {
				declared = append(declared, reason)
			}
		}
	}
	want := append(s.waivable(), append(unwaivable, "nothing_grants")...)
	slices.Sort(declared)
	slices.Sort(want)
	if diff := cmp.Diff(want, declared); diff != "" {
		t.Errorf("reasons (-told +declared):\n%s", diff)
	}
	told := []string{}
	for _, reason := range evaluated(t, s, "data.countersign.standard.reasons_test.told").([]any) {
		told = append(told, reason.(string))
	}
	if diff := cmp.Diff(declared, told); diff != "" {
		t.Errorf("reasons (-declared +told by a test):\n%s", diff)
	}
}

// TestLibraryTestsComeToEveryLine holds that no rule of the library, and no condition of
// one, goes untried.
func TestLibraryTestsComeToEveryLine(t *testing.T) {
	s := libraryTests(t)
	policy, err := s.uncompiled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	covered := cover.New()
	results, err := policy.runner().SetModules(s.modules).SetCoverageRuns(nil).SetCoverageQueryTracer(covered).RunTests(t.Context(), policy.txn)
	if err != nil {
		t.Fatal(err)
	}
	for result := range results {
		if !result.Pass() {
			t.Error(result)
		}
	}
	library := maps.Clone(s.modules)
	maps.DeleteFunc(library, func(name string, _ *ast.Module) bool { return !isLibrary(name) })
	report := covered.Report(library)
	for name := range library {
		for _, gap := range gaps(report.Files[name]) {
			t.Errorf("%s: no test comes to line %d-%d", name, gap[0], gap[1])
		}
	}
}

// TestLibraryTestsCoverWhatItReads holds the base of the library's own tests
// against what the library can read: a path that the base lacks is never taken away.
func TestLibraryTestsCoverWhatItReads(t *testing.T) {
	base := evaluated(t, libraryTests(t), "data.countersign.standard_test.base")
	// These grant, or stand in for another: tests of their own take them away.
	apart := []string{"input.operation.public", "input.operation.grant", "input.consent.open_ended"}
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	readsOf(t, e, apart, base)
}

// TestLibraryTestsCoverItsTables is the same of the tables' rules, and of the tables.
func TestLibraryTestsCoverItsTables(t *testing.T) {
	s := libraryTests(t)
	cases := evaluated(t, s, "data.countersign.standard.tables_test.cases").(map[string]any)
	bases := []any{evaluated(t, s, "data.countersign.standard_test.base")}
	var tables []any
	for _, each := range cases {
		bases = append(bases, each.(map[string]any)["input"])
		tables = append(tables, each.(map[string]any)["data"])
	}
	apart := []string{"input.operation.public", "input.operation.grant", "input.consent.open_ended"}
	readsOf(t, engine(t, "", map[string]string{"data.json": `{"access": {}}`}), apart, bases...)
	for name, module := range s.modules {
		ast.WalkRefs(module, func(ref ast.Ref) bool {
			path := ref.ConstantPrefix().String()
			if isLibrary(name) && strings.HasPrefix(path, "data.access.") &&
				!slices.ContainsFunc(tables, func(table any) bool { return lookup(table, path) != nil }) {
				t.Errorf("the library reads %s, and no case of its tests has that", path)
			}
			return false
		})
	}
}

// readsOf fails for a path that the engine reads and none of the documents has, and for
// one that a document has and the engine does not read.
func readsOf(t *testing.T, e *Engine, apart []string, documents ...any) {
	t.Helper()
	reaches := e.Reaches()
	for _, path := range reaches {
		if !slices.Contains(apart, path) && !slices.ContainsFunc(documents, func(d any) bool { return lookup(d, path) != nil }) {
			t.Errorf("the library reads %s, and its tests' base has no such path", path)
		}
	}
	for _, document := range documents {
		for _, path := range leaves(document, "input") {
			if !slices.ContainsFunc(reaches, func(r string) bool { return path == r || strings.HasPrefix(path, r+".") }) {
				t.Errorf("the tests' base has %s, which the library does not read", path)
			}
		}
	}
}

func evaluated(t *testing.T, s *source, query string) any {
	t.Helper()
	policy, err := s.compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results, err := opa.New(opa.Compiler(policy.compiler), opa.Store(policy.store), opa.Query(query)).Eval(t.Context())
	if err != nil || len(results) != 1 {
		t.Fatalf("Eval(%s) = %v, %v", query, results, err)
	}
	return results[0].Expressions[0].Value
}

func lookup(document any, path string) any {
	for _, part := range strings.Split(path, ".")[1:] {
		object, _ := document.(map[string]any)
		document = object[part]
	}
	return document
}

func leaves(document any, path string) []string {
	switch document := document.(type) {
	case map[string]any:
		var all []string
		for key, value := range document {
			all = append(all, leaves(value, path+"."+key)...)
		}
		return all
	default:
		return []string{path}
	}
}

// detailed asks for authorization details, which the library leaves to a site.
const detailed = `package countersign.site

import data.countersign.standard.details

# METADATA
# title: Accounts are read by who was authorized to in detail
# custom: {reason: not_authorized}
deny contains "not_authorized" if count(details.granting({"type": "account_information", "actions": ["read"]})) == 0
`

// TestEngineFailsClosed takes every path of a real request's input away in turn,
// and puts values of wrong types there, in front of the compiled engine.
func TestEngineFailsClosed(t *testing.T) {
	failsClosed(t, policyData, map[string][]string{
		"/operation/permission": {"absent"}, "/objects/0/relation": {"any"},
	})
}

// TestEngineFailsClosedByTables is the same with every table that bears on a customer.
func TestEngineFailsClosedByTables(t *testing.T) {
	failsClosed(t, customersTables, map[string][]string{
		// Nobody acts for her.
		"/caller/actor": {"absent"},
	})
}

// failsClosed takes the paths away from what is allowed by the data. What else may be taken
// away there, or be of the wrong type, is more.
func failsClosed(t *testing.T, data string, more map[string][]string) {
	t.Helper()
	e := engine(t, "", map[string]string{"data.json": data, "site.rego": detailed})
	facts := fullFacts()
	// Nothing but the requirements grants here.
	facts.Match.Operation.Grant = ""
	input, err := e.document.of(facts)
	if err != nil {
		t.Fatal(err)
	}
	// What may be taken away, or be of the wrong type, and why.
	harmless := map[string][]string{
		// What an operation does not ask for is not required; with [] neither.
		"/operation/step_up":            {"absent"},
		"/operation/step_up/acr_values": {"absent"}, "/operation/step_up/max_age": {"absent"},
		"/operation/consent": {"absent", "[]"}, "/operation/consent/0": {"absent"},
		"/operation/regions": {"absent", "[]"},
		// An object that is not named is not asked for.
		"/objects": {"[]"}, "/objects/0": {"absent"},
		// An element that does not say where it holds, holds here.
		"/token/authorization_details/0/locations": {"absent"},
		// The library does not read these.
		"/token/authorization_details/0/limit": {"any"},
		"/objects/0/where":                     {"any"},
		// The other region, and the other permission, is what counts.
		"/operation/regions/1": {"any"}, "/consent/permissions/1": {"any"},
		// These grant or satisfy only when they are true.
		"/operation/public":   {"absent", "null", `""`, "[]", "{}", "0", "true", `"abc"`},
		"/consent/open_ended": {"any"},
		// This is what it is, or is of the right type.
		"/objects/0/owned": {"true"}, "/operation/id": {`"abc"`}, "/consent/id": {`"abc"`},
	}
	maps.Copy(harmless, more)
	for _, path := range paths(ast.NewTerm(input), nil) {
		for _, wrong := range []string{"absent", "null", `""`, "[]", "{}", "0", "true", `"abc"`} {
			verdict, err := e.decide(t.Context(), changed(input, path, wrong), facts.Time, facts.ID)
			name := pointer(path)
			expected := harmless[name]
			if want := slices.Contains(expected, "any") || slices.Contains(expected, wrong); verdict.Allowed != want {
				t.Errorf("%s %s: allowed = %v (%v, %v), want %v", name, wrong, verdict.Allowed, verdict.Refusals, err, want)
			}
		}
	}
}

// paths are those of every value below the document's root.
func paths(term *ast.Term, at []*ast.Term) [][]*ast.Term {
	var all [][]*ast.Term
	below := func(key, value *ast.Term) {
		path := append(slices.Clone(at), key)
		all = append(append(all, path), paths(value, path)...)
	}
	switch value := term.Value.(type) {
	case ast.Object:
		value.Foreach(below)
	case *ast.Array:
		for i := range value.Len() {
			below(ast.IntNumberTerm(i), value.Elem(i))
		}
	}
	return all
}

// changed is the document with another value at the path, or without it.
func changed(document ast.Value, path []*ast.Term, value string) ast.Value {
	if len(path) == 0 {
		return ast.MustParseTerm(value).Value
	}
	absent := value == "absent" && len(path) == 1
	switch document := document.(type) {
	case ast.Object:
		copied := ast.NewObject()
		document.Foreach(func(key, kept *ast.Term) {
			if key.Equal(path[0]) {
				if absent {
					return
				}
				kept = ast.NewTerm(changed(kept.Value, path[1:], value))
			}
			copied.Insert(key, kept)
		})
		return copied
	case *ast.Array:
		copied := ast.NewArray()
		for i := range document.Len() {
			kept := document.Elem(i)
			if ast.IntNumberTerm(i).Equal(path[0]) {
				if absent {
					continue
				}
				kept = ast.NewTerm(changed(kept.Value, path[1:], value))
			}
			copied = copied.Append(kept)
		}
		return copied
	}
	return document
}

func pointer(path []*ast.Term) string {
	var text strings.Builder
	for _, part := range path {
		text.WriteString("/" + strings.Trim(part.String(), `"`))
	}
	return text.String()
}
