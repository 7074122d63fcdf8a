package standards

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// tokenProofs are J: what an access token must say (RFC 9068).
func tokenProofs() []proofOf {
	staff := from(plain, at("/ledgers"), header("kid", "staff"), signedBy("staff"), claim("iss", "https://staff.example"), claim("roles", []string{"auditor"}))
	return slices.Concat(
		rule("J1", plain,
			good("in the case of the RFC's own example", header("typ", "at+JWT")),
			good("in full", header("typ", "Application/at+jwt")),
			good("no typ, of an issuer that is let leave it out", header("typ", absent), claim("iss", "https://legacy.example")),
			bad("no typ", authz.TokenType, header("typ", absent)),
			bad("an ID token", authz.TokenType, header("typ", "JWT")),
			bad("a proof", authz.TokenType, header("typ", "dpop+jwt")),
			bad("a security event", authz.TokenType, header("typ", "secevent+jwt")),
			bad("a logout token", authz.TokenType, header("typ", "logout+jwt")),
			bad("no text", authz.TokenMalformed, header("typ", []string{"at+jwt"})),
		),
		rule("J2", plain,
			bad("five parts", authz.TokenMalformed, compact(appended(".AAAA.AAAA"))),
			bad("five parts, and encrypted by its header", authz.TokenMalformed, compact(func(string) string {
				return encode(marshal(object{"alg": "RSA-OAEP", "enc": "A256GCM"})) + ".AAAA.AAAA.AAAA.AAAA"
			})),
		),
		rule("J3", plain,
			bad("a slash more", authz.TokenIssuer, claim("iss", "https://as.example/")),
			bad("in capitals", authz.TokenIssuer, claim("iss", "https://AS.example")),
			bad("none", authz.TokenClaims, claim("iss", absent)),
			bad("two", authz.TokenClaims, claim("iss", []string{"https://as.example"})),
			bad("another issuer's key", authz.TokenKey, header("kid", "staff"), signedBy("staff")),
			bad("another issuer's key under a kid of this one's", authz.TokenSignature, signedBy("staff")),
		),
		rule("J4", plain,
			good("one of a list", claim("aud", []string{"https://other.example", "https://rs.example"})),
			good("another name of the API's", claim("aud", "https://rs2.example")),
			bad("another", authz.TokenAudience, claim("aud", "https://other.example")),
			bad("none of a list", authz.TokenAudience, claim("aud", []string{"https://other.example"})),
			bad("an empty list", authz.TokenAudience, claim("aud", []string{})),
			bad("a slash more", authz.TokenAudience, claim("aud", "https://rs.example/")),
			bad("none", authz.TokenClaims, claim("aud", absent)),
		),
		rule("J5", plain,
			good("PS256", algorithm("PS256", "ps256")),
			good("EdDSA", algorithm("EdDSA", "eddsa")),
			bad("alg none, and no signature", authz.TokenAlgorithm, header("alg", "none"), compact(cutSignature)),
			bad("no signature", authz.TokenSignature, compact(cutSignature)),
			bad("another payload", authz.TokenSignature, compact(otherPayload)),
			bad("RS256, where it is not configured", authz.TokenAlgorithm, algorithm("RS256", "ps256")),
			bad("no alg", authz.TokenAlgorithm, header("alg", absent)),
		),
		rule("J6", plain,
			good("expired within the skew", after("exp", -5*time.Second)),
			good("issued a little ahead", after("iat", 8*time.Second)),
			good("valid since now", after("nbf", 0)),
			bad("expired", authz.TokenExpired, after("exp", -11*time.Second)),
			bad("expired since it was last sent", authz.TokenExpired, sentAfter(minutes(6))),
			bad("issued far ahead", authz.TokenNotYetValid, after("iat", 61*time.Second)),
			bad("not valid yet", authz.TokenNotYetValid, after("nbf", time.Minute)),
			bad("no exp", authz.TokenClaims, claim("exp", absent)),
		),
		rule("J7", plain, slices.Concat(
			lacking("exp", "aud", "sub", "client_id", "iat", "jti"),
			[]variant{
				good("a fraction of a second", claimsText(replaced(`"jti"`, `"nbf":1.5,"jti"`))),
				bad("exp as text", authz.TokenClaims, claim("exp", "4102444800")),
				bad("exp beyond what is exact", authz.TokenClaims, claim("exp", int64(1)<<53)),
				bad("an infinite exp", authz.TokenClaims, claimsText(member(`"nbf":1e999`))),
				bad("a negative iat", authz.TokenClaims, claim("iat", -1)),
				bad("an empty sub", authz.TokenClaims, claim("sub", "")),
				bad("a sub that is no text", authz.TokenClaims, claim("sub", 7)),
				bad("an empty client_id", authz.TokenClaims, claim("client_id", "")),
			})...),
		rule("J8", plain,
			good("one of several", claim("scope", "payments accounts")),
			good("an array scp, of an issuer that is let send it", claim("scope", absent), claim("scp", []string{"accounts"}), claim("iss", "https://legacy.example")),
			bad("an array", authz.TokenClaims, claim("scope", []string{"accounts"})),
			bad("the beginning of one", authz.InsufficientScope, claim("scope", "account")),
			bad("with more behind", authz.InsufficientScope, claim("scope", "accounts:read")),
			bad("in capitals", authz.InsufficientScope, claim("scope", "Accounts")),
			bad("under a name of other issuers", authz.InsufficientScope, claim("scope", absent), claim("scp", []string{"accounts"})),
			bad("separated by a tab", authz.TokenClaims, claim("scope", "payments\taccounts")),
		),
		rule("J9", from(plain, at("/clients"), claim("sub", "acme")),
			bad("for a customer's operation", authz.CallerKind, at("/accounts")),
			bad("a customer, for a client's operation", authz.CallerKind, claim("sub", "ann")),
		),
		rule("J10", staff,
			bad("no roles", authz.PolicyDenied, claim("roles", absent)),
			bad("roles in a header", authz.PolicyDenied, claim("roles", absent), also("roles", "auditor"), also("x-roles", "auditor")),
			bad("groups, which the issuer's roles are not", authz.PolicyDenied, claim("roles", absent), claim("groups", []string{"auditor"})),
			bad("roles of the wrong type", authz.TokenClaims, claim("roles", object{"auditor": true})),
		),
	)
}

// lacking are tokens without one claim each.
func lacking(names ...string) []variant {
	var variants []variant
	for _, name := range names {
		variants = append(variants, bad("no "+name, authz.TokenClaims, claim(name, absent)))
	}
	return variants
}

func cutSignature(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }

// otherPayload puts another subject under the signature.
func otherPayload(token string) string {
	parts := strings.Split(token, ".")
	claims := strings.Replace(string(must(jose.Decode(parts[1]))), `"ann"`, `"bob"`, 1)
	return parts[0] + "." + encode([]byte(claims)) + "." + parts[2]
}
