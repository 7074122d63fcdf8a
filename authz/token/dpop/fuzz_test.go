package dpop

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// FuzzVerify proves that no DPoP header ends in a panic, and that none is accepted but
// what the one key signed for this very request.
func FuzzVerify(f *testing.F) {
	good := prove(goodHeader("ES256"), goodClaims())
	for _, seed := range []string{
		"", "a.b.c", good, good + ".", good + ",", strings.Replace(good, ".", "..", 1), "{}", "e30.e30.e30",
		prove(with(goodHeader("ES256"), "jwk", object{}), goodClaims()), prove(goodHeader("PS256"), goodClaims()),
		prove(goodHeader("ES256"), with(goodClaims(), "htu", "https://[::1]:443/%41/../..")),
	} {
		f.Add(seed)
	}
	input, _, _ := strings.Cut(good, ".")
	f.Fuzz(func(t *testing.T, proof string) {
		_, err := New(goodConfig(), nil, &fakeReplays{}).Verify(t.Context(), call(proof))
		switch {
		case err == nil && proof != good && !resigned(proof):
			t.Fatalf("Verify(%q) accepted what nobody signed", proof)
		case err != nil && (authz.ReasonOf(err) < authz.ProofMissing || authz.ReasonOf(err) > authz.ProofKey):
			t.Errorf("Verify(%q) = %v, want a reason", proof, err)
		case err != nil && strings.HasPrefix(proof, input) && strings.Contains(err.Error(), input):
			t.Errorf("Verify() = %v, which holds the proof", err)
		}
	})
}

// resigned reports a proof whose signature the ES256 key made, by the standard library
// alone: one in another form of the same signature.
func resigned(proof string) bool {
	at := strings.LastIndex(proof, ".")
	raw, err := base64.RawURLEncoding.DecodeString(proof[at+1:])
	if err != nil || len(raw) != 64 {
		return false
	}
	digest := sha256.Sum256([]byte(proof[:at]))
	return ecdsa.Verify(keyFor("ES256").Public().(*ecdsa.PublicKey), digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
}

// BenchmarkVerify is a proof's verification beside that of its bare signature.
func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []string{"ES256", "PS256", "EdDSA"} {
		proof := prove(goodHeader(algorithm), goodClaims())
		request := call(proof)
		request.Key = jose.ParseKey(jwk(keyFor(algorithm))).Thumbprint
		b.Run(algorithm, func(b *testing.B) {
			verifier := New(goodConfig(), nil, alwaysFresh{})
			for b.Loop() {
				if _, err := verifier.Verify(b.Context(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+" signature", func(b *testing.B) {
			parsed := must(jose.Parse(proof, maxProof))
			for b.Loop() {
				if err := parsed.Verify(keyFor(algorithm).Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// alwaysFresh remembers nothing.
type alwaysFresh struct{}

func (alwaysFresh) Fresh(context.Context, [32]byte, time.Time) (bool, error) { return true, nil }
