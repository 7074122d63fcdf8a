package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

func TestAlgorithms(t *testing.T) {
	keys := newFakeKeys(allKeys()...)
	for _, algorithm := range jose.Algorithms {
		header := with(goodHeader(), "alg", algorithm, "kid", absent)
		good := sign(header, goodClaims())
		t.Run("J5 "+algorithm+" is accepted where it is configured", func(t *testing.T) {
			token, err := verify(newVerifier(t, goodConfig(), keys), good)
			wantReason(t, token, err, authz.Internal)
		})
		t.Run("J5 "+algorithm+" with another payload is refused", func(t *testing.T) {
			forged := signingInput(header, with(goodClaims(), "sub", "bob")) + good[strings.LastIndex(good, "."):]
			token, err := verify(newVerifier(t, goodConfig(), keys), forged)
			wantReason(t, token, err, authz.TokenSignature)
		})
		t.Run("J5 "+algorithm+" without a signature is refused", func(t *testing.T) {
			token, err := verify(newVerifier(t, goodConfig(), keys), good[:strings.LastIndex(good, ".")+1])
			wantReason(t, token, err, authz.TokenSignature)
		})
		t.Run("H1 "+algorithm+" is refused where it is not configured", func(t *testing.T) {
			cfg := goodConfig()
			cfg.Issuers[0].Algorithms = nil
			want := authz.TokenAlgorithm
			if algorithm == "ES256" || algorithm == "PS256" || algorithm == "EdDSA" {
				want = authz.Internal
			}
			token, err := verify(newVerifier(t, cfg, keys), good)
			wantReason(t, token, err, want)
		})
	}
}

// TestAlgorithmConfusion signs with the public key as an HMAC secret, in all forms in
// which one could hold it (RFC 8725 §2.1).
func TestAlgorithmConfusion(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	for _, kid := range []string{"RS", "ES256"} {
		key := privateKeys[kid]()
		der := must(x509.MarshalPKIXPublicKey(key.Public()))
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		secrets := map[string][]byte{
			"PEM": block, "PEM without a last line break": []byte(strings.TrimSpace(string(block))),
			"DER": der, "base64url of DER": []byte(encode(der)),
			"JWK": marshal(jwkOf(key, kid)), "JWK set": marshal(object{"keys": []object{jwkOf(key, kid)}}),
			"empty": {},
		}
		for name, secret := range secrets {
			for _, algorithm := range []string{"HS256", "hs256", "ES256", "PS256"} {
				t.Run("H1 "+algorithm+" by the "+kid+" key as "+name, func(t *testing.T) {
					input := signingInput(with(goodHeader(), "alg", algorithm, "kid", kid), goodClaims())
					token, err := verify(verifier, input+"."+encode(hmacSHA256(secret, input)))
					if token != nil || authz.ReasonOf(err).OAuthError() != "invalid_token" {
						t.Errorf("Verify() = %v, %v, want invalid_token", token, err)
					}
				})
			}
		}
	}
}

// hmacSHA256 is the MAC by any key, an empty one too, which no approved module takes.
func hmacSHA256(key []byte, text string) (sum []byte) {
	fips140.WithoutEnforcement(func() {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		sum = mac.Sum(nil)
	})
	return sum
}

func TestAlgorithmNames(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	for _, algorithm := range []string{"none", "None", "NONE", "nOnE", "noNE", "es256", "ES256 ", "ES256K", "Ed25519", "HS256", "RSA-OAEP", "dir"} {
		for _, signed := range []string{"", encode(signature("ES256", keyFor("ES256"), "x"))} {
			t.Run("H1 "+algorithm+" is refused", func(t *testing.T) {
				token, err := verify(verifier, signingInput(with(goodHeader(), "alg", algorithm), goodClaims())+"."+signed)
				wantReason(t, token, err, authz.TokenAlgorithm)
			})
		}
	}
}

