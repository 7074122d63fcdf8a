package dpop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// TestChecks has for each check of RFC 9449 §4.3 proofs that pass it, and proofs that
// differ from a good one in that alone.
func TestChecks(t *testing.T) {
	es256 := goodHeader("ES256")
	claims := func(members ...any) string { return prove(es256, with(goodClaims(), members...)) }
	header := func(members ...any) string { return prove(with(es256, members...), goodClaims()) }
	good := claims()
	private := with(jwk(keyFor("ES256")), "d", encode(make([]byte, 32)))
	weak := object{"kty": "RSA", "n": encode(bytes.Repeat([]byte{0xff}, 128)), "e": "AQAB"}
	text := func(change func(header, claims string) (string, string)) string {
		h, c := change(string(must(json.Marshal(es256))), string(must(json.Marshal(goodClaims()))))
		return signParts(h, c, "ES256")
	}
	tests := []struct {
		name   string
		proofs []string
		want   authz.Reason
	}{
		{"D1 one proof", []string{good}, authz.Internal},
		{"D1 none", nil, authz.ProofMissing},
		{"D1 two", []string{claims(), claims()}, authz.ProofMalformed},
		{"D1 one twice", []string{good, good}, authz.ProofMalformed},
		{"D1 two, joined by Envoy", []string{claims() + "," + claims()}, authz.ProofMalformed},
		{"D1 one, and an empty one joined to it", []string{claims() + ","}, authz.ProofMalformed},

		{"D2 an empty proof", []string{""}, authz.ProofMalformed},
		{"D2 two parts", []string{good[:strings.LastIndex(good, ".")]}, authz.ProofMalformed},
		{"D2 four parts", []string{good + ".a"}, authz.ProofMalformed},
		{"D2 padded", []string{good + "="}, authz.ProofMalformed},
		{"D2 the JSON serialisation", []string{`{"payload":"e30","signature":"AA"}`}, authz.ProofMalformed},
		{"D2 no object", []string{signParts("[]", "[]", "ES256")}, authz.ProofMalformed},
		{"D2 over 4 KiB", []string{claims("x", strings.Repeat("x", maxProof))}, authz.ProofMalformed},
		{"D2 a header over 2 KiB", []string{header("x", strings.Repeat("x", jose.MaxHeader))}, authz.ProofMalformed},
		{"D2 a claim twice", []string{text(func(h, c string) (string, string) { return h, c[:len(c)-1] + `,"htm":"GET"}` })}, authz.ProofMalformed},
		{"D2 a header member twice", []string{text(func(h, c string) (string, string) { return h[:len(h)-1] + `,"alg":"ES256"}`, c })}, authz.ProofMalformed},
		{"D2 a member of the key twice", []string{text(func(h, c string) (string, string) {
			return strings.Replace(h, `"kty":"EC"`, `"kty":"EC","kty":"EC"`, 1), c
		})}, authz.ProofMalformed},
		{"D2 crit", []string{header("crit", []string{"exp"})}, authz.ProofMalformed},
		{"D2 b64", []string{header("b64", false)}, authz.ProofMalformed},
		{"D2 unknown members are let be", []string{prove(with(es256, "x", 1), with(goodClaims(), "y", object{}))}, authz.Internal},

		{"D3 no jti", []string{claims("jti", absent)}, authz.ProofMalformed},
		{"D3 an empty jti", []string{claims("jti", "")}, authz.ProofMalformed},
		{"D3 a jti that is no string", []string{claims("jti", 1)}, authz.ProofMalformed},
		{"D3 a jti of 256 bytes", []string{claims("jti", strings.Repeat("j", 256))}, authz.Internal},
		{"D3 a jti of 257 bytes", []string{claims("jti", strings.Repeat("j", 257))}, authz.ProofMalformed},
		{"D3 no htm", []string{claims("htm", absent)}, authz.ProofMalformed},
		{"D3 htm of another type", []string{claims("htm", []string{"GET"})}, authz.ProofMalformed},
		{"D3 no htu", []string{claims("htu", absent)}, authz.ProofMalformed},
		{"D3 no iat", []string{claims("iat", absent)}, authz.ProofMalformed},
		{"D3 iat of another type", []string{claims("iat", "1562262618")}, authz.ProofMalformed},
		{"D3 no ath", []string{claims("ath", absent)}, authz.ProofMalformed},
		{"D3 ath padded", []string{claims("ath", encode(make([]byte, 32))+"=")}, authz.ProofMalformed},
		{"D3 a nonce that is no string", []string{claims("nonce", 1)}, authz.ProofMalformed},

		{"D4 typ in another case", []string{header("typ", "DPoP+JWT")}, authz.Internal},
		{"D4 no typ", []string{header("typ", absent)}, authz.ProofMalformed},
		{"D4 JWT", []string{header("typ", "JWT")}, authz.ProofMalformed},
		{"D4 an access token's", []string{header("typ", "at+jwt")}, authz.ProofMalformed},

		{"D5 one that is taken", []string{header("alg", "ES256")}, authz.Internal},
		{"D5 none", []string{text(func(h, c string) (string, string) { return strings.Replace(h, "ES256", "none", 1), c })}, authz.ProofAlgorithm},
		{"D5 no alg", []string{text(func(h, c string) (string, string) { return strings.Replace(h, `"alg":"ES256",`, "", 1), c })}, authz.ProofAlgorithm},
		{"D5 RS256", []string{prove(with(goodHeader("PS256"), "alg", "RS256"), goodClaims())}, authz.ProofAlgorithm},
		{"D5 HS256", []string{text(func(h, c string) (string, string) { return strings.Replace(h, "ES256", "HS256", 1), c })}, authz.ProofAlgorithm},
		{"D5 of another kind of key", []string{text(func(h, c string) (string, string) { return strings.Replace(h, "ES256", "EdDSA", 1), c })}, authz.ProofAlgorithm},
		{"D5 of another curve", []string{text(func(h, c string) (string, string) { return strings.Replace(h, "ES256", "ES384", 1), c })}, authz.ProofAlgorithm},

		{"D6 another's signature", []string{good[:strings.LastIndex(good, ".")] + claims()[strings.LastIndex(claims(), "."):]}, authz.ProofSignature},
		{"D6 no signature", []string{good[:strings.LastIndex(good, ".")+1]}, authz.ProofSignature},
		{"D6 another key in the header", []string{header("jwk", jwk(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))))}, authz.ProofSignature},
		{"D6 no key", []string{header("jwk", absent)}, authz.ProofMalformed},
		{"D6 a key that is no object", []string{header("jwk", "key")}, authz.ProofMalformed},
		{"D6 a key elsewhere", []string{header("jku", "https://evil.example/jwks")}, authz.ProofMalformed},

		{"D7 a private key", []string{header("jwk", private)}, authz.ProofMalformed},
		{"D7 a symmetric key", []string{header("jwk", object{"kty": "oct", "k": "AAAA"})}, authz.ProofMalformed},
		{"D7 a key off its curve", []string{header("jwk", with(jwk(keyFor("ES256")), "x", encode(make([]byte, 32))))}, authz.ProofMalformed},
		{"D7 an RSA key of 1024 bits", []string{text(func(h, c string) (string, string) {
			return string(must(json.Marshal(object{"typ": "dpop+jwt", "alg": "PS256", "jwk": weak}))), c
		})}, authz.ProofMalformed},

		{"D8 another method", []string{claims("htm", "POST")}, authz.ProofMethod},
		{"D8 the method in another case", []string{claims("htm", "get")}, authz.ProofMethod},

		{"D9 with query and fragment", []string{claims("htu", "https://api.bank.example/accounts/22289?page=1#x")}, authz.Internal},
		{"D9 an equivalent URL", []string{claims("htu", "HTTPS://API.bank.example:443/%61ccounts/./22289")}, authz.Internal},
		{"D9 the other origin", []string{claims("htu", "https://other.example/accounts/22289")}, authz.Internal},
		{"D9 another path", []string{claims("htu", "https://api.bank.example/accounts/31820")}, authz.ProofURL},
		{"D9 the path in another case", []string{claims("htu", "https://api.bank.example/Accounts/22289")}, authz.ProofURL},
		{"D9 a trailing slash", []string{claims("htu", "https://api.bank.example/accounts/22289/")}, authz.ProofURL},
		{"D9 an encoded slash", []string{claims("htu", "https://api.bank.example/accounts%2F22289")}, authz.ProofURL},
		{"D9 another host", []string{claims("htu", "https://evil.example/accounts/22289")}, authz.ProofURL},
		{"D9 what the Host header says", []string{claims("htu", "http://evil.example/accounts/22289")}, authz.ProofURL},
		{"D9 another port", []string{claims("htu", "https://api.bank.example:8443/accounts/22289")}, authz.ProofURL},
		{"D9 http", []string{claims("htu", "http://api.bank.example/accounts/22289")}, authz.ProofURL},
		{"D9 a user", []string{claims("htu", "https://a@api.bank.example/accounts/22289")}, authz.ProofURL},
		{"D9 a path alone", []string{claims("htu", "/accounts/22289")}, authz.ProofURL},

		{"D11 10 s ago", []string{claims("iat", now.Add(-10*time.Second).Unix())}, authz.Internal},
		{"D11 in 8 s", []string{claims("iat", now.Add(8*time.Second).Unix())}, authz.Internal},
		{"D11 60 s ago", []string{claims("iat", now.Add(-time.Minute).Unix())}, authz.Internal},
		{"D11 61 s ago", []string{claims("iat", now.Add(-61*time.Second).Unix())}, authz.ProofTime},
		{"D11 in 11 s", []string{claims("iat", now.Add(11*time.Second).Unix())}, authz.ProofTime},
		{"D11 an hour ago", []string{claims("iat", now.Add(-time.Hour).Unix())}, authz.ProofTime},
		{"D11 in an hour", []string{claims("iat", now.Add(time.Hour).Unix())}, authz.ProofTime},
		{"D11 exp and nbf that hold", []string{claims("exp", now.Add(time.Second).Unix(), "nbf", now.Unix())}, authz.Internal},
		{"D11 exp passed", []string{claims("exp", now.Add(-10*time.Second).Unix())}, authz.ProofTime},
		{"D11 nbf to come", []string{claims("nbf", now.Add(11*time.Second).Unix())}, authz.ProofTime},
		{"D11 exp of another type", []string{claims("exp", "soon")}, authz.ProofMalformed},

		{"D12a another token", []string{claims("ath", encode(make([]byte, 32)))}, authz.ProofToken},
		{"D12b another key", []string{prove(goodHeader("ES384"), goodClaims())}, authz.ProofKey},
		{"a nonce where none is demanded", []string{claims("nonce", "of another server")}, authz.Internal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			replays := &fakeReplays{}
			next, err := New(goodConfig(), nil, replays).Verify(t.Context(), call(test.proofs...))
			wantReason(t, err, test.want)
			if accepted := err == nil; accepted != (len(replays.until) == 1) || next != "" {
				t.Errorf("%d proofs are remembered and the next nonce is %q", len(replays.until), next)
			}
		})
	}
}

