package rego

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// TestPoliciesAreFormatted holds what people copy from to opa fmt.
func TestPoliciesAreFormatted(t *testing.T) {
	seen := 0
	for _, pattern := range []string{"library/*.rego", "../examples/*/policy/*.rego"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			formatted, err := format.SourceWithOpts(file, text, format.Opts{RegoVersion: ast.RegoV1})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(formatted), string(text)); diff != "" {
				t.Errorf("%s (-opa fmt +file):\n%s", file, diff)
			}
		}
	}
	if seen < 9 {
		t.Errorf("%d files were looked at, want 9 at least", seen)
	}
}
