package integration

import (
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// nonceAt is what the running bank asks of proofs at a time, by the key in its state.
func nonceAt(t *testing.T, stack *bank.Stack, at time.Time) string {
	t.Helper()
	var problems authz.Problems
	key := secret.Read(filepath.Join(stack.Bank.Dir, "state", "nonce.key"), "nonce.key", &problems)
	if key == nil {
		t.Fatal(problems)
	}
	nonces := dpop.NewNonces(key.ID, key.Secret)
	return dpop.New(dpop.Config{Origins: []string{bank.Origin}, Nonce: true}, nonces, nil).Proofs(at).Nonce
}

// fetch sends a story's request and returns the answer, of which only the header matters.
func fetch(t *testing.T, stack *bank.Stack, story bank.Story) *http.Response {
	t.Helper()
	request, client, err := story.HTTP(t.Context(), stack)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response
}

// TestNoncesThroughEnvoy holds what a client is told of nonces, and that Envoy passes it
// on: nothing while its nonce stands, the next one when it does not for long.
func TestNoncesThroughEnvoy(t *testing.T) {
	stack := startBank(t, bank.Options{})
	all := stories(t)
	proven := all[slices.IndexFunc(all, func(s bank.Story) bool { return s.Name == "86-proof" })]
	if header := fetch(t, stack, proven).Header; header.Get("DPoP-Nonce") != "" || header.Get("Cache-Control") != "" {
		t.Errorf("with a nonce that stands the answer has %v", header)
	}
	for {
		now := time.Now()
		current, previous := nonceAt(t, stack, now), nonceAt(t, stack, now.Add(-5*time.Minute))
		proven.Ask.Proof = &bank.Proof{Claims: map[string]any{"nonce": previous}}
		response := fetch(t, stack, proven)
		if nonceAt(t, stack, time.Now()) != current {
			continue // it was replaced on the way, and the previous one was too old
		}
		told := []string{response.Status, response.Header.Get("DPoP-Nonce"), response.Header.Get("Cache-Control")}
		if diff := cmp.Diff([]string{"200 OK", current, "no-store"}, told); diff != "" {
			t.Errorf("with the nonce before (-want +got):\n%s", diff)
		}
		return
	}
}

// TestReloadForgetsNoProof puts another snapshot in force between a proof and its replay:
// nonces and what was used are no part of a snapshot.
func TestReloadForgetsNoProof(t *testing.T) {
	b, system := openSystem(t)
	nonce := nonceOf(t, system)
	all := stories(t)
	proven := all[slices.IndexFunc(all, func(s bank.Story) bool { return s.Name == "86-proof" })]
	request, err := proven.Request(b, nonce)
	if err != nil {
		t.Fatal(err)
	}
	if got := system.Pipeline.Check(t.Context(), request); !got.Allowed {
		t.Fatalf("Check() = %s (%s), want an allow", got.Code(), got.Detail)
	}
	cfg := *system.Config
	cfg.Region = "US"
	next, err := system.Prepare(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	system.PutInForce(next)
	if got := system.Pipeline.Check(t.Context(), request); got.Reason != authz.ProofReplayed {
		t.Errorf("Check() after a reload = %s, want %s", got.Code(), authz.ProofReplayed)
	}
}

// TestChallengesThroughEnvoy holds that Envoy passes on both challenges, in order.
func TestChallengesThroughEnvoy(t *testing.T) {
	stack := startBank(t, bank.Options{})
	for name, want := range map[string][]string{
		"39-no-token": answersNone.challenges,
		"91-proof-of-another-key": {
			dpopRealm + `, error="invalid_token", error_description="Invalid DPoP key binding"` + dpopAlgs + atMetadata, bearerRealm + atMetadata,
		},
		"40-scope-missing": {bearerRealm + `, error="insufficient_scope", error_description="The access token lacks a required scope", scope="payments"` + atMetadata},
	} {
		all := stories(t)
		story := all[slices.IndexFunc(all, func(s bank.Story) bool { return s.Name == name })]
		header := fetch(t, stack, story).Header
		if diff := cmp.Diff(want, header.Values("WWW-Authenticate")); diff != "" {
			t.Errorf("%s: WWW-Authenticate (-want +got):\n%s", name, diff)
		}
		if told, demanded := header.Get("DPoP-Nonce") != "", name != "40-scope-missing"; told != demanded {
			t.Errorf("%s: a nonce is told: %v, want %v", name, told, demanded)
		}
	}
}
