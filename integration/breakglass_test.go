package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// TestBrokenGlassIsTold breaks the glass through Envoy: the record has the ticket, the log a
// warning that names nobody, and the metrics a count. When the incident is over, and its
// table taken away, the glass is whole again without a restart.
func TestBrokenGlassIsTold(t *testing.T) {
	stack := startBank(t, bank.Options{})
	all := stories(t)
	broken := all[slices.IndexFunc(all, func(s bank.Story) bool { return s.Name == "128-glass-broken" })]
	told, faults := tell(t, stack, broken)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	const line = "\ncountersign_break_glass_total{allowed=\"true\",api=\"openbanking\",operation=\"GetBackofficeAccountsAccountId\"} 1\n"
	if metrics := page(t, stack.Admin+"/metrics"); !strings.Contains(metrics, line) {
		t.Errorf("metrics lack %q", line)
	}
	log, err := os.ReadFile(filepath.Join(stack.Bank.Dir, "countersign.log"))
	if err != nil {
		t.Fatal(err)
	}
	_, warning, found := strings.Cut(string(log), "the glass was broken")
	warning, _, _ = strings.Cut(warning, "\n")
	if !found || !strings.Contains(warning, "INC-4711") || !strings.Contains(warning, told.DecisionID) || strings.Contains(warning, "tom") {
		t.Errorf("the log says %q, want the ticket and the decision, and nobody's name", warning)
	}

	if err := os.Remove(filepath.Join(stack.Bank.Dir, "policy", "emergency.json")); err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(longest); ; <-poll.C {
		told, _ = tell(t, stack, broken)
		if told != nil && told.Record != nil && told.Record.Code() == "not_owner" && len(told.Record.BreakGlass) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the glass is still broken: %+v", told)
		}
	}
}
