package compat

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// held is a row of the contract, and what holds it.
type held struct {
	Row   string   `yaml:"row"`
	Cases []string `yaml:"cases"`
	Test  string   `yaml:"test"`
	// Not is why there can be no case.
	Not string `yaml:"not"`
}

func contract(t *testing.T) []held {
	t.Helper()
	text, err := os.ReadFile("rows.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var rows []held
	if err := decoder.Decode(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// numbered are rows that have numbers of their own: none of them may be missing.
func numbered() []string {
	var rows []string
	for n := 1; n <= 49; n++ {
		rows = append(rows, fmt.Sprintf("3.1.%d", n))
	}
	for n := 1; n <= 7; n++ {
		rows = append(rows, fmt.Sprintf("2.2 body rule %d", n))
	}
	return append(rows, "2.3", "2.4", "2.5", "2.6", "2.7", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9")
}

// TestEveryRowIsHeld holds that each row of the contract has a case, a test or a reason,
// and that no case is of none.
func TestEveryRowIsHeld(t *testing.T) {
	left, known := map[string]bool{}, map[string]bool{}
	for _, r := range all(t) {
		left[r.Row], known[r.Row] = true, true
	}
	tests := testNames(t)
	rows := contract(t)
	for _, r := range rows {
		if (len(r.Cases) > 0 || r.Test != "") == (r.Not != "") {
			t.Errorf("%s: want cases, a test, or why there are none", r.Row)
		}
		if r.Test != "" && !tests[r.Test] {
			t.Errorf("%s: there is no test %s", r.Row, r.Test)
		}
		for _, name := range r.Cases {
			if !known[name] {
				t.Errorf("%s: there is no case %q", r.Row, name)
			}
			delete(left, name)
		}
	}
	for name := range left {
		t.Errorf("the case %q is of no row", name)
	}
	for _, want := range numbered() {
		if !slices.ContainsFunc(rows, func(r held) bool { return r.Row == want || strings.HasPrefix(r.Row, want+" ") }) {
			t.Errorf("row %s is missing", want)
		}
	}
}

var testLine = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// testNames are the tests of the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range testLine.FindAllSubmatch(text, -1) {
			names[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
