package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// TestBestEffortWithoutRedis has a real Redis hang, and then be gone: one operation goes on
// with what can be checked, as its contract says, and its record tells; another is refused.
// A proof that is wrong is refused by both.
func TestBestEffortWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	b, system := bestEffortBank(t, server.Address)
	nonce := nonceOf(t, system)
	check := func(path string, proof bank.Proof) authz.Decision {
		t.Helper()
		story := bank.Story{Ask: bank.Ask{Method: http.MethodGet, Path: path, Listener: bank.PlainTLS,
			Token: bank.Token{As: "ann", Bound: "key"}, Proof: &proof}}
		request, err := story.Request(b, nonce)
		if err != nil {
			t.Fatal(err)
		}
		// Half of what is left of it is waited for a Redis that hangs.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return system.Pipeline.Check(ctx, request)
	}
	unchecked := []authz.Reason{authz.ReplaysUnavailable, authz.LimitsUnavailable}
	for _, state := range []struct {
		name      string
		change    func()
		unchecked []authz.Reason
		other     authz.Reason
	}{
		{"with Redis", func() {}, nil, authz.Granted},
		{"Redis hangs", func() { server.Pause(t) }, unchecked, authz.ReplaysUnavailable},
		{"Redis is gone", server.Kill, unchecked, authz.ReplaysUnavailable},
	} {
		state.change()
		got := check("/accounts/22289", bank.Proof{})
		if !got.Allowed {
			t.Errorf("%s: best effort: %s (%s), want granted", state.name, got.Code(), got.Detail)
		}
		if diff := cmp.Diff(state.unchecked, got.Unchecked); diff != "" {
			t.Errorf("%s: unchecked (-want +got):\n%s", state.name, diff)
		}
		if got := check("/accounts/22289/balances", bank.Proof{}); got.Reason != state.other {
			t.Errorf("%s: without best effort: %s (%s), want %s", state.name, got.Code(), got.Detail, state.other)
		}
		wrong := bank.Proof{Claims: map[string]any{"htm": "POST"}}
		if got := check("/accounts/22289", wrong); got.Reason != authz.ProofMethod {
			t.Errorf("%s: a wrong proof: %s (%s), want %s", state.name, got.Code(), got.Detail, authz.ProofMethod)
		}
	}
	records, err := os.ReadFile(filepath.Join(b.Dir, "records", "decisions-00000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if count := strings.Count(string(records), `"unchecked":["replays_unavailable","limits_unavailable"]`); count != 2 {
		t.Errorf("%d records tell what was not checked, want 2", count)
	}
}

// bestEffortBank wires Countersign with a Redis and a bank that limits one operation, which
// goes on without either.
func bestEffortBank(t *testing.T, redis string) (*bank.Bank, *wire.System) {
	t.Helper()
	b := limitedBank(t, sharedTimes)
	contract := filepath.Join(b.Dir, "openapi.yaml")
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	rule := fmt.Sprintf("        limits: [{per: client, max: %d, window: 24h}]\n", sharedTimes)
	if err := os.WriteFile(contract, []byte(changed(t, string(text), rule, rule+"        replay: best_effort\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return b, wireBank(t, b, fmt.Sprintf("replay: {engine: redis, redis: {address: %q}}", redis))
}
