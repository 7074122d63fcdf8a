package token

import (
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// acts is an act claim in which so many stand, one within the other.
func acts(depth int) object {
	act := object{"sub": "history"}
	for range depth - 2 {
		act = object{"sub": "history", "act": act}
	}
	return object{"sub": "robot", "act": act}
}

// TestActor holds who a token says acts for its subject (RFC 8693 §4.1).
func TestActor(t *testing.T) {
	tests := []struct {
		name    string
		members []any
		actor   authz.Subject
		want    authz.Reason
	}{
		{"nobody", []any{"act", absent}, "", authz.Internal},
		{"A1 the outermost counts", []any{"act", object{"sub": "robot"}}, "robot", authz.Internal},
		{"A2 what is nested is history", []any{"act", object{"sub": "robot", "act": object{"sub": "admin"}}}, "robot", authz.Internal},
		{"A2 history need not name anybody", []any{"act", object{"sub": "robot", "act": object{"iss": "https://other.example"}}}, "robot", authz.Internal},
		{"A2 history alone names nobody", []any{"act", object{"act": object{"sub": "admin"}}}, "", authz.TokenClaims},
		{"A3 members in act are ignored", []any{"act", object{"sub": "robot", "exp": 1, "nbf": 9e12, "aud": "https://other.example", "client_id": "other", "roles": []string{"admin"}}}, "robot", authz.Internal},
		{"A3 whatever they are", []any{"act", object{"sub": "robot", "exp": "soon", "aud": nil}}, "robot", authz.Internal},
		{"A4 may_act grants nothing", []any{"may_act", object{"sub": "robot"}}, "", authz.Internal},
		{"A4 may_act is not read", []any{"may_act", 1, "act", object{"sub": "robot"}}, "robot", authz.Internal},
		{"A5 three before the actor", []any{"act", acts(4)}, "robot", authz.Internal},
		{"A5 four before the actor", []any{"act", acts(5)}, "", authz.TokenClaims},
		{"A5 an act in it that is no object", []any{"act", object{"sub": "robot", "act": "admin"}}, "", authz.TokenClaims},
		{"A5 one further in", []any{"act", object{"sub": "robot", "act": object{"act": []any{}}}}, "", authz.TokenClaims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, err := verify(newVerifier(t, goodConfig(), newFakeKeys(allKeys()...)), sign(goodHeader(), with(goodClaims(), test.members...)))
			wantReason(t, token, err, test.want)
			if token != nil && (token.Caller.Actor != test.actor || token.Caller.Subject != "ann" || token.Caller.Client != "acme" || token.Caller.Roles != nil) {
				t.Errorf("Caller = %+v, want ann through acme, and %q acting", token.Caller, test.actor)
			}
		})
	}
}