func TestAlgorithmsOfProofs(t *testing.T) {
	for _, algorithm := range []string{"ES256", "ES384", "PS256", "RS256", "EdDSA"} {
		for name, configured := range map[string][]string{"default": nil, "configured": {algorithm}} {
			cfg := goodConfig()
			cfg.Algorithms = configured
			request := call(prove(goodHeader(algorithm), goodClaims()))
			request.Key = jose.ParseKey(jwk(keyFor(algorithm))).Thumbprint
			_, err := New(cfg, nil, &fakeReplays{}).Verify(t.Context(), request)
			want := authz.Internal
			if configured == nil && (algorithm == "RS256" || algorithm == "ES384") {
				want = authz.ProofAlgorithm
			}
			t.Run("D5 "+algorithm+" by "+name, func(t *testing.T) { wantReason(t, err, want) })
		}
	}
}

// TestOrder breaks several checks at once: the earlier wins, and no store is asked.
func TestOrder(t *testing.T) {
	header, claims := goodHeader("ES384"), goodClaims()
	breaks := []struct {
		breaks func()
		want   authz.Reason
	}{
		{func() {}, authz.ProofKey},
		{func() { claims["ath"] = encode(make([]byte, 32)) }, authz.ProofToken},
		{func() { claims["iat"] = 1 }, authz.ProofTime},
		{func() { claims["nonce"] = "x" }, authz.ProofNonce},
		{func() { claims["htu"] = "x" }, authz.ProofURL},
		{func() { claims["htm"] = "X" }, authz.ProofMethod},
		{func() { header["jwk"] = jwk(keyFor("ES256")) }, authz.ProofAlgorithm},
		{func() { header["jwk"] = object{} }, authz.ProofMalformed},
		{func() { header["alg"] = "RS256" }, authz.ProofAlgorithm},
		{func() { header["typ"] = "JWT" }, authz.ProofMalformed},
	}
	claims["nonce"] = testNonces.at(now)
	verifier := New(demanding(), testNonces, &fakeReplays{fault: errors.New("asked")})
	for _, step := range breaks {
		step.breaks()
		_, err := verifier.Verify(t.Context(), call(prove(header, claims)))
		wantReason(t, err, step.want)
	}
}

