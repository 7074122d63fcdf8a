package integration

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/rego"
)

var updateRules = flag.Bool("update-rules", false, "rewrite testdata/rules.txt")

// libraryLines are where the standard library's rules stand.
var libraryLines = regexp.MustCompile(`(\(standard library\)/\w+\.rego:)\d+`)

// TestStoriesNameTheirRule explains every story that comes to the policy. What is
// explained refuses what was refused, and allows what was allowed; of a denial the rules
// are told that stand in testdata/rules.txt, which a person has read.
func TestStoriesNameTheirRule(t *testing.T) {
	b, system := openSystem(t)
	nonce := nonceOf(t, system)
	var told strings.Builder
	denied := 0
	for _, story := range stories(t) {
		facts, decision := decidedFor(t, b, system, story, nonce)
		if facts == nil {
			continue
		}
		e, err := system.Policy.Explain(t.Context(), facts, nil)
		if err != nil {
			t.Fatalf("%s: %v", story.Name, err)
		}
		refused := map[string]bool{}
		for _, refusal := range e.Refusals {
			refused[refusal.Code] = true
		}
		for _, name := range decision.Verdict.Refusals {
			code, _, _ := strings.Cut(name, ":")
			delete(refused, code)
			if !strings.Contains(fmt.Sprint(e.Refusals), "{"+code) {
				t.Errorf("%s: refused for %s, which is not explained: %v", story.Name, code, e.Refusals)
			}
		}
		if len(refused) > 0 || e.Incomplete != "" || e.Stopped != nil {
			t.Errorf("%s: explains the refusals %v, decided were %v; %s %v", story.Name, e.Refusals, decision.Verdict.Refusals, e.Incomplete, e.Stopped)
		}
		if !decision.Verdict.Allowed {
			denied++
			fmt.Fprintf(&told, "%s: %s\n", strings.TrimSuffix(story.Name, ".txtar"), decision.Code())
			writeRulesOf(&told, e)
		}
	}
	if denied < 12 {
		t.Errorf("%d stories are denied by the policy, which are too few", denied)
	}
	file := filepath.Join("testdata", "rules.txt")
	got := libraryLines.ReplaceAllString(told.String(), "${1}…")
	if *updateRules {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("rules (-want +told); -update-rules writes them:\n%s", diff)
	}
}

// decidedFor is what the policy decides on in a story, and what becomes of it; nil where
// the policy is not asked.
func decidedFor(t *testing.T, b *bank.Bank, system *wire.System, story bank.Story, nonce string) (*authz.Facts, authz.Decision) {
	t.Helper()
	request, err := story.Request(b, nonce)
	if err != nil {
		t.Fatal(err)
	}
	checker, release, err := system.Explain(t.Context(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	decision := checker.Check(t.Context(), request)
	e, err := checker.Explain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !e.Decided() {
		return nil, decision
	}
	return e.Facts, decision
}

// writeRulesOf has, for each refusal, the rules that deny and the first condition that
// failed of those that are not satisfied.
func writeRulesOf(to *strings.Builder, e *rego.Explanation) {
	for _, refusal := range e.Refusals {
		for _, rule := range e.Rules {
			if rule.Reason != refusal.Code || rule.Role == rego.Decides {
				continue
			}
			place := fmt.Sprintf("%q %s:%d", rule.Title, rule.File, rule.Line)
			if rule.Role == rego.Denies && rule.Held {
				fmt.Fprintf(to, "  %s denies: %s\n", refusal.Code, place)
			}
			for _, f := range rule.Failures {
				about := refusal.For == "" || f.For == "" || strings.Contains(f.For, refusal.For+`"`)
				if about && (rule.Role == rego.Satisfies || rule.Role == rego.Waives && f.Further > 0) {
					fmt.Fprintf(to, "  %s %s: %s:%s\n", refusal.Code, map[rego.Role]string{rego.Satisfies: "lacks", rego.Waives: "is not waived"}[rule.Role], place, conditionTold(&f.Condition))
				}
			}
			if rule.Role == rego.Denies && rule.Held {
				for _, c := range rule.Conditions {
					fmt.Fprintf(to, "    %s\n", conditionTold(&c))
				}
			}
		}
	}
}

// conditionTold is a condition, what it saw and what it rests upon, in one line.
func conditionTold(c *rego.Condition) string {
	var told strings.Builder
	fmt.Fprintf(&told, " %s", c.Text)
	for _, seen := range c.Saw {
		if seen.Absent {
			fmt.Fprintf(&told, "; %s is absent", seen.Name)
		} else {
			fmt.Fprintf(&told, "; %s = %s", seen.Name, moments.ReplaceAllString(seen.Value, "…"))
		}
	}
	for _, because := range c.Because {
		fmt.Fprintf(&told, "; because %s", because.Title)
		if because.Failed != nil {
			fmt.Fprintf(&told, "[%s]", conditionTold(because.Failed))
		}
	}
	return told.String()
}

// moments are times in nanoseconds, and how long ago they were.
var moments = regexp.MustCompile(`\d{10,}(?: \([^)]*\))?`)
