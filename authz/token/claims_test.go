package token

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func TestClaims(t *testing.T) {
	seconds := func(d time.Duration) float64 { return float64(now.Add(d).UnixMilli()) / 1000 }
	tests := []struct {
		name    string
		members []any
		want    authz.Reason
	}{
		{"J7 all that is required", nil, authz.Internal},
		{"J7 no iss", []any{"iss", absent}, authz.TokenClaims},
		{"J7 no exp", []any{"exp", absent}, authz.TokenClaims},
		{"J7 no aud", []any{"aud", absent}, authz.TokenClaims},
		{"J7 no sub", []any{"sub", absent}, authz.TokenClaims},
		{"J7 no client_id", []any{"client_id", absent}, authz.TokenClaims},
		{"J7 no iat", []any{"iat", absent}, authz.TokenClaims},
		{"J7 no jti", []any{"jti", absent}, authz.TokenClaims},
		{"J7 iss of another type", []any{"iss", []string{issuerName}}, authz.TokenClaims},
		{"J7 sub of another type", []any{"sub", 1}, authz.TokenClaims},
		{"J7 sub null", []any{"sub", nil}, authz.TokenClaims},
		{"J7 sub empty", []any{"sub", ""}, authz.TokenClaims},
		{"J7 sub of 256 characters", []any{"sub", strings.Repeat("s", 256)}, authz.Internal},
		{"H7 sub over 256 characters", []any{"sub", strings.Repeat("s", 257)}, authz.TokenClaims},
		{"H6 NUL in sub", []any{"sub", "ann\x00"}, authz.TokenClaims},
		{"a line break in sub", []any{"sub", "ann\r\nx-role: admin"}, authz.TokenClaims},
		{"sub that is not ASCII", []any{"sub", "änn"}, authz.TokenClaims},
		{"client_id of another type", []any{"client_id", true}, authz.TokenClaims},
		{"a line break in client_id", []any{"client_id", "a\nb"}, authz.TokenClaims},
		{"jti of another type", []any{"jti", 1}, authz.TokenClaims},
		{"H7 jti over 256 characters", []any{"jti", strings.Repeat("j", 257)}, authz.TokenClaims},

		{"J3 another issuer", []any{"iss", "https://other.example"}, authz.TokenIssuer},
		{"J3 a trailing slash", []any{"iss", issuerName + "/"}, authz.TokenIssuer},
		{"J3 another case", []any{"iss", strings.ToUpper(issuerName)}, authz.TokenIssuer},

		{"J4 aud is an array", []any{"aud", []string{"https://other.example", audience}}, authz.Internal},
		{"J4 another audience", []any{"aud", "https://other.example"}, authz.TokenAudience},
		{"J4 a longer audience", []any{"aud", audience + "/"}, authz.TokenAudience},
		{"J4 an empty array", []any{"aud", []string{}}, authz.TokenAudience},
		{"J4 aud of another type", []any{"aud", object{"a": audience}}, authz.TokenClaims},
		{"J4 aud holds another type", []any{"aud", []any{audience, 1}}, authz.TokenClaims},

		{"J6 just before exp and skew", []any{"exp", seconds(-9 * time.Second)}, authz.Internal},
		{"J6 at exp and skew", []any{"exp", seconds(-10 * time.Second)}, authz.TokenExpired},
		{"J6 a fraction before exp and skew", []any{"exp", seconds(-9990 * time.Millisecond)}, authz.Internal},
		{"J6 expired long ago", []any{"exp", 1}, authz.TokenExpired},
		{"J6 exp a string", []any{"exp", "4102444800"}, authz.TokenClaims},
		{"J6 exp null", []any{"exp", nil}, authz.TokenClaims},
		{"J6 exp negative", []any{"exp", -1}, authz.TokenClaims},
		{"J6 exp in the year 9999", []any{"exp", 253402300799}, authz.Internal},
		{"J6 exp of 2^53", []any{"exp", json.Number("9007199254740992")}, authz.TokenClaims},
		{"J6 exp beyond every number", []any{"exp", json.Number("1e400")}, authz.TokenClaims},
		{"J6 nbf within skew", []any{"nbf", seconds(10 * time.Second)}, authz.Internal},
		{"J6 nbf to come", []any{"nbf", seconds(11 * time.Second)}, authz.TokenNotYetValid},
		{"J6 nbf far to come", []any{"nbf", 253402300799}, authz.TokenNotYetValid},
		{"J6 nbf a string", []any{"nbf", "1"}, authz.TokenClaims},
		{"J6 iat within skew", []any{"iat", seconds(10 * time.Second)}, authz.Internal},
		{"J6 iat to come", []any{"iat", seconds(11 * time.Second)}, authz.TokenNotYetValid},
		{"J6 iat a string", []any{"iat", "1"}, authz.TokenClaims},

		{"J8 no scope", []any{"scope", absent}, authz.Internal},
		{"J8 scope an array", []any{"scope", []string{"accounts"}}, authz.TokenClaims},
		{"J8 scope null", []any{"scope", nil}, authz.TokenClaims},
		{"J8 a tab in scope", []any{"scope", "accounts\tpayments"}, authz.TokenClaims},
		{"J8 a quote in scope", []any{"scope", `"accounts"`}, authz.TokenClaims},
		{"J10 auth_time a string", []any{"auth_time", "1"}, authz.TokenClaims},
		{"J10 auth_time after iat", []any{"auth_time", seconds(time.Hour)}, authz.TokenClaims},
		{"J10 acr of another type", []any{"acr", 2}, authz.TokenClaims},
		{"J10 amr a string", []any{"amr", "pwd"}, authz.TokenClaims},
		{"J10 amr holds another type", []any{"amr", []any{"pwd", 1}}, authz.TokenClaims},

		{"act of another type", []any{"act", "robot"}, authz.TokenClaims},
		{"act without a subject", []any{"act", object{"iss": issuerName}}, authz.TokenClaims},
		{"act with a subject of another type", []any{"act", object{"sub": 1}}, authz.TokenClaims},
		{"act with a line break in its subject", []any{"act", object{"sub": "a\nb"}}, authz.TokenClaims},
		{"roles of another type", []any{"roles", object{"admin": true}}, authz.TokenClaims},
		{"roles hold another type", []any{"roles", []any{"admin", 1}}, authz.TokenClaims},
		{"roles hold a line break", []any{"roles", []any{"a\nb"}}, authz.TokenClaims},
		{"region of another type", []any{"region", []string{"GB"}}, authz.TokenClaims},
		{"tenant of another type", []any{"tenant", 1}, authz.TokenClaims},
		{"consent of another type", []any{"openbanking_intent_id", object{"value": "1"}}, authz.TokenClaims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
			claims := goodClaims()
			if test.members != nil {
				claims = with(claims, test.members...)
			}
			credential := sign(goodHeader(), claims)
			// The same answer the first time and from the cache.
			for range 2 {
				token, err := verify(verifier, credential)
				wantReason(t, token, err, test.want)
			}
		})
	}
}