func TestProofIsUsedOnce(t *testing.T) {
	replays := &fakeReplays{}
	verifier := New(goodConfig(), nil, replays)
	claims := goodClaims()
	proof := prove(goodHeader("ES256"), claims)
	_, err := verifier.Verify(t.Context(), call(proof))
	wantReason(t, err, authz.Internal)
	for name, again := range map[string]string{
		"the same proof":                 proof,
		"the same jti, signed again":     prove(goodHeader("ES256"), claims),
		"the same jti for an equal URL":  prove(goodHeader("ES256"), with(claims, "htu", "https://API.bank.example/accounts/22289?x")),
		"the same jti, made a bit later": prove(goodHeader("ES256"), with(claims, "iat", now.Add(time.Second).Unix())),
	} {
		if _, err := verifier.Verify(t.Context(), call(again)); authz.ReasonOf(err) != authz.ProofReplayed {
			t.Errorf("%s: Verify() = %v, want %v", name, err, authz.ProofReplayed)
		}
	}
	// Within the URL and for the key only: two clients may choose the same jti.
	for name, fresh := range map[string]string{
		"another jti": prove(goodHeader("ES256"), with(claims, "jti", "another")),
		"another URL": prove(goodHeader("ES256"), with(claims, "htu", "https://other.example/accounts/22289")),
	} {
		if _, err := verifier.Verify(t.Context(), call(fresh)); err != nil {
			t.Errorf("%s: Verify() = %v", name, err)
		}
	}
	other := call(prove(goodHeader("ES384"), claims))
	other.Key = jose.ParseKey(jwk(keyFor("ES384"))).Thumbprint
	_, err = verifier.Verify(t.Context(), other)
	wantReason(t, err, authz.Internal)
	for _, until := range replays.until {
		if last := now.Add(mostMaxAge); until.Before(last) { // what another configuration may take
			t.Errorf("remembered until %v, want no earlier than %v", until, last)
		}
	}
}

