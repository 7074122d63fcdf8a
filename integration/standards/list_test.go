package standards

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// listed is a line of testdata/rules.txt.
type listed struct {
	id string
	// status is enforced, refused (what the standard lets be taken is not), elsewhere
	// (somebody else's to hold) or not done.
	status  string
	reasons []string
	// section is the standard's, or "ours".
	section string
	words   string
	// heading is that of the rules that it is the first of, or "".
	heading string
}

// held reports that requests are refused for the rule.
func (l listed) held() bool { return l.status == "enforced" || l.status == "refused" }

// readRules reads testdata/rules.txt.
func readRules(t *testing.T) []listed {
	t.Helper()
	var rules []listed
	heading := ""
	for _, line := range lines(t, "rules.txt") {
		if text, begins := strings.CutPrefix(line, "# "); begins {
			heading = text
			continue
		}
		cells := strings.Split(line, " | ")
		if len(cells) != 5 || slices.Contains(cells, "") || !slices.Contains([]string{"enforced", "refused", "elsewhere", "not done"}, cells[1]) {
			t.Fatalf("rules.txt: %q is no rule", line)
		}
		rule := listed{id: cells[0], status: cells[1], section: cells[3], words: cells[4], heading: heading}
		if cells[2] != "-" {
			rule.reasons = strings.Fields(cells[2])
		}
		rules, heading = append(rules, rule), ""
	}
	return rules
}

// lines are those of a file in testdata that are not empty.
func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line == "" })
}

// numbered is how many rules are in the document that extract has read, so that none can
// be lost from ids.txt.
const numbered = 62

// TestEveryNumberedRuleIsListed holds rules.txt against the ids that extract has found,
// and each id to stand there once.
func TestEveryNumberedRuleIsListed(t *testing.T) {
	count := map[string]int{}
	for _, rule := range readRules(t) {
		count[rule.id]++
	}
	for id, times := range count {
		if times != 1 {
			t.Errorf("%s stands %d times", id, times)
		}
	}
	ids := lines(t, "ids.txt")
	if len(ids) != numbered {
		t.Errorf("%d ids, want %d", len(ids), numbered)
	}
	for _, id := range ids {
		if count[id] == 0 {
			t.Errorf("%s is not listed", id)
		}
	}
}

// TestEveryRuleHasAGoodTwinAndAMutant holds that each rule has a case that is accepted
// and one that is refused, for the reasons that are listed and no others, and that no
// case is for a rule that is not there.
func TestEveryRuleHasAGoodTwinAndAMutant(t *testing.T) {
	accepted, refused := map[string]int{}, map[string][]string{}
	for _, each := range allProofs() {
		if each.want == authz.Granted {
			accepted[each.rule]++
		} else if code := each.want.String(); !slices.Contains(refused[each.rule], code) {
			refused[each.rule] = append(refused[each.rule], code)
		}
	}
	for _, rule := range readRules(t) {
		if (accepted[rule.id] > 0) != rule.held() || (len(refused[rule.id]) > 0) != rule.held() {
			t.Errorf("%s (%s): %d cases are accepted, and %d reasons to refuse", rule.id, rule.status, accepted[rule.id], len(refused[rule.id]))
		}
		if rule.held() {
			if diff := cmp.Diff(rule.reasons, slices.Sorted(slices.Values(refused[rule.id]))); diff != "" {
				t.Errorf("%s: reasons (-listed +of its cases):\n%s", rule.id, diff)
			}
		}
		delete(accepted, rule.id)
		delete(refused, rule.id)
	}
	for id := range accepted {
		t.Errorf("%s has cases, and is not listed", id)
	}
	for id := range refused {
		t.Errorf("%s has cases, and is not listed", id)
	}
}

// TestNoCaseStandsTwice holds names apart: they are how a case is found.
func TestNoCaseStandsTwice(t *testing.T) {
	seen := map[string]bool{}
	for _, each := range allProofs() {
		name := each.rule + " " + each.name
		if seen[name] && each.name != asItIs {
			t.Errorf("%s stands twice", name)
		}
		seen[name] = true
	}
}