func TestKeyAndAlgorithmAgree(t *testing.T) {
	only := jwkOf(privateKeys["RS"](), "RS")
	only["alg"] = "PS256"
	verifier := newVerifier(t, goodConfig(), newFakeKeys(only, jwkOf(keyFor("ES256"), "ES256"), jwkOf(keyFor("ES384"), "ES384")))
	tests := []struct {
		name, algorithm, kid string
		want                 authz.Reason
	}{
		{"H1 the JWK's own algorithm", "PS256", "RS", authz.Internal},
		{"H1 another algorithm than the JWK's", "RS256", "RS", authz.TokenKey},
		{"H1 another hash than the JWK's", "PS384", "RS", authz.TokenKey},
		{"H1 another type of key", "PS256", "ES256", authz.TokenKey},
		{"H1 another curve", "ES256", "ES384", authz.TokenKey},
		{"H3 an unknown kid", "ES256", "../../etc/passwd", authz.TokenKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := verify(verifier, sign(with(goodHeader(), "alg", test.algorithm, "kid", test.kid), goodClaims()))
			wantReason(t, token, err, test.want)
		})
	}
}

// TestKeyThatDoesNotFitIsNotTried does not rely on Keys to find only keys that fit.
func TestKeyThatDoesNotFitIsNotTried(t *testing.T) {
	key := newFakeKeys(jwkOf(keyFor("PS256"), "RS")).set.Load().Find("RS", "PS256")
	parsed := must(parse(sign(goodHeader(), goodClaims())))
	if err := verifySignature(parsed, key); !errors.Is(err, authz.TokenKey) {
		t.Errorf("verifySignature(ES256 by an RSA key) = %v, want %v", err, authz.TokenKey)
	}
}

func TestSignatureForms(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	input := signingInput(goodHeader(), goodClaims())
	digest := sha256.Sum256([]byte(input))
	raw := signature("ES256", keyFor("ES256"), input)
	n := keyFor("ES256").(*ecdsa.PrivateKey).Params().N
	tests := []struct {
		name      string
		signature []byte
		want      authz.Reason
	}{
		{"H9 r and s", raw, authz.Internal},
		{"H9 DER", must(ecdsa.SignASN1(rand.Reader, keyFor("ES256").(*ecdsa.PrivateKey), digest[:])), authz.TokenSignature},
		{"H9 one byte short", raw[:63], authz.TokenSignature},
		{"H9 one byte long", append(raw[:64:64], 0), authz.TokenSignature},
		{"H9 all zero", make([]byte, 64), authz.TokenSignature},
		{"H9 s is the order", append(raw[:32:32], n.Bytes()...), authz.TokenSignature},
		{"H9 r and s swapped", append(raw[32:64:64], raw[:32]...), authz.TokenSignature},
		{"H9 another key of the same kind", signature("ES256", must(ecdsa.GenerateKey(keyFor("ES256").(*ecdsa.PrivateKey).Curve, rand.Reader)), input), authz.TokenSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := verify(verifier, input+"."+encode(test.signature))
			wantReason(t, token, err, test.want)
		})
	}
}

func TestPSSSaltLength(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	input := signingInput(with(goodHeader(), "alg", "PS256", "kid", "RS"), goodClaims())
	digest := sha256.Sum256([]byte(input))
	for _, test := range []struct {
		name string
		salt int
		want authz.Reason
	}{
		{"H2 as long as the hash", 32, authz.Internal},
		{"H2 shorter", 20, authz.TokenSignature},
		{"H2 longer", 64, authz.TokenSignature},
		{"H2 the longest", 256 - 2 - 32, authz.TokenSignature},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := &rsa.PSSOptions{SaltLength: test.salt}
			var signed []byte
			// No approved module signs with a salt that is longer than the hash.
			fips140.WithoutEnforcement(func() {
				signed = must(rsa.SignPSS(rand.Reader, keyFor("PS256").(*rsa.PrivateKey), crypto.SHA256, digest[:], options))
			})
			token, err := verify(verifier, input+"."+encode(signed))
			wantReason(t, token, err, test.want)
		})
	}
}