func TestOneOfManyAtOnceIsFresh(t *testing.T) {
	verifier := New(goodConfig(), nil, &fakeReplays{})
	proof := prove(goodHeader("ES256"), goodClaims())
	accepted := make(chan error, 20)
	for range cap(accepted) {
		go func() {
			_, err := verifier.Verify(t.Context(), call(proof))
			accepted <- err
		}()
	}
	count := 0
	for range cap(accepted) {
		if err := <-accepted; err == nil {
			count++
		} else if authz.ReasonOf(err) != authz.ProofReplayed {
			t.Errorf("Verify() = %v, want %v", err, authz.ProofReplayed)
		}
	}
	if count != 1 {
		t.Errorf("accepted %d times, want once", count)
	}
}

func TestStoreThatCannotTellRefuses(t *testing.T) {
	// Whatever reason a store's error might wrap.
	for _, fault := range []error{errors.New("store: full"), authz.ProofMissing, context.DeadlineExceeded} {
		_, err := New(goodConfig(), nil, &fakeReplays{fault: fault}).Verify(t.Context(), call(prove(goodHeader("ES256"), goodClaims())))
		wantReason(t, err, authz.ReplaysUnavailable)
	}
}

// TestWorkOfAProofIsBounded has keys that issuers may have, each larger than the last that
// a proof may be made with.
func TestWorkOfAProofIsBounded(t *testing.T) {
	for _, test := range []struct {
		name     string
		bits     uint
		exponent int64
		want     authz.Reason
	}{
		{"as large as may be", 4096, 65537, authz.ProofSignature},
		{"a bit larger", 4097, 65537, authz.ProofMalformed},
		{"as an issuer's", 8192, 65537, authz.ProofMalformed},
		{"another exponent", 2048, 65539, authz.ProofMalformed},
	} {
		members := object{"kty": "RSA", "e": encode(big.NewInt(test.exponent).Bytes())}
		for n := new(big.Int).Lsh(big.NewInt(1), test.bits-1); jose.ParseKey(members) == nil; n.Add(n, big.NewInt(1)) {
			members["n"] = encode(n.Bytes())
		}
		header := must(json.Marshal(object{"typ": "dpop+jwt", "alg": "PS256", "jwk": members}))
		proof := signParts(string(header), string(must(json.Marshal(goodClaims()))), "PS256")
		_, err := New(goodConfig(), nil, &fakeReplays{}).Verify(t.Context(), call(proof))
		if got := authz.ReasonOf(err); got != test.want {
			t.Errorf("%s: Verify() = %v, want %v", test.name, err, test.want)
		}
	}
}