func TestTokenIsWhatItsClaimsSay(t *testing.T) {
	claims := with(goodClaims(), "roles", []string{"teller", "auditor"}, "region", "GB", "tenant", "retail", "openbanking_intent_id", "c-1",
		"acr", "loa3", "amr", []string{"pwd", "otp"}, "auth_time", now.Add(-2*time.Minute).Unix(), "scope", " accounts  payments ",
		"act", object{"sub": "robot", "act": object{"sub": "history"}}, "exp", now.Add(time.Minute).Unix())
	prepared := 0
	cfg := goodConfig()
	prepare := func(claims map[string]any) any {
		prepared++
		return claims["sub"]
	}
	verifier, err := New(cfg, Environment{Keys: map[string]Keys{issuerName: newFakeKeys(allKeys()...)}, Prepare: prepare})
	if err != nil {
		t.Fatal(err)
	}
	credential := sign(goodHeader(), claims)
	token, err := verify(verifier, credential)
	if err != nil {
		t.Fatal(err)
	}
	want := &authz.Token{
		Caller: authz.Caller{Kind: authz.Customer, Issuer: issuerName, Subject: "ann", Client: "acme", Tenant: "retail",
			Roles: []string{"teller", "auditor"}, Scopes: []string{"accounts", "payments"}, Actor: "robot", Region: "GB", Consent: "c-1"},
		Issuer: issuerName, Claims: must(authz.ParseJSON(marshal(claims), 16)).(map[string]any), Prepared: "ann",
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Minute), AuthTime: now.Add(-2 * time.Minute),
		ACR: "loa3", AMR: []string{"pwd", "otp"},
	}
	if diff := cmp.Diff(want, token); diff != "" {
		t.Errorf("Verify() (-want +got):\n%s", diff)
	}
	if again, err := verify(verifier, credential); err != nil || again != token || prepared != 1 {
		t.Errorf("Verify() again = %p, %v, prepared %d times, want %p, prepared once", again, err, prepared, token)
	}
}

