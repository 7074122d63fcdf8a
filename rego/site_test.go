package rego

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// write makes a directory of the files, by name.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// engine compiles a policy of the files.
func engine(t testing.TB, decision string, files map[string]string) *Engine {
	t.Helper()
	e, err := New(Config{Path: write(t, files), Decision: decision})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// standardEngine is the library with policyData.
func standardEngine(t testing.TB) *Engine {
	return engine(t, "", map[string]string{"data.json": policyData})
}

// own compiles one module of a site's own, whose decision is site.decision.
func own(t testing.TB, module string) *Engine {
	return engine(t, "site.decision", map[string]string{"site.rego": module})
}

// decide decides, and holds that what is kept of the facts is decided the same again.
func decide(t testing.TB, e *Engine, facts *authz.Facts) authz.Verdict {
	t.Helper()
	verdict, err := e.Decide(t.Context(), facts)
	if err != nil {
		t.Fatal(err)
	}
	replaysAs(t, e, facts, verdict, nil)
	return verdict
}
