package standards

import (
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// credentialProofs are B: where a token may stand, and what it is bound to.
func credentialProofs() []proofOf {
	twice := func(a *ask) { also("authorization", "Bearer "+a.token.make())(a) }
	return slices.Concat(
		rule("B1", plain,
			good("the scheme in small letters", sendAs("bearer")),
			good("a query of the API's own", at("/accounts?page=2")),
			bad("no credentials", authz.NoCredentials, sendAs("")),
			bad("in the query alone", authz.MalformedCredentials, sendAs(""), at("/accounts?access_token=a.b.c")),
			bad("in the query as well", authz.RepeatedCredentials, at("/accounts?access_token=a.b.c")),
			bad("in the query as well, its name encoded", authz.RepeatedCredentials, at("/accounts?%61ccess_token=a.b.c")),
			bad("in a form", authz.MalformedCredentials, sendAs(""), form("access_token=a.b.c")),
			bad("in a form as well", authz.RepeatedCredentials, form("access_token=a.b.c")),
			bad("another scheme", authz.UnsupportedScheme, sendAs("Basic")),
			bad("twice", authz.RepeatedCredentials, twice),
		),
		rule("B2", plain,
			good("more than one space", sendAs("Bearer ")),
			bad("an empty token", authz.MalformedCredentials, compact(func(string) string { return "" })),
			bad("a comma behind it", authz.RepeatedCredentials, compact(appended(","))),
			bad("a tab before it", authz.MalformedCredentials, sendAs("Bearer\t")),
			bad("a NUL in it", authz.MalformedCredentials, compact(appended("\x00"))),
			bad("what is not ASCII in it", authz.MalformedCredentials, compact(appended("é"))),
			bad("a token68 that is no token", authz.TokenMalformed, compact(func(string) string { return "abc==" })),
		),
		rule("B3", proven,
			good("a proof beside a token that needs none is not looked at", sendAs("Bearer"), claim("cnf", absent), proofClaim("htm", "PUT")),
			bad("bound to a key, and sent as Bearer", authz.ProofDowngraded, sendAs("Bearer")),
			bad("not bound, and sent as DPoP", authz.ProofUnbound, claim("cnf", absent)),
		),
		rule("B4", fapi2,
			good("bound to a key in place of a certificate", certificate(""), byDPoP),
			bad("bound to nothing", authz.TokenUnbound, claim("cnf", absent)),
		),
		rule("B5", bound,
			good("unknown members beside a known one", claimAlso("cnf", "kid", "1")),
			bad("unknown members alone", authz.BindingUnsupported, claim("cnf", object{"kid": "1"})),
			bad("a key itself in place of its thumbprint", authz.BindingUnsupported, claim("cnf", object{"jwk": jwk("holder")})),
			bad("no members", authz.BindingUnsupported, claim("cnf", object{})),
			bad("no object", authz.TokenClaims, claim("cnf", "x")),
		),
		rule("B6", both,
			bad("no certificate", authz.CertificateMissing, certificate("")),
			bad("another certificate", authz.CertificateMismatch, certificate("rekeyed")),
			bad("no proof", authz.ProofMissing, noProof),
			bad("another key's proof", authz.ProofKey, provenBy("thief")),
		),
	)
}

// claimAlso adds a member to a claim that is an object.
func claimAlso(name, of string, value any) change {
	return func(a *ask) { a.token.claims[name].(object)[of] = value }
}

const (
	bearerRealm = `www-authenticate: Bearer realm="bank"`
	dpopRealm   = `www-authenticate: DPoP realm="bank"`
	algs        = `, algs="PS256 ES256 EdDSA"`
)

const (
	// multiple is RFC 9449 §7.2's.
	multiple = `, error="invalid_request", error_description="Multiple methods used to include access token"`
	metadata = `, resource_metadata="https://api.example/.well-known/oauth-protected-resource/bank"`
	exposed  = "access-control-expose-headers: WWW-Authenticate, DPoP-Nonce, Retry-After, RateLimit-Policy, RateLimit, Allow, x-fapi-interaction-id"
)

// form has a form for a body.
func form(fields string) change {
	return func(a *ask) {
		at("/notes")(a)
		a.method, a.body, a.mediaType = "POST", fields, "application/x-www-form-urlencoded"
	}
}

// failure are the parameters of a challenge that say what is wrong.
func failure(code string, reason authz.Reason) string {
	return `, error="` + code + `", error_description="` + reason.Title() + `"`
}

// answerProofs are E: what the caller is told.
func answerProofs() []proofOf {
	invalid := func(reason authz.Reason) []string {
		return []string{bearerRealm + failure("invalid_token", reason), dpopRealm + algs}
	}
	proof := func(reason authz.Reason) []string {
		return []string{dpopRealm + failure("invalid_dpop_proof", reason) + algs, bearerRealm}
	}
	limited := from(plain, at("/limited"))
	return slices.Concat(
		rule("E1", plain,
			bad("no credentials", authz.NoCredentials, sendAs("")).tells(bearerRealm, dpopRealm+algs),
			bad("another scheme", authz.UnsupportedScheme, sendAs("Basic")).tells(bearerRealm, dpopRealm+algs),
			bad("where no proofs are taken", authz.NoCredentials, sendAs(""), through("certificates")).
				tells(`www-authenticate: Bearer realm="certificates"`),
		),
		rule("E2", plain,
			bad("not a token68", authz.MalformedCredentials, compact(appended("é"))).
				tells(bearerRealm+failure("invalid_request", authz.MalformedCredentials), dpopRealm+algs),
			bad("in the query", authz.MalformedCredentials, sendAs(""), at("/accounts?access_token=a.b.c")).
				tells(bearerRealm+failure("invalid_request", authz.MalformedCredentials), dpopRealm+algs),
			bad("in a form", authz.MalformedCredentials, sendAs(""), form("access_token=a.b.c")).
				tells(bearerRealm+failure("invalid_request", authz.MalformedCredentials), dpopRealm+algs),
		),
		rule("E3", plain,
			bad("Bearer and DPoP", authz.RepeatedCredentials, func(a *ask) { also("authorization", "DPoP "+a.token.make())(a) }).
				tells(bearerRealm+multiple, dpopRealm+multiple+algs),
		),
		rule("E4", plain,
			bad("expired", authz.TokenExpired, after("exp", -minutes(2))).tells(invalid(authz.TokenExpired)...),
			bad("a bad signature", authz.TokenSignature, signedBy("stranger")).tells(invalid(authz.TokenSignature)...),
			bad("of another issuer", authz.TokenIssuer, claim("iss", "https://evil.example")).tells(invalid(authz.TokenIssuer)...),
			bad("for another audience", authz.TokenAudience, claim("aud", "https://evil.example")).tells(invalid(authz.TokenAudience)...),
			bad("an ID token", authz.TokenType, header("typ", "JWT")).tells(invalid(authz.TokenType)...),
		),
		rule("E5", bound,
			bad("another certificate", authz.CertificateMismatch, certificate("rekeyed")).tells(invalid(authz.CertificateMismatch)...),
			bad("no certificate", authz.CertificateMissing, certificate("")).tells(invalid(authz.CertificateMissing)...),
		),
		rule("E6", proven,
			bad("sent as Bearer", authz.ProofDowngraded, sendAs("Bearer")).tells(invalid(authz.ProofDowngraded)...),
		),
		rule("E7", proven,
			bad("another key", authz.ProofKey, provenBy("thief")).
				tells(dpopRealm+`, error="invalid_token", error_description="Invalid DPoP key binding"`+algs, bearerRealm),
		),
		rule("E8", proven,
			bad("no proof", authz.ProofMissing, noProof).tells(proof(authz.ProofMissing)...),
			bad("for another method", authz.ProofMethod, proofClaim("htm", "PUT")).tells(proof(authz.ProofMethod)...),
		),
		rule("E9", from(proven, through("nonce"), fresh(0)),
			bad("no nonce", authz.ProofNonce, proofClaim("nonce", absent), func(a *ask) { a.nonceAt(0) }).tells(
				`www-authenticate: DPoP realm="nonce", error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"`+algs,
				`www-authenticate: Bearer realm="nonce"`, "cache-control: no-store"),
		),
		rule("E10", from(plain, at("/secure"), claim("acr", "loa3"), after("auth_time", -minutes(2))),
			bad("too long ago", authz.StepUpRequired, after("auth_time", -minutes(6))).tells(
				bearerRealm+failure("insufficient_user_authentication", authz.StepUpRequired)+`, acr_values="loa3 loa4", max_age="300"`, dpopRealm+algs),
		),
		rule("E11", plain,
			bad("another scope", authz.InsufficientScope, claim("scope", "payments")).
				tells(bearerRealm+failure("insufficient_scope", authz.InsufficientScope)+`, scope="accounts"`),
		),
		rule("E12", from(limited, claim("client_id", "busy")),
			bad("once too often", authz.LimitReached, claim("client_id", "busier"), again(2)).
				tells("retry-after: 60", "cache-control: no-store"),
		),
		rule("E14", plain,
			bad("the issuer's keys cannot be fetched", authz.KeysUnavailable, claim("iss", "https://down.example")).
				tells("retry-after: 1", "cache-control: no-store"),
		),
		rule("E15", plain,
			bad("what would end a quoted string, in a claim", authz.TokenIssuer, claim("iss", `https://x", error="none`)).tells(invalid(authz.TokenIssuer)...),
			bad("a scheme that would begin a challenge", authz.UnsupportedScheme, sendAs("Evil")).tells(bearerRealm, dpopRealm+algs),
		),
		rule("E16", proven,
			good("dpop in small letters", sendAs("dpop")),
			good("dpop in capitals", sendAs("DPOP")),
			bad("bearer in capitals", authz.ProofDowngraded, sendAs("BEARER")),
		),
		rule("E17", plain,
			bad("a problem document", authz.TokenExpired, after("exp", -minutes(2))).tells("content-type: application/problem+json", "cache-control: no-store"),
		),
		rule("E18", from(plain, at("/scripts")),
			bad("a scope is lacking", authz.InsufficientScope, claim("scope", "payments")).tells(exposed),
			bad("elsewhere it is not told", authz.InsufficientScope, at("/accounts"), claim("scope", "payments")).tells("no access-control-expose-headers"),
		),
		rule("E19", from(plain, through("web")),
			bad("no credentials", authz.NoCredentials, sendAs("")).tells(`www-authenticate: Bearer realm="web"`+metadata),
			bad("a bad token", authz.TokenExpired, after("exp", -minutes(2))).
				tells(`www-authenticate: Bearer realm="web"`+failure("invalid_token", authz.TokenExpired)+metadata),
			bad("a scope is lacking", authz.InsufficientScope, claim("scope", "payments")).
				tells(`www-authenticate: Bearer realm="web"`+failure("insufficient_scope", authz.InsufficientScope)+`, scope="accounts"`+metadata),
		),
		rule("E22", plain,
			bad("an unknown path is told to a good token", authz.UnknownPath, at("/nowhere")),
			bad("to a bad one it is not", authz.TokenExpired, at("/nowhere"), after("exp", -minutes(2))),
			bad("nor without one", authz.NoCredentials, at("/nowhere"), sendAs("")),
			bad("a bad token comes before a lacking scope", authz.TokenExpired, claim("scope", ""), after("exp", -minutes(2))),
			bad("the path before the token", authz.PathNotCanonical, at("/accounts/../x"), sendAs("")),
			bad("the certificate before the scope", authz.CertificateRequired, at("/information"), claim("scope", "")),
		),
	)
}

// fresh has the proof hold the nonce that was told so long after now.
func fresh(later time.Duration) change {
	return func(a *ask) { a.proof.claims["nonce"] = a.nonceAt(later) }
}
