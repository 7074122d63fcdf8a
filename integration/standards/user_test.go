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

// detailed has a token authorize in detail.
func detailed(details ...object) change { return claim("authorization_details", details) }

// initiation is what the contract asks for, with changes.
func initiation(members ...any) object {
	detail := object{"type": "payment_initiation", "actions": []string{"initiate", "status"}, "amount": "10.50"}
	for i := 0; i < len(members); i += 2 {
		set(detail, members[i].(string), members[i+1])
	}
	return detail
}

// detailProofs are R: authorization details (RFC 9396).
func detailProofs() []proofOf {
	transfer := from(plain, at("/transfers"), posting(`{"amount":"10.50"}`), detailed(initiation()))
	lacking := func(name string, changes ...change) variant {
		return bad(name, authz.AuthorizationDetails, changes...)
	}
	return slices.Concat(
		rule("R1", transfer,
			lacking("none", claim("authorization_details", absent)),
			lacking("no list", claim("authorization_details", initiation())),
			lacking("no object among them", claim("authorization_details", []any{initiation(), "x"})),
			lacking("no type among them", detailed(initiation(), object{"actions": []string{"initiate"}})),
			lacking("a type that is no text", detailed(initiation("type", 1))),
			lacking("actions that are no list", detailed(initiation("actions", "initiate status"))),
			lacking("no list, for an operation that asks for none", at("/accounts"), get, claim("authorization_details", "x")),
		),
		rule("R2", transfer,
			good("beside another", detailed(object{"type": "account_information"}, initiation())),
			lacking("half of it in each of two", detailed(initiation("actions", []string{"initiate"}), initiation("actions", []string{"status"}))),
			lacking("the type in one, and the actions in another", detailed(object{"type": "payment_initiation"}, initiation("type", "other"))),
		),
		rule("R3", transfer,
			good("here among others", detailed(initiation("locations", []string{"https://other.example", "https://rs.example"}))),
			lacking("elsewhere", detailed(initiation("locations", []string{"https://other.example"}))),
			lacking("nowhere", detailed(initiation("locations", []string{}))),
			lacking("a slash more", detailed(initiation("locations", []string{"https://rs.example/"}))),
		),
		rule("R4", transfer,
			lacking("another type", detailed(initiation("type", "payment"))),
		),
		rule("R5", transfer,
			lacking("in capitals", detailed(initiation("actions", []string{"Initiate", "status"}))),
			lacking("with a space", detailed(initiation("type", "payment_initiation "))),
			lacking("in another normal form", detailed(initiation("type", "payment_i\u0301nitiation"))),
		),
		rule("R6", transfer,
			good("with another number of zeros", detailed(initiation("amount", "10.5"))),
			bad("a little more", authz.PolicyDenied, detailed(initiation("amount", "10.500000000000000001"))),
			bad("a number, which may have lost digits", authz.PolicyDenied, detailed(initiation("amount", 10.5))),
			bad("of another object", authz.PolicyDenied, detailed(initiation("amount", "1.00"), object{"type": "other", "amount": "10.50"})),
		),
		rule("R7", transfer,
			bad("a type twice", authz.TokenMalformed, claimsText(replaced(`"type":`, `"type":"other","type":`))),
		),
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
		rule("A5", delegated,
			good("four", claim("act", actors(4))),
			bad("one more", authz.TokenClaims, claim("act", actors(5))),
		),
		rule("A6", delegated,
			good("who acts, and whom for", recordOf(actorIsHidden)),
			bad("another, who is refused", authz.PolicyDenied, claim("act", object{"sub": "other"}), recordOf(actorIsHidden)),
		),
	)
}

// actors are an agent and those who acted before it.
func actors(count int) object {
	act := object{"sub": "agent"}
	if count > 1 {
		act["act"] = actors(count - 1)
	}
	return act
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
