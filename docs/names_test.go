package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// named is a test, fuzz target, benchmark or story as a page names it.
	named      = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*|[0-9]{2,3}-[a-z0-9-]+)`")
	declared   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	storyFiles = filepath.Join("..", "examples", "openbanking", "stories", "*.txtar")
)

// TestNamedTestsExist looks for every test and story that a page points at.
func TestNamedTestsExist(t *testing.T) {
	there := declaredTests(t)
	stories, err := filepath.Glob(storyFiles)
	if err != nil || len(stories) == 0 {
		t.Fatalf("Glob = %v, %v, want stories", stories, err)
	}
	for _, story := range stories {
		there[strings.TrimSuffix(filepath.Base(story), ".txtar")] = true
	}
	for name, text := range pages(t) {
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			if !there[found[1]] {
				t.Errorf("%s: there is no %s", name, found[1])
			}
		}
	}
}

// TestEveryClaimNamesATest holds each row of the threat model that says what stops
// something, to naming what shows it.
func TestEveryClaimNamesATest(t *testing.T) {
	claims := rows(page(t, "threat-model.md"), "Tried")
	if len(claims) < 40 {
		t.Errorf("%d claims, want 40 at least", len(claims))
	}
	for _, claim := range claims {
		if len(claim) != 3 || !named.MatchString(claim[2]) {
			t.Errorf("%q names no test", claim)
		}
	}
}

// declaredTests are the names of all tests, fuzz targets and benchmarks.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range declared.FindAllSubmatch(text, -1) {
			there[string(found[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}
