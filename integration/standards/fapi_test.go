package standards

import (
	"slices"

	"github.com/countersign-io/countersign/authz"
)

// profileProofs are F: what FAPI 2.0 and 1.0 ask of a resource server.
func profileProofs() []proofOf {
	return slices.Concat(
		rule("F1", bound,
			bad("in the query", authz.MalformedCredentials, sendAs(""), at("/accounts?access_token=a.b.c")),
			bad("nowhere", authz.NoCredentials, sendAs("")),
		),
		rule("F2", bound,
			good("another parameter", at("/accounts?token=a.b.c")),
			bad("in the query as well", authz.RepeatedCredentials, at("/accounts?access_token=a.b.c")),
		),
		rule("F4", bound,
			bad("a scope is lacking", authz.InsufficientScope, claim("scope", "payments")),
			bad("issued to another kind of caller", authz.CallerKind, claim("sub", "acme")),
		),
		rule("F5", bound,
			good("by DPoP in place of a certificate", certificate(""), byDPoP),
			bad("another's certificate", authz.CertificateMismatch, certificate("rekeyed")),
			bad("no certificate", authz.CertificateMissing, certificate("")),
		),
		rule("F6", from(bound, algorithm("PS256", "ps256")),
			bad("RS256", authz.TokenAlgorithm, algorithm("RS256", "ps256")),
			bad("none", authz.TokenAlgorithm, header("alg", "none"), compact(cutSignature)),
		),
		rule("F7", bound,
			bad("x5u", authz.TokenMalformed, header("x5u", "https://as.example/x5u")),
			bad("jku", authz.TokenMalformed, header("jku", "https://as.example/jwks")),
		),
		rule("F10", bound,
			bad("a method that the contract does not have", authz.UnknownMethod, func(a *ask) { a.method = "DELETE" }),
		),
		rule("F11", bound,
			bad("no subject", authz.TokenClaims, claim("sub", absent)),
			bad("no client", authz.TokenClaims, claim("client_id", absent)),
			bad("two subjects", authz.TokenMalformed, claimsText(member(`"sub":"bob"`))),
		),
		rule("F16", bound,
			good("an IPv4 address", also("x-fapi-customer-ip-address", "198.51.100.7")),
			good("an IPv6 address", also("x-fapi-customer-ip-address", "2001:db8::7")),
			bad("which does not stand for a certificate", authz.CertificateMissing, also("x-fapi-customer-ip-address", "198.51.100.7"), certificate("")),
		),
	)
}
