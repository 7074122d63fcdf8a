package bank

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// jkt is a client's key as a token is bound to it.
func jkt(t *testing.T, bank *Bank, client string) string {
	t.Helper()
	thumbprint, err := bank.holders.thumbprint(client)
	if err != nil {
		t.Fatal(err)
	}
	return thumbprint
}

// TestProofs verifies proofs with the client's key by a library that Countersign's own
// checks of proofs have no part in.
func TestProofs(t *testing.T) {
	bank := openBank(t)
	for name, test := range map[string]struct {
		proof    Proof
		verifies bool
	}{
		"a proof verifies":             {Proof{}, true},
		"another client's does not":    {Proof{By: Zeta}, false},
		"a forged one does not":        {Proof{Bad: forgedProof}, false},
		"one of another type verifies": {Proof{Bad: otherType}, true},
	} {
		proof, err := bank.prove(test.proof, "GET", "/accounts?page=2", "token", "n-1")
		if err != nil {
			t.Fatalf("%s: prove: %v", name, err)
		}
		_, err = jws.Verify([]byte(proof), jws.WithKey(jwa.ES256, bank.holders[Acme].Public()))
		if verifies := err == nil; verifies != test.verifies {
			t.Errorf("%s: it verifies: %t", name, verifies)
		}
	}
}

func TestProofIsForTheRequest(t *testing.T) {
	bank := openBank(t)
	proof, err := bank.prove(Proof{Claims: map[string]any{"iat": "-1h", "nonce": nil}}, "POST", "/accounts?page=2", "token", "n-1")
	if err != nil {
		t.Fatalf("prove: %v", err)
	}
	claims := payload(t, proof)
	if iat, ok := claims["iat"].(float64); !ok || time.Since(time.Unix(int64(iat), 0)) < time.Hour {
		t.Errorf("iat = %v, want an hour ago", claims["iat"])
	}
	delete(claims, "iat")
	delete(claims, "jti")
	want := map[string]any{"htm": "POST", "htu": Origin + "/accounts", "ath": "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A"}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestMistakesInProofs(t *testing.T) {
	bank := openBank(t)
	for name, proof := range map[string]Proof{
		"nobody of that name":     {By: "eve"},
		"a duration that is none": {Claims: map[string]any{"iat": "soon"}},
		"an unknown way":          {Bad: "upside_down"},
	} {
		if _, err := bank.prove(proof, "GET", "/accounts", "token", ""); err == nil {
			t.Errorf("%s: prove succeeds", name)
		}
	}
}

// TestSchemes holds how a token is sent, which a story need not say.
func TestSchemes(t *testing.T) {
	bank := openBank(t)
	for want, ask := range map[string]Ask{
		"Bearer ": {Token: Token{As: "ann"}},
		"DPoP ":   {Token: Token{As: "ann"}, Proof: &Proof{}},
		"Other ":  {Token: Token{As: "ann"}, Proof: &Proof{}, Scheme: "Other"},
	} {
		story := Story{Ask: ask}
		fields, err := story.credentials(bank, "")
		if err != nil {
			t.Fatal(err)
		}
		_, proof := fields.Value("dpop")
		if value, _ := fields.Value("authorization"); !strings.HasPrefix(value, want) || proof != (ask.Proof != nil) {
			t.Errorf("Authorization = %.10s…, and a proof: %t; want %s", value, proof, want)
		}
	}
}
