package standards

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// signatureProofs are H: how a token is signed and written (RFC 8725, RFC 7515).
func signatureProofs() []proofOf {
	return slices.Concat(
		rule("H1", plain, slices.Concat(named(), confused(), []variant{
			good("EdDSA by a key of its kind", algorithm("EdDSA", "eddsa")),
			bad("another kind of key", authz.TokenKey, header("alg", "PS256")),
			bad("another curve", authz.TokenKey, header("kid", "es384"), signedBy("es384")),
			bad("an algorithm that the issuer is not configured for", authz.TokenAlgorithm, algorithm("ES384", "es384")),
		})...),
		rule("H2", from(plain, algorithm("PS256", "ps256")),
			good("ES256", algorithm("ES256", "es256")),
			good("EdDSA", algorithm("EdDSA", "eddsa")),
			bad("RS256", authz.TokenAlgorithm, algorithm("RS256", "ps256")),
			bad("a salt that is shorter than the hash", authz.TokenSignature, salted(20)),
			bad("a salt that is longer than the hash", authz.TokenSignature, salted(64)),
		),
		rule("H3", plain,
			good("no kid, and one key that fits", header("kid", absent)),
			bad("jwk", authz.TokenMalformed, header("jwk", jwk("stranger")), signedBy("stranger")),
			bad("jku", authz.TokenMalformed, header("jku", "https://as.example/jwks")),
			bad("x5u", authz.TokenMalformed, header("x5u", "https://as.example/x5u")),
			bad("x5c", authz.TokenMalformed, header("x5c", []string{"MII"})),
			bad("an unknown kid", authz.TokenKey, header("kid", "es257")),
			bad("a kid that is a path", authz.TokenKey, header("kid", "../../etc/passwd")),
			bad("a kid that is a query", authz.TokenKey, header("kid", "' or 1=1 --")),
			bad("a kid of 257 characters", authz.TokenMalformed, header("kid", strings.Repeat("k", 257))),
			bad("a kid that is no text", authz.TokenMalformed, header("kid", 1)),
		),
		rule("H4", plain,
			good("another member, which nobody calls critical", header("exp", 1)),
			bad("critical, and not understood", authz.TokenMalformed, header("crit", []string{"http://example.invalid/UNDEFINED"}), header("http://example.invalid/UNDEFINED", true)),
			bad("critical, and registered", authz.TokenMalformed, header("crit", []string{"alg"})),
			bad("critical, and absent", authz.TokenMalformed, header("crit", []string{"exp"})),
			bad("nothing critical", authz.TokenMalformed, header("crit", []string{})),
			bad("b64", authz.TokenMalformed, header("b64", false)),
		),
		rule("H5", plain,
			bad("two parts", authz.TokenMalformed, compact(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })),
			bad("four parts", authz.TokenMalformed, compact(appended(".AAAA"))),
			bad("padding", authz.TokenMalformed, compact(appended("=="))),
			bad("the other alphabet", authz.TokenMalformed, encoded(func(h, p string) (string, string) { return h, p + "+/" })),
			bad("bits that decode to nothing", authz.TokenMalformed, compact(trailingBits)),
			bad("the JSON serialisation, whose commas part headers", authz.RepeatedCredentials, compact(func(s string) string {
				parts := strings.Split(s, ".")
				return string(marshal(object{"protected": parts[0], "payload": parts[1], "signature": parts[2]}))
			})),
		),
		rule("H6", plain, slices.Concat([]variant{
			good("nested 16 deep", claimsText(member(`"x":`+nested(15)))),
			bad("nested 17 deep", authz.TokenMalformed, claimsText(member(`"x":`+nested(16)))),
			bad("a claim twice", authz.TokenMalformed, claimsText(member(`"sub":"bob"`))),
			bad("a claim twice, once in escapes", authz.TokenMalformed, claimsText(member(`"s\u0075b":"bob"`))),
			bad("a member of a claim twice", authz.TokenMalformed, claimsText(member(`"x":{"a":1,"a":2}`))),
			bad("a header member twice", authz.TokenMalformed, headerText(member(`"alg":"ES256"`))),
			bad("a header in a list", authz.TokenMalformed, headerText(func(s string) string { return "[" + s + "]" })),
			bad("more behind the claims", authz.TokenMalformed, claimsText(appended("{}"))),
			bad("a byte order mark", authz.TokenMalformed, claimsText(func(s string) string { return "\ufeff" + s })),
			bad("what is not UTF-8", authz.TokenMalformed, claimsText(member("\"x\":\"\xff\""))),
		}, withNUL("iss", authz.TokenIssuer), withNUL("sub", authz.TokenClaims), withNUL("aud", authz.TokenAudience))...),
		rule("H7", plain,
			good("of 7 KiB", claim("x", strings.Repeat("x", 5000))),
			good("a jti of 256 characters", claim("jti", strings.Repeat("j", 256))),
			bad("over 8 KiB", authz.TokenTooLarge, claim("x", strings.Repeat("x", 6200))),
			bad("a header over 2 KiB", authz.TokenTooLarge, header("x", strings.Repeat("x", 1600))),
			bad("a jti of 257 characters", authz.TokenClaims, claim("jti", strings.Repeat("j", 257))),
			bad("a sub of 257 characters", authz.TokenClaims, claim("sub", strings.Repeat("s", 257))),
			bad("zip", authz.TokenMalformed, header("zip", "DEF")),
		),
		rule("H8", plain,
			bad("a token in a token", authz.TokenMalformed, header("cty", "JWT"), encoded(func(h, p string) (string, string) {
				inner := h + "." + p
				return h, encode([]byte(inner + "." + encode(signature("ES256", "es256", inner))))
			})),
		),
		rule("H9", plain,
			bad("DER", authz.TokenSignature, signedDER),
			bad("a byte short", authz.TokenSignature, resigned(func(s []byte) []byte { return s[:63] })),
			bad("a byte long", authz.TokenSignature, resigned(func(s []byte) []byte { return append(s, 0) })),
			bad("all zero", authz.TokenSignature, resigned(func(s []byte) []byte { return make([]byte, 64) })),
			bad("s is the order of the curve", authz.TokenSignature, resigned(func(s []byte) []byte {
				return append(s[:32], signers["es256"]().(*ecdsa.PrivateKey).Params().N.Bytes()...)
			})),
			bad("r is zero", authz.TokenSignature, resigned(func(s []byte) []byte { return append(make([]byte, 32), s[32:]...) })),
		),
		rule("H10", plain,
			bad("a proof by its type", authz.TokenType, header("typ", "dpop+jwt")),
			bad("a status list by its type", authz.TokenType, header("typ", "statuslist+jwt")),
			bad("an answer of introspection by its type", authz.TokenType, header("typ", "token-introspection+jwt")),
			bad("a proof in place of the token", authz.TokenMalformed, compact(func(string) string { return proofAlone() })),
		),
		rule("H12", from(plain, algorithm("EdDSA", "eddsa")),
			bad("named Ed25519", authz.TokenAlgorithm, header("alg", "Ed25519")),
		),
	)
}

