package standards

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// interaction is an id that a client gives a request.
const interaction = "93bac548-d2de-4546-b106-880a5018460d"

// profileProofs are F: what FAPI 2.0 and 1.0 ask of a resource server.
func profileProofs() []proofOf {
	fapi1 := from(bound, claim("iss", "https://fapi1.example"))
	return slices.Concat(
		rule("F1", bound,
			bad("in the query", authz.MalformedCredentials, sendAs(""), at("/accounts?access_token=a.b.c")),
			bad("nowhere", authz.NoCredentials, sendAs("")),
		),
		rule("F2", bound,
			good("another parameter", at("/accounts?token=a.b.c")),
			bad("in the query as well", authz.RepeatedCredentials, at("/accounts?access_token=a.b.c")),
		),
		rule("F3", bound,
			good("another token of the customer's was revoked", revoked("another")),
			bad("revoked", authz.TokenRevoked, revoked("own")),
			bad("expired", authz.TokenExpired, after("exp", -minutes(2))),
			bad("changed", authz.TokenSignature, compact(otherPayload)),
		),
		rule("F4", bound,
			bad("a scope is lacking", authz.InsufficientScope, claim("scope", "payments")),
			bad("issued to another kind of caller", authz.CallerKind, claim("sub", "acme")),
		),
		rule("F5", fapi2,
			good("by DPoP in place of a certificate", certificate(""), byDPoP),
			bad("bound to nothing", authz.TokenUnbound, claim("cnf", absent)),
			bad("another's certificate", authz.CertificateMismatch, certificate("rekeyed")),
			bad("no certificate", authz.CertificateMissing, certificate("")),
		),
		rule("F6", from(fapi2, algorithm("PS256", "ps256")),
			good("ES256", algorithm("ES256", "es256")),
			good("EdDSA", algorithm("EdDSA", "eddsa")),
			bad("ES384", authz.TokenAlgorithm, algorithm("ES384", "es384")),
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
		rule("F14", from(bound, through("web"), also("x-fapi-interaction-id", interaction)),
			bad("a denial plays it back", authz.TokenExpired, after("exp", -minutes(2))).tells("x-fapi-interaction-id: "+interaction),
			good("what is no UUID is not played back", func(a *ask) { a.headers = nil }, also("x-fapi-interaction-id", "x"), recordOf(mintedInteraction)),
			good("nor are two of them", also("x-fapi-interaction-id", interaction), recordOf(mintedInteraction)),
			bad("none is asked for", authz.TokenExpired, through("bank"), after("exp", -minutes(2))).tells("no x-fapi-interaction-id"),
		),
		rule("F15", from(bound, through("web"), also("x-fapi-interaction-id", interaction), recordOf(func(t *testing.T, record *decisionv1.Decision) {
			if record.InteractionId != interaction {
				t.Errorf("the record has the interaction %q", record.InteractionId)
			}
		})),
			bad("a denial's, too", authz.InsufficientScope, claim("scope", "payments")),
		),
		rule("F16", bound,
			good("an IPv4 address", also("x-fapi-customer-ip-address", "198.51.100.7")),
			good("an IPv6 address", also("x-fapi-customer-ip-address", "2001:db8::7")),
			bad("which does not stand for a certificate", authz.CertificateMissing, also("x-fapi-customer-ip-address", "198.51.100.7"), certificate("")),
		),
		rule("F17", fapi1,
			bad("bound to nothing", authz.TokenUnbound, claim("cnf", absent)),
			bad("bound to a key alone", authz.BindingUnsupported, byDPoP),
			bad("another's certificate", authz.CertificateMismatch, certificate("rekeyed")),
		),
		rule("F18", from(fapi1, algorithm("PS256", "ps256")),
			good("ES256", algorithm("ES256", "es256")),
			bad("EdDSA", authz.TokenAlgorithm, algorithm("EdDSA", "eddsa")),
			bad("RS256", authz.TokenAlgorithm, algorithm("RS256", "ps256")),
			bad("none", authz.TokenAlgorithm, header("alg", "none"), compact(cutSignature)),
		),
	)
}

// fapi2 is a request with a token of an issuer that keeps to FAPI 2.0.
func fapi2(w *world) *ask { return from(bound, claim("iss", "https://fapi2.example"))(w) }

// mintedInteraction holds that the record has an interaction of our own.
func mintedInteraction(t *testing.T, record *decisionv1.Decision) {
	t.Helper()
	if _, err := authz.ParseDecisionID(record.InteractionId); err != nil || record.InteractionId == interaction {
		t.Errorf("the record has the interaction %q, want a new UUID", record.InteractionId)
	}
}

// revoked has a token revoked: the request's own, of which the jti is made that, or
// another. It waits until that is known.
func revoked(id string) change {
	return func(a *ask) {
		if id == "own" {
			a.token.claims["jti"] = id
		}
		err := wire.Revoke(context.Background(), a.system.Config, replay.Revocation{Issuer: "https://as.example", ID: id}, a.now.Add(time.Hour))
		if err != nil {
			panic(err)
		}
		poll := time.NewTicker(5 * time.Millisecond)
		defer poll.Stop()
		gone := &authz.Token{Issuer: "https://as.example", Claims: object{"jti": id}}
		for end := time.Now().Add(patience); time.Now().Before(end); <-poll.C {
			if known, _ := a.system.Pipeline.Revocations.Revoked(gone); known {
				return
			}
		}
	}
}
