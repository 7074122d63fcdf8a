package docs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// TestPolicySectionsAreRight reads each policy section that is shown as serve does.
func TestPolicySectionsAreRight(t *testing.T) {
	values := map[string]string{"POLICIES_TOKEN": "secret", "RELEASE_KEY": bundlestest.NewKey(t, "release").Public}
	count := 0
	for name, text := range pages(t) {
		for _, b := range blocksOf(text) {
			if b.mark != "policy-section" {
				continue
			}
			count++
			file := filepath.Join(t.TempDir(), "countersign.yaml")
			if err := os.WriteFile(file, []byte("state: state\napis: [{name: a, document: a.yaml}]\n"+b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file, func(name string) (string, bool) { value, there := values[name]; return value, there })
			if err == nil {
				err = cfg.Policy.Check()
			}
			if err != nil {
				t.Errorf("%s:%d: %v", name, b.line, err)
			}
		}
	}
	if count == 0 {
		t.Error("no section is shown")
	}
}
