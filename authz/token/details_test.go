package token

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func TestAuthorizationDetails(t *testing.T) {
	payment := object{
		"type": "payment", "actions": []any{"initiate"}, "datatypes": []any{"single"}, "privileges": []any{"owner"},
		"locations": []any{audience}, "identifier": "p-1", "instructedAmount": object{"currency": "EUR", "amount": "123.50"},
	}
	tests := []struct {
		name string
		// claim is absent where the token has none.
		claim any
		want  []authz.Detail
		doubt string
	}{
		{"none", absent, nil, ""},
		{"an empty array", []any{}, []authz.Detail{}, ""},
		{"a type alone", []any{object{"type": "a"}}, []authz.Detail{{Type: "a", Object: object{"type": "a"}}}, ""},
		{"empty lists", []any{object{"type": "a", "locations": []any{}}}, []authz.Detail{{Type: "a", Locations: []string{}, Object: object{"type": "a", "locations": []any{}}}}, ""},
		{"all common members, and a type's own", []any{payment}, []authz.Detail{{Type: "payment", Actions: []string{"initiate"},
			DataTypes: []string{"single"}, Privileges: []string{"owner"}, Locations: []string{audience}, Identifier: "p-1", Object: payment}}, ""},
		{"R1 an object", object{"type": "a"}, nil, "authorization_details is no array"},
		{"R1 null", nil, nil, "authorization_details is no array"},
		{"R1 a string of an array", `[{"type":"a"}]`, nil, "authorization_details is no array"},
		{"R1 an element that is no object", []any{object{"type": "a"}, "a"}, nil, "authorization_details[1] is no object with a type"},
		{"R1 no type", []any{object{"actions": []any{"a"}}}, nil, "authorization_details[0] is no object with a type"},
		{"R1 an empty type", []any{object{"type": ""}}, nil, "authorization_details[0] is no object with a type"},
		{"R1 a type that is no string", []any{object{"type": 1}}, nil, "authorization_details[0] is no object with a type"},
		{"R1 64 elements", repeated(object{"type": "a"}, 64), detailsOf("a", 64), ""},
		{"R1 65 elements", repeated(object{"type": "a"}, 65), nil, "authorization_details has over 64 elements"},
		{"R2 one location that is no array", []any{object{"type": "a", "locations": audience}}, nil, "authorization_details[0] has locations that are no array of strings"},
		{"R2 actions that are no strings", []any{object{"type": "a", "actions": []any{"a", 1}}}, nil, "authorization_details[0] has actions that are no array of strings"},
		{"R2 null for datatypes", []any{object{"type": "a", "datatypes": nil}}, nil, "authorization_details[0] has datatypes that are no array of strings"},
		{"R2 privileges that are an object", []any{object{"type": "a", "privileges": object{"a": true}}}, nil, "authorization_details[0] has privileges that are no array of strings"},
		{"R2 an identifier that is no string", []any{object{"type": "a", "identifier": 1}}, nil, "authorization_details[0] has identifier that is no string"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
			token, err := verify(verifier, sign(goodHeader(), with(goodClaims(), "authorization_details", test.claim)))
			if err != nil {
				t.Fatalf("Verify() = %v, want a token: it is good, whatever it allows", err)
			}
			if diff := cmp.Diff(test.want, token.Details); diff != "" {
				t.Errorf("Details (-want +got):\n%s", diff)
			}
			if token.DetailsDoubt != test.doubt {
				t.Errorf("DetailsDoubt = %q, want %q", token.DetailsDoubt, test.doubt)
			}
		})
	}
}

// A member that stands twice could be read in two ways: such a token is no token.
func TestDuplicateMemberOfADetailIsRefused(t *testing.T) {
	claims := strings.Replace(string(marshal(with(goodClaims(), "authorization_details", "@"))), `"@"`, `[{"type":"a","type":"b"}]`, 1)
	input := encode(marshal(goodHeader())) + "." + encode([]byte(claims))
	token, err := verify(newVerifier(t, goodConfig(), newFakeKeys(allKeys()...)), input+"."+encode(signature("ES256", keyFor("ES256"), input)))
	wantReason(t, token, err, authz.TokenMalformed)
}

func repeated(element any, times int) []any {
	list := make([]any, times)
	for i := range list {
		list[i] = element
	}
	return list
}

func detailsOf(kind string, times int) []authz.Detail {
	list := make([]authz.Detail, times)
	for i := range list {
		list[i] = authz.Detail{Type: kind, Object: object{"type": kind}}
	}
	return list
}
