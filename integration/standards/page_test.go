package standards

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

var update = flag.Bool("update", false, "write docs/standards.md anew")

// intro begins the page.
const intro = `# Standards

For an auditor, or a developer of clients: what is asked of an API that takes access tokens, rule by rule, where it
comes from, what a request that breaks it is refused for, and what is tried. This page is made of the tests
(` + "`TestRules`" + `), which ask a Countersign that is put together as it serves: each rule that it holds has a request that is
accepted (` + asItIs + `), and others that are refused, in which one thing is wrong.

The letters and numbers are ours where the standard has none; the words always are. **Comes from** is the standard's
section. What is *ours* no standard asks for, or all leave open; beside *Envoy* stands what of Envoy's a rule is about;
FAPI 2.0 is its Security Profile, where nothing else is said.

| Status | Meaning |
|---|---|
| enforced | Countersign holds it, in the [profile](configuration.md#profiles) or the configuration that asks for it. |
| refused | A standard allows it, and Countersign never takes it. |
| elsewhere | Envoy or the API holds it: Countersign does not see what it is about, or sees it too late. |
| not done | Nobody holds it, unless the API does: Countersign could, and does not yet. |

What a reason is answered with is in [concepts](concepts.md#reasons-in-order-of-precedence).
`

// TestStandardsPage holds docs/standards.md to what the rules and their cases say.
func TestStandardsPage(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "standards.md")
	want := pageOf(readRules(t), allProofs())
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/standards.md is not current: run go test ./integration/standards -update (-want +got):\n%s", diff)
	}
}

func pageOf(rules []listed, proofs []proofOf) string {
	var page strings.Builder
	page.WriteString(intro)
	for _, rule := range rules {
		if rule.heading != "" {
			fmt.Fprintf(&page, "\n## %s\n\n| Rule | Status | Comes from | Refused for | Accepted | Refused |\n|---|---|---|---|---|---|\n", rule.heading)
		}
		var accepted, refused []string
		for _, each := range proofs {
			switch {
			case each.rule != rule.id || slices.Contains(accepted, each.name):
			case each.want == authz.Granted:
				accepted = append(accepted, each.name)
			default:
				refused = append(refused, each.name)
			}
		}
		fmt.Fprintf(&page, "| **%s** %s | %s | %s | %s | %s | %s |\n",
			rule.id, rule.words, rule.status, rule.section, cell(codes(rule.reasons), " "), cell(escaped(accepted), "; "), cell(escaped(refused), "; "))
	}
	return page.String()
}

// codes are reasons as they stand in a table.
func codes(reasons []string) []string {
	var marked []string
	for _, reason := range reasons {
		marked = append(marked, "`"+reason+"`")
	}
	return marked
}

// escaped are names of cases as they stand in a table.
func escaped(names []string) []string {
	escaped := slices.Clone(names)
	for i := range escaped {
		escaped[i] = strings.NewReplacer("|", `\|`, `\`, `\\`, "<", "&lt;", "//", "&#47;/").Replace(escaped[i])
	}
	return escaped
}

// cell is one of a table, which must not look forgotten where there is nothing in it.
func cell(texts []string, between string) string {
	if len(texts) == 0 {
		return "–"
	}
	return strings.Join(texts, between)
}