// named are the names of algorithms that are none of ours.
func named() []variant {
	var variants []variant
	for _, name := range []string{"none", "None", "NONE", "nOnE", "noNE", "es256", "ES256K", "HS256"} {
		variants = append(variants, bad("named "+name, authz.TokenAlgorithm, header("alg", name)))
	}
	return variants
}

// confused are MACs by the issuer's public key, in the forms in which one could hold it.
func confused() []variant {
	public := must(x509.MarshalPKIXPublicKey(signers["ps256"]().Public()))
	var variants []variant
	for _, form := range []struct {
		name   string
		secret []byte
	}{
		{"PEM", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})},
		{"DER", public}, {"a JWK", marshal(jwk("ps256"))}, {"base64url", []byte(encode(public))},
	} {
		mac := func(a *ask) {
			a.token.header["alg"], a.token.header["kid"] = "HS256", "ps256"
			a.token.signed = func(text string) []byte {
				mac := hmac.New(sha256.New, form.secret)
				mac.Write([]byte(text))
				return mac.Sum(nil)
			}
		}
		variants = append(variants, bad("a MAC by the public key as "+form.name, authz.TokenAlgorithm, mac))
	}
	return variants
}

// salted signs by PSS with a salt of that length.
func salted(length int) change {
	return func(a *ask) {
		a.token.signed = func(text string) []byte {
			hash, digest := digestOf("PS256", text)
			return must(rsa.SignPSS(rand.Reader, signers["ps256"]().(*rsa.PrivateKey), hash, digest, &rsa.PSSOptions{SaltLength: length}))
		}
	}
}

// resigned changes a signature by ES256.
func resigned(to func([]byte) []byte) change {
	return func(a *ask) {
		a.token.signed = func(text string) []byte { return to(signature("ES256", "es256", text)) }
	}
}

func signedDER(a *ask) {
	a.token.signed = func(text string) []byte {
		_, digest := digestOf("ES256", text)
		return must(ecdsa.SignASN1(rand.Reader, signers["es256"]().(*ecdsa.PrivateKey), digest))
	}
}

// trailingBits gives the last character a bit that decoding would drop: 64 bytes leave
// four of them.
func trailingBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + alphabet[last|1:last|1+1]
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// withNUL has U+0000 in a claim.
func withNUL(name string, want authz.Reason) []variant {
	return []variant{bad("a NUL in "+name, want, func(a *ask) {
		a.token.claims[name] = a.token.claims[name].(string) + "\x00"
	})}
}

// proofAlone is a proof that is good by itself.
func proofAlone() string {
	proof := jws{signer: "holder", header: object{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk("holder")}, claims: object{"jti": "1"}}
	return proof.make()
}