// TestProofOfRFC9449 takes the proof, the token and the key of §7.1.
func TestProofOfRFC9449(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
		"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
		"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
		"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj" +
		"oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z" +
		"WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF" +
		"c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E" +
		"OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	key := must(jose.Decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"))
	request := &authz.Request{Method: "GET", Target: "/protectedresource", Headers: authz.Headers{{Name: "dpop", Value: proof}}}
	call := Call{Request: request, Token: token, Key: [32]byte(key), At: time.Unix(1562262618, 0)}
	verifier := New(Config{Origins: []string{"https://resource.example.org"}}, nil, &fakeReplays{})
	_, err := verifier.Verify(t.Context(), call)
	wantReason(t, err, authz.Internal)
	call.Key[0] ^= 1
	_, err = verifier.Verify(t.Context(), call)
	wantReason(t, err, authz.ProofKey)
}

func TestErrorsTellNothingOfTheProof(t *testing.T) {
	secret := "zz-secret"
	good := goodClaims()
	for _, claims := range []object{
		with(good, "htm", secret), with(good, "htu", "https://"+secret+"/"), with(good, "htu", secret), with(good, "nonce", secret),
		with(good, "iat", secret), with(good, "jti", strings.Repeat(secret, 100)), with(good, "ath", secret),
	} {
		_, err := New(demanding(), testNonces, &fakeReplays{}).Verify(t.Context(), call(prove(with(goodHeader("ES256"), secret, 1), claims)))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Verify() = %v, want an error that does not hold %q", err, secret)
		}
	}
}
