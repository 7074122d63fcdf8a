package standards

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// url is where a proof says that it is for.
func url(htu string) change { return proofClaim("htu", htu) }

// possessionProofs are D: proofs of possession (RFC 9449), the checks of §4.3 by their
// numbers, and what stands beside them.
func possessionProofs() []proofOf {
	nonced := from(proven, through("nonce"), fresh(0))
	return slices.Concat(
		rule("D1", proven,
			bad("none", authz.ProofMissing, noProof),
			bad("two", authz.ProofMalformed, also("dpop", proofAlone())),
			bad("the same twice", authz.ProofMalformed, proofText(func(s string) string { return s + "," + s })),
		),
		rule("D2", proven,
			bad("two parts", authz.ProofMalformed, proofText(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })),
			bad("four parts", authz.ProofMalformed, proofText(appended(".AAAA"))),
			bad("padding", authz.ProofMalformed, proofText(appended("=="))),
			bad("a claim twice", authz.ProofMalformed, func(a *ask) { a.proof.claimsText = member(`"htm":"GET"`) }),
			bad("over 4 KiB", authz.ProofMalformed, proofClaim("x", strings.Repeat("x", 4096))),
		),
		rule("D3", proven,
			bad("no jti", authz.ProofMalformed, proofClaim("jti", absent)),
			bad("no htm", authz.ProofMalformed, proofClaim("htm", absent)),
			bad("no htu", authz.ProofMalformed, proofClaim("htu", absent)),
			bad("no iat", authz.ProofMalformed, proofClaim("iat", absent)),
			bad("no ath", authz.ProofMalformed, proofClaim("ath", absent)),
			bad("an empty jti", authz.ProofMalformed, proofClaim("jti", "")),
			bad("a jti that is no text", authz.ProofMalformed, proofClaim("jti", 1)),
			bad("a jti of 257 characters", authz.ProofMalformed, proofClaim("jti", strings.Repeat("j", 257))),
			bad("iat as text", authz.ProofMalformed, proofClaim("iat", "1700000000")),
		),
		rule("D4", proven,
			good("in another case", proofHeader("typ", "DPoP+JWT")),
			bad("no typ", authz.ProofMalformed, proofHeader("typ", absent)),
			bad("JWT", authz.ProofMalformed, proofHeader("typ", "JWT")),
			bad("an access token", authz.ProofMalformed, proofHeader("typ", "at+jwt")),
		),
		rule("D5", proven,
			bad("none", authz.ProofAlgorithm, proofHeader("alg", "none"), proofText(cutSignature)),
			bad("a MAC", authz.ProofAlgorithm, proofHeader("alg", "HS256")),
			bad("RS256", authz.ProofAlgorithm, proofHeader("alg", "RS256"), provenBy("rsa")),
			bad("not of the key's kind", authz.ProofAlgorithm, proofHeader("alg", "PS256")),
		),
		rule("D6", proven,
			bad("by another key than it shows", authz.ProofSignature, func(a *ask) { a.proof.signer = "thief" }),
			bad("of something else", authz.ProofSignature, func(a *ask) {
				a.proof.signed = func(string) []byte { return signature("ES256", "holder", "x") }
			}),
			bad("no jwk", authz.ProofMalformed, proofHeader("jwk", absent)),
		),
		rule("D7", proven, private("d", "p", "q", "dp", "dq", "qi", "oth", "k")...),
		rule("D8", proven,
			bad("another method", authz.ProofMethod, proofClaim("htm", "POST")),
			bad("in small letters", authz.ProofMethod, proofClaim("htm", "get")),
		),
		rule("D9", proven,
			good("with a query", url("https://api.example/accounts?page=9")),
			good("with a fragment", url("https://api.example/accounts#x")),
			good("for a request with a query", func(a *ask) { a.target += "?page=2" }),
			bad("another path", authz.ProofURL, url("https://api.example/payments")),
			bad("another host", authz.ProofURL, url("https://evil.example/accounts")),
			bad("another scheme", authz.ProofURL, url("http://api.example/accounts")),
			bad("another port", authz.ProofURL, url("https://api.example:8443/accounts")),
		),
		rule("D10", nonced,
			bad("none", authz.ProofNonce, proofClaim("nonce", absent)),
			bad("another's", authz.ProofNonce, proofClaim("nonce", "eyJ7S_zG.eyJH0-Z.HX4w-7v")),
			bad("an old one", authz.ProofNonce, fresh(-minutes(11))),
		),
		rule("D11", proven,
			good("10 s ago", proofAfter("iat", -10*time.Second)),
			good("8 s ahead", proofAfter("iat", 8*time.Second)),
			bad("over a minute ago", authz.ProofTime, proofAfter("iat", -61*time.Second)),
			bad("an hour ago", authz.ProofTime, proofAfter("iat", -time.Hour)),
			bad("an hour ahead", authz.ProofTime, proofAfter("iat", time.Hour)),
			bad("sent two minutes later", authz.ProofTime, sentAfter(minutes(2))),
		),
		rule("D12a", proven,
			bad("of another token", authz.ProofToken, proofClaim("ath", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo")),
			bad("padded", authz.ProofMalformed, proofClaim("ath", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo=")),
		),
		rule("D12b", proven,
			bad("another key", authz.ProofKey, provenBy("thief")),
			bad("bound to another key", authz.ProofKey, claim("cnf", object{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
		),
		rule("D13", proven,
			good("unknown claims", proofClaim("x", 1)),
			good("unknown header members", proofHeader("x", "1")),
			good("times that hold", proofAfter("exp", time.Minute), proofAfter("nbf", -time.Minute)),
			bad("exp has passed", authz.ProofTime, proofAfter("exp", -time.Minute)),
			bad("nbf is to come", authz.ProofTime, proofAfter("nbf", time.Minute)),
		),
		rule("D14", from(proven, at("/accounts")),
			good("host and scheme in capitals", url("HTTPS://API.EXAMPLE/accounts")),
			good("the scheme's own port", url("https://api.example:443/accounts")),
			good("encoded without need", url("https://api.example/%61ccounts")),
			good("dot segments", url("https://api.example/x/../accounts")),
			bad("the path in capitals", authz.ProofURL, url("https://api.example/Accounts")),
			bad("a slash more", authz.ProofURL, url("https://api.example/accounts/")),
			bad("an encoded slash", authz.ProofURL, url("https://api.example%2Faccounts")),
			bad("a user", authz.ProofURL, url("https://ann@api.example/accounts")),
			bad("no URL", authz.ProofURL, url("/accounts")),
			bad("where the client says that it is", authz.ProofURL, url("https://evil.example/accounts"), also("x-forwarded-host", "evil.example")),
		),
		rule("D15", proven,
			good("as old as may be", proofAfter("iat", -60*time.Second)),
			good("as far ahead as may be", proofAfter("iat", 10*time.Second)),
			bad("a second older", authz.ProofTime, proofAfter("iat", -61*time.Second)),
			bad("a second further ahead", authz.ProofTime, proofAfter("iat", 11*time.Second)),
		),
		rule("D16", proven,
			good("another proof of the same holder before", func(a *ask) { a.before = append(a.before, earlier{proven(a.world), authz.Granted}) }),
			bad("sent twice", authz.ProofReplayed, again(2)),
			good("refused before for something else", usedBefore(authz.ProofMethod, proofClaim("htm", "PUT"))),
			bad("made anew with the jti of one that was used", authz.ProofReplayed, usedBefore(authz.Granted)),
			bad("used before for the URL in another form", authz.ProofReplayed, usedBefore(authz.Granted, url("https://api.example:443/accounts"))),
		),
		rule("D17", nonced,
			good("the one before", fresh(-minutes(5))),
			bad("one that is two old", authz.ProofNonce, fresh(-minutes(10))),
			bad("of another server's making", authz.ProofNonce, proofClaim("nonce", rand.Text())),
			bad("no text", authz.ProofMalformed, proofClaim("nonce", 1)),
		),
		rule("D18", proven,
			good("a proof beside a token that is not bound", sendAs("Bearer"), claim("cnf", absent)),
			bad("sent as Bearer, with its proof", authz.ProofDowngraded, sendAs("Bearer")),
			bad("sent as Bearer, without", authz.ProofDowngraded, sendAs("Bearer"), noProof),
		),
	)
}

// private show a part of a private key each.
func private(members ...string) []variant {
	var variants []variant
	for _, name := range members {
		variants = append(variants, bad(name, authz.ProofMalformed, proofHeader("jwk", jwk("holder", name, "AAAA"))))
	}
	return variants
}

// usedBefore has the proof's jti in an earlier request of the same holder, which is
// changed, and what came of it.
func usedBefore(want authz.Reason, changes ...change) change {
	return func(a *ask) {
		first := proven(a.world)
		first.proof.claims["jti"] = a.proof.claims["jti"]
		for _, each := range changes {
			each(first)
		}
		a.before = append(a.before, earlier{first, want})
	}
}