func TestFarExpiryCanBeToldInNanoseconds(t *testing.T) {
	token, err := verify(newVerifier(t, goodConfig(), newFakeKeys(allKeys()...)), sign(goodHeader(), with(goodClaims(), "exp", 253402300799)))
	if err != nil || token.ExpiresAt.UnixNano() < now.UnixNano() {
		t.Errorf("Verify() = %v, %v, want an expiry to come", token, err)
	}
}

func TestUnmappedClaimsAreNotRead(t *testing.T) {
	cfg := goodConfig()
	cfg.Issuers[0].Claims = ClaimNames{}
	claims := with(goodClaims(), "roles", []string{"admin"}, "region", 1, "tenant", "retail", "", "empty")
	token, err := verify(newVerifier(t, cfg, newFakeKeys(allKeys()...)), sign(goodHeader(), claims))
	if err != nil {
		t.Fatal(err)
	}
	if c := token.Caller; c.Roles != nil || c.Region != "" || c.Tenant != "" || c.Consent != "" {
		t.Errorf("Verify() = %+v, want nothing of what is not mapped", c)
	}
}

func TestRolesAsAString(t *testing.T) {
	token, err := verify(newVerifier(t, goodConfig(), newFakeKeys(allKeys()...)), sign(goodHeader(), with(goodClaims(), "roles", "teller auditor")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"teller", "auditor"}, token.Caller.Roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}

func TestKindOfCaller(t *testing.T) {
	all := func(kind string) Issuer { return Issuer{Kind: kind} }
	claim := Issuer{KindClaim: KindClaim{Name: "actor_type", Values: map[string]string{"psu": "customer", "tpp": "client", "employee": "staff"}}}
	itself := []any{"sub", "acme"}
	tests := []struct {
		name    string
		issuer  Issuer
		members []any
		want    authz.Kind // Anonymous: refused
	}{
		{"an issuer of customers", all("customer"), []any{"sub", "ann"}, authz.Customer},
		{"an issuer of staff", all("staff"), []any{"sub", "ann"}, authz.Staff},
		{"an issuer of clients", all("client"), []any{"sub", "ann"}, authz.Client},
		{"J9 a client by itself at an issuer of customers", all("customer"), itself, authz.Client},
		{"J9 a client by itself at an issuer of staff", all("staff"), itself, authz.Client},
		{"J9 a client by itself whose claim says customer", claim, append(itself, "actor_type", "psu"), authz.Client},
		{"J9 a client by itself without the claim", claim, itself, authz.Client},
		{"the claim says customer", claim, []any{"actor_type", "psu"}, authz.Customer},
		{"the claim says client", claim, []any{"actor_type", "tpp"}, authz.Client},
		{"the claim says staff", claim, []any{"actor_type", "employee"}, authz.Staff},
		{"the claim has a value that is not mapped", claim, []any{"actor_type", "customer"}, authz.Anonymous},
		{"the claim has another case", claim, []any{"actor_type", "PSU"}, authz.Anonymous},
		{"the claim is empty", claim, []any{"actor_type", ""}, authz.Anonymous},
		{"the claim is of another type", claim, []any{"actor_type", []string{"psu"}}, authz.Anonymous},
		{"the claim is absent", claim, []any{"actor_type", absent}, authz.Anonymous},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := goodConfig()
			cfg.Issuers[0].Kind, cfg.Issuers[0].KindClaim = test.issuer.Kind, test.issuer.KindClaim
			token, err := verify(newVerifier(t, cfg, newFakeKeys(allKeys()...)), sign(goodHeader(), with(goodClaims(), test.members...)))
			if test.want == authz.Anonymous {
				wantReason(t, token, err, authz.TokenClaims)
				return
			}
			if err != nil || token.Caller.Kind != test.want {
				t.Errorf("Verify() = %v, %v, want kind %v", token, err, test.want)
			}
		})
	}
}

