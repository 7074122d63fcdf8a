package standards

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// stepUpProofs are U: how strongly and how lately the user has authenticated (RFC 9470).
func stepUpProofs() []proofOf {
	secure := from(plain, at("/secure"), claim("acr", "loa3"), after("auth_time", -minutes(2)))
	demanded := bearerRealm + failure("insufficient_user_authentication", authz.StepUpRequired) + `, acr_values="loa3 loa4", max_age="300"`
	return slices.Concat(
		rule("U1", secure,
			bad("too long ago", authz.StepUpRequired, after("auth_time", -minutes(6))).tells(demanded, dpopRealm+algs),
			bad("too long ago, by DPoP", authz.StepUpRequired, after("auth_time", -minutes(6)), byDPoP).tells(
				dpopRealm+failure("insufficient_user_authentication", authz.StepUpRequired)+`, acr_values="loa3 loa4", max_age="300"`+algs, bearerRealm),
		),
		rule("U2", secure,
			good("the other one", claim("acr", "loa4")),
			bad("a higher one, for all its name says", authz.StepUpRequired, claim("acr", "loa5")),
			bad("a lower one", authz.StepUpRequired, claim("acr", "loa2")),
			bad("in capitals", authz.StepUpRequired, claim("acr", "LOA3")),
			bad("no text", authz.TokenClaims, claim("acr", []string{"loa3"})),
		),
		rule("U3", secure,
			bad("no acr", authz.StepUpRequired, claim("acr", absent)),
			bad("no auth_time", authz.StepUpRequired, claim("auth_time", absent)),
		),
		rule("U4", secure,
			good("as long ago as may be", after("auth_time", -minutes(5))),
			bad("a second longer", authz.StepUpRequired, after("auth_time", -minutes(5)-time.Second)),
			bad("with a token that was issued since", authz.StepUpRequired, after("auth_time", -minutes(6)), after("iat", 0)),
			bad("after the token was issued", authz.TokenClaims, after("auth_time", minutes(1))),
		),
		rule("U5", secure,
			bad("acr, and both are told", authz.StepUpRequired, claim("acr", "loa1")).tells(demanded, dpopRealm+algs),
		),
		rule("U6", secure,
			bad("in another claim", authz.StepUpRequired, claim("acr", absent), claim("act", object{"sub": "agent", "acr": "loa3"})),
			bad("in a header", authz.StepUpRequired, claim("acr", absent), also("acr", "loa3")),
		),
	)
}

// detailProofs are R: authorization details (RFC 9396).
func detailProofs() []proofOf {
	return rule("R7", from(plain, claim("authorization_details", []object{{"type": "account_information"}})),
		bad("a type twice", authz.TokenMalformed, claimsText(replaced(`"type":`, `"type":"other","type":`))),
	)
}

// byDPoP sends the token bound to the holder's key, with a proof.
func byDPoP(a *ask) {
	other := proven(a.world)
	a.scheme, a.proof, a.token.claims["cnf"] = other.scheme, other.proof, other.token.claims["cnf"]
	at(a.target)(a)
}

// actorProofs are A: who acts for whom (RFC 8693).
func actorProofs() []proofOf {
	delegated := from(plain, at("/delegated"), claim("act", object{"sub": "agent", "act": object{"sub": "other"}}))
	return slices.Concat(
		rule("A1", delegated,
			bad("another acts", authz.PolicyDenied, claim("act", object{"sub": "other"})),
			bad("nobody is said to act", authz.PolicyDenied, claim("act", absent)),
			bad("no subject acts", authz.TokenClaims, claim("act", object{"client_id": "agent"})),
		),
		rule("A2", delegated,
			bad("the agent acted before, and another does", authz.PolicyDenied, claim("act", object{"sub": "other", "act": object{"sub": "agent"}})),
		),
		rule("A3", delegated,
			good("times and audience of the actor", claim("act", object{"sub": "agent", "exp": 1, "nbf": int64(4102444800), "aud": "https://other.example"})),
			bad("the token's own time", authz.TokenExpired, claim("act", object{"sub": "agent", "exp": int64(4102444800)}), after("exp", -minutes(2))),
		),
		rule("A4", delegated,
			good("beside who acts", claim("may_act", object{"sub": "other"})),
			bad("in place of who acts", authz.PolicyDenied, claim("act", absent), claim("may_act", object{"sub": "agent"})),
		),
		rule("A6", delegated,
			good("who acts, and whom for", recordOf(actorIsHidden)),
			bad("another, who is refused", authz.PolicyDenied, claim("act", object{"sub": "other"}), recordOf(actorIsHidden)),
		),
	)
}

// actorIsHidden holds that the record has the actor, and not by name.
func actorIsHidden(t *testing.T, record *decisionv1.Decision) {
	t.Helper()
	who := record.GetCaller()
	if who.GetActorPseudonym() == "" || who.GetSubjectPseudonym() == "" || who.GetActorPseudonym() == who.GetSubjectPseudonym() {
		t.Errorf("the record has %v", who)
	}
	for _, name := range []string{"ann", "agent", "other"} {
		if strings.Contains(who.GetActorPseudonym()+who.GetSubjectPseudonym(), name) {
			t.Errorf("the record has %v", who)
		}
	}
}
