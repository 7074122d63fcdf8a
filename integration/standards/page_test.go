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
(` + "`TestRules`" + `), which ask a Countersign that is put together as it serves: each rule has a request that is accepted,
and others that are refused, in which one thing is wrong.

The letters and numbers are ours where the standard has none. **Enforced** rules hold in the profile or the
configuration that asks for them; **refused** is what a standard allows and Countersign never takes; **elsewhere** is
what Envoy or the API itself must see to, or what nobody holds yet. What a reason is answered with is in
[concepts](concepts.md#reasons-in-order-of-precedence).
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
			fmt.Fprintf(&page, "\n## %s\n\n| Rule | | Refused for | Accepted | Refused |\n|---|---|---|---|---|\n", rule.heading)
		}
		var accepted, refused []string
		for _, each := range proofs {
			switch {
			case each.rule != rule.id || each.name == asItIs:
			case each.want == authz.Granted:
				accepted = append(accepted, each.name)
			default:
				refused = append(refused, each.name)
			}
		}
		fmt.Fprintf(&page, "| **%s** %s | %s | %s | %s | %s |\n", rule.id, rule.words, rule.status, codes(rule.reasons), cell(accepted), cell(refused))
	}
	return page.String()
}

// codes are reasons as they stand in a table.
func codes(reasons []string) string {
	var marked []string
	for _, reason := range reasons {
		marked = append(marked, "`"+reason+"`")
	}
	return strings.Join(marked, " ")
}

// cell are names in a cell of a table.
func cell(names []string) string {
	escaped := slices.Clone(names)
	for i := range escaped {
		escaped[i] = strings.NewReplacer("|", `\|`, `\`, `\\`, "<", "&lt;", "//", "&#47;/").Replace(escaped[i])
	}
	return strings.Join(escaped, "; ")
}