// TestClaimsAreNotReadBeforeTheSignature sends claims that are all wrong under a bad
// signature: what is told is the signature.
func TestClaimsAreNotReadBeforeTheSignature(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	claims := object{"iss": issuerName, "sub": 1, "exp": "x", "cnf": 1, "aud": 1}
	token, err := verify(verifier, signingInput(goodHeader(), claims)+"."+encode(make([]byte, 64)))
	wantReason(t, token, err, authz.TokenSignature)
}

func TestErrorsTellNothingOfTheToken(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	const secret = "s3cret"
	for _, credential := range []string{
		sign(with(goodHeader(), "kid", secret), goodClaims()), sign(with(goodHeader(), "typ", secret), goodClaims()),
		signingInput(with(goodHeader(), "alg", secret), goodClaims()) + ".",
		sign(goodHeader(), with(goodClaims(), "iss", secret)), sign(goodHeader(), with(goodClaims(), "aud", secret)),
		sign(goodHeader(), with(goodClaims(), "sub", secret+"\n")), sign(goodHeader(), with(goodClaims(), "scope", secret+"\n")),
		sign(goodHeader(), with(goodClaims(), "exp", secret)), sign(goodHeader(), with(goodClaims(), "cnf", secret)),
		encode([]byte(`{"`+secret+`":1,"`+secret+`":1}`)) + ".e30.", secret,
	} {
		token, err := verify(verifier, credential)
		if err == nil || token != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Verify() = %v, %v, want an error without what the token holds", token, err)
		}
	}
}

func TestIssuersOfAnAPI(t *testing.T) {
	const other, payments = "https://other.example", authz.API("payments")
	cfg := goodConfig()
	second := cfg.Issuers[0]
	second.Issuer = other
	cfg.Issuers = append(cfg.Issuers, second)
	cfg.APIs[payments] = API{Audiences: []string{audience}, Issuers: []string{other}}
	keys := newFakeKeys(allKeys()...)
	verifier := newVerifier(t, cfg, keys)
	credential := sign(goodHeader(), goodClaims())
	before := keys.asked.Load()

	token, err := verifier.Verify(context.Background(), authz.Match{API: payments}, bearing(credential), nil, now)
	wantReason(t, token, err, authz.TokenIssuer)
	if keys.asked.Load() != before {
		t.Error("a token of an issuer that the API does not take caused a look-up of a key")
	}
	token, err = verify(verifier, credential)
	wantReason(t, token, err, authz.Internal)
	// Now that it is remembered, too.
	token, err = verifier.Verify(context.Background(), authz.Match{API: payments}, bearing(credential), nil, now)
	wantReason(t, token, err, authz.TokenIssuer)
}
