package bank

import (
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// published fetches the key set as Countersign does.
func published(t *testing.T, bank *Bank) jwk.Set {
	t.Helper()
	answer := httptest.NewRecorder()
	bank.Issuer.ServeHTTP(answer, httptest.NewRequest("GET", "/jwks.json", nil))
	set, err := jwk.Parse(answer.Body.Bytes())
	if err != nil {
		t.Fatalf("jwk.Parse: %v", err)
	}
	return set
}

func TestSignedTokens(t *testing.T) {
	bank := openBank(t)
	keys := published(t, bank)
	tests := []struct {
		name     string
		token    Token
		verifies bool
	}{
		{"ES256 verifies", Token{As: "ann"}, true},
		{"PS256 verifies", Token{As: "ann", Algorithm: PS256}, true},
		{"an ID token verifies", Token{As: "ann", Bad: idToken}, true},
		{"alg none does not", Token{As: "ann", Bad: algNone}, false},
		{"an HMAC with the public key does not", Token{As: "ann", Bad: publicSecret}, false},
		{"an unknown key does not", Token{As: "ann", Bad: unknownKey}, false},
		{"an unknown key under a known id does not", Token{As: "ann", Bad: forgedKey}, false},
		{"a changed token does not", Token{As: "ann", Bad: tampered}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := bank.Sign(test.token)
			if err != nil {
				t.Fatalf("Sign: %v", err)
			}
			_, err = jws.Verify([]byte(token), jws.WithCompact(), jws.WithKeySet(keys))
			if verifies := err == nil; verifies != test.verifies {
				t.Errorf("it verifies: %t, want %t", verifies, test.verifies)
			}
		})
	}
}

// payload reads a token's claims without verifying anything.
func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestClaims(t *testing.T) {
	bank := openBank(t)
	now := float64(bank.now.Unix())
	acme := map[string]any{"x5t#S256": bank.Certificates.thumbprint(Acme)}
	tests := []struct {
		name  string
		token Token
		want  map[string]any // nil means that there is no such claim
	}{
		{"a customer's token is bound to the client's certificate", Token{As: "ann"},
			map[string]any{"iss": IssuerName, "environment": "production", "sub": "ann", "client_id": "acme", "actor_type": "psu", "cnf": acme, "auth_time": now - 60, "exp": now + 600}},
		{"a client by itself did not log in", Token{As: Acme},
			map[string]any{"sub": "acme", "client_id": "acme", "actor_type": "tpp", "cnf": acme, "auth_time": nil, "acr": nil, "openbanking_intent_id": nil}},
		{"the staff's token is not bound", Token{As: "sam"},
			map[string]any{"iss": StaffName, "client_id": "desk", "cnf": nil}},
		{"another client has its own certificate", Token{As: "ann", Client: Zeta},
			map[string]any{"client_id": "zeta", "cnf": map[string]any{"x5t#S256": bank.Certificates.thumbprint(Zeta)}}},
		{"a token can be bound to the client's key", Token{As: "ann", Bound: toKey}, map[string]any{"cnf": map[string]any{"jkt": jkt(t, bank, Acme)}}},
		{"and to both", Token{As: "ann", Client: Zeta, Bound: toBoth},
			map[string]any{"cnf": map[string]any{"jkt": jkt(t, bank, Zeta), "x5t#S256": bank.Certificates.thumbprint(Zeta)}}},
		{"a claim is replaced, set by duration, or taken away", Token{As: "ann", Claims: map[string]any{"scope": "accounts", "nbf": "5m", "jti": nil}},
			map[string]any{"scope": "accounts", "nbf": now + 300, "jti": nil}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := bank.Sign(test.token)
			if err != nil {
				t.Fatalf("Sign: %v", err)
			}
			claims := payload(t, token)
			for name, want := range test.want {
				if diff := cmp.Diff(want, claims[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestMistakesInTokens(t *testing.T) {
	bank := openBank(t)
	for name, token := range map[string]Token{
		"nobody of that name":     {As: "eve"},
		"a duration that is none": {As: "ann", Claims: map[string]any{"exp": "soon"}},
		"an unknown algorithm":    {As: "ann", Algorithm: "RS256"},
		"an unknown way":          {As: "ann", Bad: "upside_down"},
		"an unknown binding":      {As: "ann", Bound: "hand and foot"},
	} {
		if _, err := bank.Sign(token); err == nil {
			t.Errorf("%s: Sign succeeds", name)
		}
	}
	if token, err := bank.Sign(Token{}); token != "" || err != nil {
		t.Errorf("Sign(Token{}) = %q, %v; want none", token, err)
	}
}

func TestTokensDiffer(t *testing.T) {
	bank := openBank(t)
	first, err := bank.Sign(Token{As: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := bank.Sign(Token{As: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if payload(t, first)["jti"] == payload(t, second)["jti"] {
		t.Error("two tokens have one jti")
	}
	if exp := payload(t, first)["exp"].(float64); exp < float64(time.Now().Unix()) {
		t.Error("the token has expired already")
	}
}
