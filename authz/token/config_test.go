package token

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

func TestConfigFaults(t *testing.T) {
	good := goodConfig().Issuers[0]
	issuer := func(change func(*Issuer)) Config {
		cfg := goodConfig()
		changed := good
		change(&changed)
		cfg.Issuers = []Issuer{changed}
		return cfg
	}
	api := func(api API) Config {
		cfg := goodConfig()
		cfg.APIs = map[authz.API]API{accounts: api}
		return cfg
	}
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"no fault", goodConfig(), nil},
		{"the zero Config takes no token", Config{}, nil},
		{"issuers without an API", Config{Issuers: goodConfig().Issuers}, []string{"apis"}},
		{"an API without issuers", Config{APIs: goodConfig().APIs}, []string{"issuers"}},
		{"the zero Issuer is refused", Config{Issuers: []Issuer{{}}, APIs: goodConfig().APIs}, []string{"issuers[0].issuer", "issuers[0].jwks", "issuers[0].kind", "issuers[0].profile"}},
		{"two issuers of one name", Config{Issuers: []Issuer{good, good}, APIs: goodConfig().APIs}, []string{"issuers[1].issuer"}},
		{"H1 none can never be configured", issuer(func(i *Issuer) { i.Algorithms = []string{"ES256", "none"} }), []string{"issuers[0].algorithms[1]"}},
		{"H1 HS256 can never be configured", issuer(func(i *Issuer) { i.Algorithms = []string{"HS256"} }), []string{"issuers[0].algorithms[0]"}},
		{"H1 an algorithm in another case", issuer(func(i *Issuer) { i.Algorithms = []string{"es256"} }), []string{"issuers[0].algorithms[0]"}},
		{"H1 an empty algorithm", issuer(func(i *Issuer) { i.Algorithms = []string{""} }), []string{"issuers[0].algorithms[0]"}},
		{"H10 the type of proofs can never be configured", issuer(func(i *Issuer) { i.Types = []string{"JWT", "DPoP+jwt", ""} }), []string{"issuers[0].types[1]", "issuers[0].types[2]"}},
		{"J6 skew over a minute", issuer(func(i *Issuer) { i.Skew = time.Minute + 1 }), []string{"issuers[0].skew"}},
		{"J6 negative skew", issuer(func(i *Issuer) { i.Skew = -1 }), []string{"issuers[0].skew"}},
		{"no profile", issuer(func(i *Issuer) { i.Profile = "" }), []string{"issuers[0].profile"}},
		{"an unknown profile", issuer(func(i *Issuer) { i.Profile = "FAPI2" }), []string{"issuers[0].profile"}},
		{"an unknown leniency", issuer(func(i *Issuer) { i.Legacy = []string{"scp", "unsigned"} }), []string{"issuers[0].legacy[1]"}},
		{"keys over http", issuer(func(i *Issuer) { i.JWKS.URL = "http://as.example/jwks" }), []string{"issuers[0].jwks.url"}},
		{"an unknown kind", issuer(func(i *Issuer) { i.Kind = "anonymous" }), []string{"issuers[0].kind"}},
		{"kind and kind_claim", issuer(func(i *Issuer) { i.KindClaim = KindClaim{Name: "a", Values: map[string]string{"b": "staff"}} }), []string{"issuers[0].kind"}},
		{"a claim without values", issuer(func(i *Issuer) { i.Kind, i.KindClaim = "", KindClaim{Name: "a"} }), []string{"issuers[0].kind_claim.values"}},
		{"values without a claim", issuer(func(i *Issuer) { i.Kind, i.KindClaim = "", KindClaim{Values: map[string]string{"b": "staff"}} }), []string{"issuers[0].kind_claim.name"}},
		{"values of no kind, and of none", issuer(func(i *Issuer) {
			i.Kind, i.KindClaim = "", KindClaim{Name: "a", Values: map[string]string{"": "staff", "b": "boss"}}
		}), []string{"issuers[0].kind_claim.values", "issuers[0].kind_claim.values.b"}},
		{"J4 no audience", api(API{}), []string{"apis.accounts.audiences"}},
		{"J4 an empty audience", api(API{Audiences: []string{""}}), []string{"apis.accounts.audiences"}},
		{"an issuer that is not configured", api(API{Audiences: []string{"a"}, Issuers: []string{issuerName, "b"}}), []string{"apis.accounts.issuers[1]"}},
		{"what is asked of proofs", api(API{Audiences: []string{"a"}, DPoP: &dpop.Config{Origins: []string{"https://a"}}}), nil},
		{"proofs without origins", api(API{Audiences: []string{"a"}, DPoP: &dpop.Config{}}), []string{"apis.accounts.dpop.origins"}},
		{"a cache out of bounds", Config{Issuers: goodConfig().Issuers, APIs: goodConfig().APIs, Cache: Cache{MaxTokens: -1, MaxAge: 2 * time.Hour}}, []string{"cache.max_tokens", "cache.max_age"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, problemKeys(test.cfg.Check())); diff != "" {
				t.Errorf("Check() (-want +got):\n%s", diff)
			}
			keys := map[string]Keys{issuerName: newFakeKeys(), "": newFakeKeys()}
			verifier, err := New(test.cfg, Environment{Keys: keys, Replays: &fakeReplays{}, Nonces: testNonces})
			if diff := cmp.Diff(test.want, problemKeys(err)); diff != "" || (verifier == nil) != (test.want != nil) {
				t.Errorf("New() = %v (-want +got):\n%s", verifier, diff)
			}
		})
	}
}

func problemKeys(err error) []string {
	var problems authz.Problems
	errors.As(err, &problems)
	var keys []string
	for _, problem := range problems {
		keys = append(keys, problem.Key)
	}
	return keys
}

func TestIssuerWithoutKeysIsRefused(t *testing.T) {
	if _, err := New(goodConfig(), Environment{}); !cmp.Equal(problemKeys(err), []string{"issuers[0].jwks"}) {
		t.Errorf("New() = %v, want a problem of issuers[0].jwks", err)
	}
}

func TestKeyRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	env := jwks.Environment{Log: slog.New(slog.DiscardHandler)}
	cfg := goodConfig()
	cfg.Issuers[0].JWKS = jwks.Config{File: path}
	if _, err := OpenKeys(cfg, env); !cmp.Equal(problemKeys(err), []string{"issuers[0].jwks.file"}) {
		t.Errorf("OpenKeys() without the file = %v, want a problem of it", err)
	}
	if err := os.WriteFile(path, marshal(object{"keys": allKeys()}), 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := OpenKeys(cfg, env)
	if err != nil {
		t.Fatalf("OpenKeys() = %v", err)
	}
	defer ring.Close()
	if err := ring.Ready(); err != nil {
		t.Errorf("Ready() = %v", err)
	}
	// Two verifiers, one after the other, as after a reload.
	for range 2 {
		keys, err := ring.Keys(cfg)
		if err != nil {
			t.Fatalf("Keys() = %v", err)
		}
		verifier, err := New(cfg, Environment{Keys: keys})
		if err != nil {
			t.Fatalf("New() = %v", err)
		}
		token, err := verify(verifier, sign(goodHeader(), goodClaims()))
		wantReason(t, token, err, authz.Internal)
	}
	cfg.Issuers[0].JWKS.File += ".new"
	if _, err := ring.Keys(cfg); !cmp.Equal(problemKeys(err), []string{"issuers[0].jwks"}) {
		t.Errorf("Keys() of another file = %v, want a problem of it", err)
	}
}
