package integration

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/shadow"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

// tryBeside has a system try the bank's policy with one more file beside it.
func tryBeside(t testing.TB, dir string, system *wire.System, text string) {
	t.Helper()
	next := filepath.Join(dir, "policy-next")
	if err := os.CopyFS(next, os.DirFS(filepath.Join(dir, "policy"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(next, "next.rego"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "countersign.yaml")
	configured, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	trying := strings.Replace(string(configured), "policy: {path: policy, ", "policy: {path: policy, shadow: {path: policy-next}, ", 1)
	if err := os.WriteFile(file, []byte(trying), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	trial, err := system.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	system.PutInForce(trial)
}

// byPolicy reports a decision that the policy was asked for.
func byPolicy(d authz.Decision) bool {
	switch d.Reason {
	case authz.Granted, authz.PolicyDenied, authz.StepUpRequired, authz.PolicyError, authz.LimitReached:
		return true
	}
	return false
}

// TestShadowTellsExactlyWhatDiffers tells every story while a policy is tried that closes one
// operation to one client: each decision of the policy is tried, the answers are those of
// the policy in force, and what differs is what that rule is about, though the candidate
// reads a claim that the other does not.
func TestShadowTellsExactlyWhatDiffers(t *testing.T) {
	b, system := openSystem(t)
	nonce := nonceOf(t, system)
	var mu sync.Mutex
	counts := map[shadow.Result]int{}
	pool := system.Trials(func(_ *authz.Operation, result shadow.Result) {
		mu.Lock()
		defer mu.Unlock()
		counts[result]++
	})
	tryBeside(t, b.Dir, system, `package countersign.site

# METADATA
# custom: {reason: closed}
deny contains "closed" if {
	input.operation.id == "GetAccountsAccountId"
	input.token.claims.client_id == "acme"
}
`)
	want := map[shadow.Result]int{}
	var differing []string
	for _, story := range stories(t) {
		request, err := story.Request(b, nonce)
		if err != nil {
			t.Fatal(err)
		}
		for range story.Ask.Before + 1 {
			got := system.Pipeline.Check(t.Context(), request)
			switch {
			case !byPolicy(got):
				continue
			case got.OperationID() == "GetAccountsAccountId" && got.Caller.Client == "acme":
				want[shadow.Differs]++
				differing = append(differing, got.ID.String())
			default:
				want[shadow.Same]++
			}
			if got.Reason == authz.PolicyDenied && got.Code() == "closed" {
				t.Errorf("%s is answered by the policy that is only tried", story.Name)
			}
		}
	}
	pool.Close()
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("trials (-want +got):\n%s", diff)
	}
	if len(differing) < 5 || want[shadow.Same] < 30 {
		t.Fatalf("only %d stories differ, and %d do not", len(differing), want[shadow.Same])
	}
	for _, row := range pool.Report().Differences {
		for _, id := range row.Decisions {
			if !strings.Contains(strings.Join(differing, " "), id) || row.Would.Allowed {
				t.Errorf("%s is told to differ: %+v", id, row)
			}
		}
	}
}