func TestHeader(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	tests := []struct {
		name    string
		members []any
		want    authz.Reason
	}{
		{"a header member that means nothing here", []any{"x5t", "abc"}, authz.Internal},
		{"H4 crit is refused", []any{"crit", []string{"exp"}, "exp", 1}, authz.TokenMalformed},
		{"H4 an empty crit is refused", []any{"crit", []string{}}, authz.TokenMalformed},
		{"H4 b64 is refused", []any{"b64", false}, authz.TokenMalformed},
		{"H3 jwk is refused", []any{"jwk", jwkOf(keyFor("ES256"), "ES256")}, authz.TokenMalformed},
		{"H3 jku is refused", []any{"jku", "https://evil.example/jwks"}, authz.TokenMalformed},
		{"H3 x5u is refused", []any{"x5u", "https://evil.example/x5u"}, authz.TokenMalformed},
		{"H3 x5c is refused", []any{"x5c", []string{"MII"}}, authz.TokenMalformed},
		{"H7 zip is refused", []any{"zip", "DEF"}, authz.TokenMalformed},
		{"H3 a kid over 256 bytes is refused", []any{"kid", strings.Repeat("k", jose.MaxKeyID+1)}, authz.TokenMalformed},
		{"H3 a kid of 256 bytes is only unknown", []any{"kid", strings.Repeat("k", jose.MaxKeyID)}, authz.TokenKey},
		{"H3 a kid of another type is refused", []any{"kid", 1}, authz.TokenMalformed},
		{"H3 an empty kid is refused", []any{"kid", ""}, authz.TokenMalformed},
		{"H3 no kid, and one key that fits", []any{"kid", absent}, authz.Internal},
		{"H7 a header over 2 KiB is refused", []any{"x", strings.Repeat("x", jose.MaxHeader)}, authz.TokenTooLarge},

		{"J1 at+JWT", []any{"typ", "at+JWT"}, authz.Internal},
		{"J1 application/at+jwt", []any{"typ", "Application/AT+jwt"}, authz.Internal},
		{"J1 no typ", []any{"typ", absent}, authz.TokenType},
		{"J1 an empty typ", []any{"typ", ""}, authz.TokenMalformed},
		{"J1 typ of another type", []any{"typ", []string{"at+jwt"}}, authz.TokenMalformed},
		{"J1 JWT", []any{"typ", "JWT"}, authz.TokenType},
		{"J1 application/", []any{"typ", "application/"}, authz.TokenType},
		{"J1 application/ twice", []any{"typ", "application/application/at+jwt"}, authz.TokenType},
		{"H10 a proof", []any{"typ", "dpop+jwt"}, authz.TokenType},
		{"H10 a security event", []any{"typ", "secevent+jwt"}, authz.TokenType},
		{"H10 a logout token", []any{"typ", "logout+jwt"}, authz.TokenType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := verify(verifier, sign(with(goodHeader(), test.members...), goodClaims()))
			wantReason(t, token, err, test.want)
		})
	}
}

func TestLegacyType(t *testing.T) {
	cfg := goodConfig()
	cfg.Issuers[0].Types = []string{"JWT"}
	verifier := newVerifier(t, cfg, newFakeKeys(allKeys()...))
	for kind, want := range map[string]authz.Reason{"jwt": authz.Internal, "at+jwt": authz.TokenType} {
		token, err := verify(verifier, sign(with(goodHeader(), "typ", kind), goodClaims()))
		wantReason(t, token, err, want)
	}
}

