package token

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

var update = flag.Bool("update", false, "make the tokens of testdata/prebuilt.json anew, which FIPS 140-3 mode would refuse to")

// prebuilt are tokens and the keys of their issuer, made where everything may be signed
// with, so that verifying them is tried where FIPS 140-3 is enforced.
type prebuilt struct {
	Keys   []object        `json:"keys"`
	Tokens []prebuiltToken `json:"tokens"`
}

type prebuiltToken struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	// Want is the reason's code, or "".
	Want string `json:"want"`
}

var prebuiltFile = filepath.Join("testdata", "prebuilt.json")

// TestPrebuiltTokens verifies them as of now, the tests' time.
func TestPrebuiltTokens(t *testing.T) {
	if *update {
		text := must(json.MarshalIndent(build(), "", "\t"))
		if err := os.WriteFile(prebuiltFile, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(prebuiltFile)
	if err != nil {
		t.Fatal(err)
	}
	var kept prebuilt
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	verifier := newVerifier(t, goodConfig(), newFakeKeys(kept.Keys...))
	for _, each := range kept.Tokens {
		t.Run(each.Name, func(t *testing.T) {
			token, err := verify(verifier, each.Token)
			got := ""
			if err != nil {
				got = authz.ReasonOf(err).String()
			}
			if got != each.Want || (token != nil) != (each.Want == "") {
				t.Errorf("Verify() = %v, %v, want %q", token, err, each.Want)
			}
		})
	}
}

// build makes them; it fails where FIPS 140-3 is enforced.
func build() prebuilt {
	strong := keyFor("PS256").(*rsa.PrivateKey)
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	made := prebuilt{Keys: append(allKeys(), jwkOf(weak, "weak"))}
	add := func(name, want, algorithm, kid string, sign func(input string) []byte) {
		input := signingInput(with(goodHeader(), "alg", algorithm, "kid", kid), goodClaims())
		made.Tokens = append(made.Tokens, prebuiltToken{Name: name, Want: want, Token: input + "." + encode(sign(input))})
	}
	for _, algorithm := range []string{"ES256", "PS256", "EdDSA", "RS256", "ES384", "ES512"} {
		kid := algorithm
		if algorithm == "PS256" || algorithm == "RS256" {
			kid = "RS"
		}
		add("H2 "+algorithm+" is accepted", "", algorithm, kid, func(input string) []byte { return signature(algorithm, keyFor(algorithm), input) })
	}
	digest := func(hash crypto.Hash, input string) []byte {
		sum := hash.New()
		sum.Write([]byte(input))
		return sum.Sum(nil)
	}
	salted := func(salt int) func(string) []byte {
		return func(input string) []byte {
			return must(rsa.SignPSS(rand.Reader, strong, crypto.SHA256, digest(crypto.SHA256, input), &rsa.PSSOptions{SaltLength: salt}))
		}
	}
	add("H2 a salt longer than the hash", "token_signature", "PS256", "RS", salted(64))
	add("H2 a salt shorter than the hash", "token_signature", "PS256", "RS", salted(0))
	add("H2 RSA of 1024 bits", "token_key", "RS256", "weak", func(input string) []byte { return signature("RS256", weak, input) })
	add("H1 SHA-1 in place of SHA-256", "token_signature", "RS256", "RS", func(input string) []byte {
		sum := sha1.Sum([]byte(input))
		return must(rsa.SignPKCS1v15(nil, strong, crypto.SHA1, sum[:]))
	})
	add("H1 HS256 by an empty key", "token_algorithm", "HS256", "RS", func(input string) []byte { return hmacSHA256(nil, input) })
	add("J5 none", "token_algorithm", "none", "RS", func(string) []byte { return nil })
	return made
}
