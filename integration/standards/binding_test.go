package standards

import (
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// confirmed has a token bound to a certificate in another form of its thumbprint.
func confirmed(member string, form func(forwarded) string) change {
	return func(a *ask) { a.token.claims["cnf"] = object{member: form(a.certificates["acme"])} }
}

// certificateProofs are M: tokens that are bound to a client certificate (RFC 8705).
func certificateProofs() []proofOf {
	return slices.Concat(
		rule("M1", bound,
			bad("padded", authz.TokenClaims, confirmed("x5t#S256", func(c forwarded) string { return c.thumbprint + "=" })),
			bad("hexadecimal", authz.TokenClaims, confirmed("x5t#S256", func(c forwarded) string { return c.hash })),
			bad("a character short", authz.TokenClaims, confirmed("x5t#S256", func(c forwarded) string { return c.thumbprint[1:] })),
			bad("the other alphabet", authz.TokenClaims, confirmed("x5t#S256", func(c forwarded) string { return "+" + c.thumbprint[1:] })),
			bad("of another certificate", authz.CertificateMismatch, confirmed("x5t#S256", func(forwarded) string { return "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" })),
			bad("no text", authz.TokenClaims, claim("cnf", object{"x5t#S256": 1})),
		),
		rule("M2", bound,
			bad("another one on this connection, and the right one in a header", authz.CertificateMismatch, certificate("rekeyed"), toldByClient),
			bad("none on this connection, and the right one in a header", authz.CertificateMissing, certificate(""), toldByClient),
		),
		rule("M3", bound,
			bad("no certificate", authz.CertificateMissing, certificate("")),
			bad("another certificate", authz.CertificateMismatch, certificate("rekeyed")),
		),
		rule("M5", bound, bad("renewed with another key", authz.CertificateMismatch, certificate("rekeyed"))),
		rule("M6", bound, bad("renewed with the same key", authz.CertificateMismatch, certificate("renewed"))),
		rule("M7", bound,
			good("SHA-1 beside SHA-256", claimAlso("cnf", "x5t", "A4DtL2JmUMhAsvJj5tKyn64S")),
			bad("SHA-1 alone", authz.BindingUnsupported, claim("cnf", object{"x5t": "A4DtL2JmUMhAsvJj5tKyn64S"})),
		),
	)
}

// toldByClient has the client itself tell of a certificate that is not its connection's.
func toldByClient(a *ask) { also("x-forwarded-client-cert", xfcc(a.certificates["acme"]))(a) }

// proxied is a request whose certificate stands in the header that Envoy sets.
func proxied(w *world) *ask {
	a := bound(w)
	a.system, a.certificate = w.proxied, ""
	return told(xfcc(w.certificates["acme"]))(a)
}

// told has a header in the place of the one that there was.
func told(value string) func(*ask) *ask {
	return func(a *ask) *ask {
		a.headers = []authz.Header{{Name: "x-forwarded-client-cert", Value: value}}
		return a
	}
}

// forwardedAs changes what Envoy tells of the certificate.
func forwardedAs(to func(of forwarded) string) change {
	return func(a *ask) { told(to(a.certificates["acme"]))(a) }
}

// proxyProofs are P: what Envoy makes of a request before it is seen here.
func proxyProofs() []proofOf {
	note := from(plain, at("/notes"), posting(`{"note":"x"}`))
	return slices.Concat(
		rule("P1", proven,
			good("headers sent apart", raw),
			bad("two credentials, joined", authz.RepeatedCredentials, also("authorization", "Bearer a.b.c")),
			bad("two credentials, apart", authz.RepeatedCredentials, also("authorization", "Bearer a.b.c"), raw),
			bad("two proofs, joined", authz.ProofMalformed, also("dpop", proofAlone())),
			bad("two proofs, apart", authz.ProofMalformed, also("dpop", proofAlone()), raw),
		),
		rule("P2", note, bad("bytes that are not UTF-8", authz.BodyMalformed, posting("{\"id\":\"\xff\"}"))),
		rule("P3", note,
			good("Envoy says that it is whole", also("x-envoy-auth-partial-body", "false")),
			bad("Envoy says that it is a part", authz.BodyTruncated, also("x-envoy-auth-partial-body", "true")),
			bad("its length is another", authz.BodyTruncated, also("content-length", "99")),
		),
		rule("P4", plain,
			good("a query", at("/accounts?page=2")),
			bad("a query that is encoded is a path", authz.PathNotCanonical, at("/accounts%3Fpage=2")),
		),
		rule("P5", bound,
			bad("plus made a space", authz.CertificateMalformed, forwardedText("%2B", "%20")),
			bad("a second block", authz.CertificateMalformed, func(a *ask) { a.forwarded = func(s string) string { return s + s } }),
			bad("more behind", authz.CertificateMalformed, func(a *ask) { a.forwarded = appended("x") }),
		),
		rule("P7", proxied,
			good("names with separators in quotation marks", forwardedAs(func(c forwarded) string {
				return `By=spiffe://bank/envoy;` + xfcc(c) + `;Subject="CN=a\, b;c=\"d\"";URI=https://acme.example`
			})),
			good("keys in another case", forwardedAs(func(c forwarded) string { return "HASH=" + c.hash })),
			bad("two elements", authz.CertificateMalformed, forwardedAs(func(c forwarded) string { return xfcc(c) + "," + xfcc(c) })),
			bad("a Hash that is not Cert's", authz.CertificateMalformed, forwardedAs(func(c forwarded) string {
				return strings.Replace(xfcc(c), "Hash="+c.hash[:2], "Hash="+flipped(c.hash[:2]), 1)
			})),
			bad("Hash twice", authz.CertificateMalformed, forwardedAs(func(c forwarded) string { return "Hash=" + c.hash + ";" + xfcc(c) })),
			bad("no Hash", authz.CertificateMalformed, forwardedAs(func(c forwarded) string { return `Cert="` + c.forwarded + `"` })),
			bad("another on the connection", authz.CertificateConflict, certificate("rekeyed")),
			bad("the header twice", authz.CertificateMalformed, toldByClient, raw),
			bad("where the header is not configured", authz.CertificateMissing, func(a *ask) { a.system = a.bank }),
		),
		rule("P8", bound,
			good("a certificate that nobody vouches for", certificate("acme")),
			bad("it carries no role", authz.CertificateRole, at("/information")),
		),
		rule("P9", plain, slices.Concat([]variant{good("a character that needs no encoding", at("/%61ccounts"))},
			ambiguous("/x/../accounts", "/./accounts", "//accounts", "/accounts;x", "/accounts%2F", "/accounts%2f", "/accounts%5C", "/x/%2e%2e/accounts", "/accounts%00", `/accounts\`))...),
	)
}

func ambiguous(targets ...string) []variant {
	var variants []variant
	for _, target := range targets {
		variants = append(variants, bad(target, authz.PathNotCanonical, at(target)))
	}
	return variants
}

// flipped is another hexadecimal digit in the place of the first.
func flipped(digits string) string {
	if digits[0] == '0' {
		return "1" + digits[1:]
	}
	return "0" + digits[1:]
}

// forwardedText puts one text in the place of another in the certificate.
func forwardedText(old, by string) change {
	return func(a *ask) { a.forwarded = func(s string) string { return strings.ReplaceAll(s, old, by) } }
}