// TestForm signs parts that are wrong as they stand, so that nothing but their form
// can be what is refused.
func TestForm(t *testing.T) {
	header, payload := string(marshal(goodHeader())), string(marshal(goodClaims()))
	nested := func(depth int) string {
		return payload[:len(payload)-1] + `,"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
	}
	signed := func(header, payload string) string {
		input := header + "." + payload
		return input + "." + encode(signature("ES256", keyFor("ES256"), input))
	}
	both := func(header, payload string) string { return signed(encode([]byte(header)), encode([]byte(payload))) }
	good := both(header, payload)
	tests := []struct {
		name, token string
		want        authz.Reason
	}{
		{"as it should be", good, authz.Internal},
		{"H5 two parts", good[:strings.LastIndex(good, ".")], authz.TokenMalformed},
		{"H5 four parts", good + ".a", authz.TokenMalformed},
		{"H5 five parts", good + ".a.b", authz.TokenMalformed},
		{"H5 dots alone", "..", authz.TokenMalformed},
		{"H5 an empty header", signed("", encode([]byte(payload))), authz.TokenMalformed},
		{"H5 an empty payload", signed(encode([]byte(header)), ""), authz.TokenMalformed},
		{"H5 a padded signature", good + "==", authz.TokenMalformed},
		{"H5 trailing bits", flipTrailingBits(good), authz.TokenMalformed},
		{"H5 the standard alphabet", signed(encode([]byte(header)), "eyJ+Pj4iOiI/Pz8ifQ"), authz.TokenMalformed},
		{"H6 the header is an array", both("["+header+"]", payload), authz.TokenMalformed},
		{"H6 the payload is a string", both(header, `"x"`), authz.TokenMalformed},
		{"H6 the payload is null", both(header, `null`), authz.TokenMalformed},
		{"H6 a header member stands twice", both(header[:len(header)-1]+`,"alg":"none"}`, payload), authz.TokenMalformed},
		{"H6 a claim stands twice", both(header, payload[:len(payload)-1]+`,"sub":"bob"}`), authz.TokenMalformed},
		{"H6 a claim stands twice, once escaped", both(header, payload[:len(payload)-1]+`,"\u0073ub":"bob"}`), authz.TokenMalformed},
		{"H6 a nested member stands twice", both(header, payload[:len(payload)-1]+`,"cnf":{"jkt":"a","jkt":"b"}}`), authz.TokenMalformed},
		{"H6 trailing bytes", both(header, payload+"{}"), authz.TokenMalformed},
		{"H6 a byte order mark", both("\ufeff"+header, payload), authz.TokenMalformed},
		{"H6 invalid UTF-8", both(header, payload[:len(payload)-1]+",\"x\":\"\xff\"}"), authz.TokenMalformed},
		{"H6 depth 16", both(header, nested(15)), authz.Internal},
		{"H6 depth 17", both(header, nested(16)), authz.TokenMalformed},
		{"H8 a nested JWT", both(`{"alg":"ES256","typ":"at+jwt","kid":"ES256","cty":"JWT"}`, good), authz.TokenMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := verify(newVerifier(t, goodConfig(), newFakeKeys(allKeys()...)), test.token)
			wantReason(t, token, err, test.want)
		})
	}
}

// flipTrailingBits gives the last character a bit that decoding would drop: 64 bytes
// leave four of them.
func flipTrailingBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last|1:last|1+1]
}

// FuzzVerify proves that no Authorization header but one with the token that the issuer
// signed is accepted, and that none ends in a panic.
func FuzzVerify(f *testing.F) {
	verifier := newVerifier(f, goodConfig(), newFakeKeys(allKeys()...))
	good := sign(goodHeader(), goodClaims())
	input := good[:strings.LastIndex(good, ".")]
	for _, seed := range []string{
		"", "Bearer", "Bearer a.b.c", "Bearer " + good, "bEARER  " + good, "Bearer " + input + "." + good, "Basic YTpi",
		"Bearer " + input, "Bearer " + input + ".", "Bearer " + input + "." + encode(make([]byte, 64)),
		"Bearer " + good + "=", "Bearer " + good + "," + good, "Bearer " + sign(goodHeader(), with(goodClaims(), "exp", 0)),
		"Bearer " + signingInput(with(goodHeader(), "alg", "none"), goodClaims()) + ".", "bearer e30.e30.e30",
		"Bearer " + signingInput(with(goodHeader(), "crit", []string{"exp"}), goodClaims()) + ".AAAA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		request := &authz.Request{Headers: authz.Headers{{Name: "authorization", Value: value}}}
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, nil, now)
		if err == nil && !isCredential(value, input) || (token != nil) != (err == nil) {
			t.Fatal("Verify() accepted a token that nobody signed")
		}
		if err != nil && authz.ReasonOf(err) == authz.Internal {
			t.Errorf("Verify() = %v, want a reason", err)
		}
	})
}

// credentialPattern is RFC 6750 §2.1's, with the input of a signature and any signature.
const credentialPattern = `^(?i:bearer) +%s\.[A-Za-z0-9_-]+$`

// isCredential reports a header with what was signed.
func isCredential(value, input string) bool {
	return regexp.MustCompile(fmt.Sprintf(credentialPattern, regexp.QuoteMeta(input))).MatchString(value)
}
