package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

// TestATokenOutlivesASwap has one token come under one policy after another: it is verified
// again where the next reads other claims, which it is then given, and not where it reads
// the same.
func TestATokenOutlivesASwap(t *testing.T) {
	system, requests := openLargeFor(t, 1)
	request := requests[0]
	var before *authz.Token
	for i, edition := range []struct {
		reads string
		known bool
	}{{"", false}, {"", true}, {"client_id", false}, {"client_id", true}, {"scope", false}, {"", false}} {
		next := prepareEdition(t, system, i, edition.reads)
		token := tokenOf(t, next.Snapshot, request)
		if known := token == before; known != edition.known {
			t.Errorf("edition %d, which reads %q: known from before: %v, want %v", i, edition.reads, known, edition.known)
		}
		before = token
		system.PutInForce(next)
		if err := checkOnce(t.Context(), system.Pipeline, request); err != nil {
			t.Errorf("edition %d, which reads %q: %v", i, edition.reads, err)
		}
	}
}

// prepareEdition makes a revision that refuses what lacks a claim, where one is named.
func prepareEdition(t *testing.T, system *wire.System, edition int, reads string) *wire.Next {
	t.Helper()
	text := fmt.Sprintf("package countersign.site\n\nedition := %d\n", edition)
	if reads != "" {
		text += fmt.Sprintf("\ndeny contains \"lacks_a_claim\" if not input.token.claims.%s\n", reads)
	}
	policy := system.Config.Policy.Path
	if err := os.WriteFile(filepath.Join(policy, "site.rego"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(filepath.Dir(policy), "countersign.yaml"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	next, err := system.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func tokenOf(t *testing.T, snapshot *authz.Snapshot, request *authz.Request) *authz.Token {
	t.Helper()
	certificate, err := snapshot.Certificates.Read(request)
	if err != nil {
		t.Fatal(err)
	}
	token, err := snapshot.Tokens.Verify(t.Context(), authz.Match{API: request.API}, request, certificate, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}
