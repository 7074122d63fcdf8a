package authz

import (
	"context"
	"strings"
	"testing"
)

// TestAuthorizationDetails holds a token's details against a contract that asks for one
// of two, at an API that has two names.
func TestAuthorizationDetails(t *testing.T) {
	rules := []DetailRule{
		{Type: "payment", Actions: []string{"initiate"}, DataTypes: []string{"single"}},
		{Type: "account", Privileges: []string{"admin"}},
	}
	pays := Detail{Type: "payment", Actions: []string{"status", "initiate"}, DataTypes: []string{"single", "bulk"}}
	at := func(locations ...string) Detail {
		placed := pays
		placed.Locations = append([]string{}, locations...)
		return placed
	}
	tests := []struct {
		name    string
		details []Detail
		want    Reason
	}{
		{"one element has all that is asked for", []Detail{pays}, Granted},
		{"none", nil, AuthorizationDetails},
		{"R3 two elements have it between them", []Detail{
			{Type: "payment", Actions: []string{"initiate"}, DataTypes: []string{"bulk"}},
			{Type: "payment", Actions: []string{"status"}, DataTypes: []string{"single"}},
		}, AuthorizationDetails},
		{"R3 a member that is not there", []Detail{{Type: "payment", Actions: []string{"initiate"}}}, AuthorizationDetails},
		{"R4 another element allows other things", []Detail{{Type: "account"}, pays}, Granted},
		{"R4 the other alternative", []Detail{{Type: "account", Privileges: []string{"admin"}}}, Granted},
		{"R5 for this API", []Detail{at("https://other.example", "https://rs.example")}, Granted},
		{"R5 for this API by its other name", []Detail{at("urn:rs")}, Granted},
		{"R5 for another", []Detail{at("https://other.example")}, AuthorizationDetails},
		{"R5 for none", []Detail{at()}, AuthorizationDetails},
		{"R5 for one that this is part of", []Detail{at("https://rs.example/", "https://rs")}, AuthorizationDetails},
		{"R5 for another, and what is for this one allows less", []Detail{at("https://other.example"), {Type: "payment", Locations: []string{"urn:rs"}}}, AuthorizationDetails},
		{"R6 an unknown type", []Detail{{Type: "transfer", Actions: pays.Actions, DataTypes: pays.DataTypes}}, AuthorizationDetails},
		{"R7 another case", []Detail{{Type: "Payment", Actions: pays.Actions, DataTypes: pays.DataTypes}}, AuthorizationDetails},
		{"R7 an action in another case", []Detail{{Type: "payment", Actions: []string{"Initiate"}, DataTypes: pays.DataTypes}}, AuthorizationDetails},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asking, token := *operation, *ann
			asking.Details, asking.Audiences, token.Details = rules, []string{"urn:rs", "https://rs.example"}, test.details
			f := allowing()
			f.match = func() (Match, error) { return Match{API: "bank", Operation: &asking}, nil }
			f.token = func(context.Context) (*Token, error) { return &token, nil }
			if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != test.want || got.Allowed != (test.want == Granted) {
				t.Errorf("Check() = allowed %t, %v (%s), want %v", got.Allowed, got.Reason, got.Detail, test.want)
			}
		})
	}
}

// What a token's details were to narrow is not known where they cannot be read, so the
// token is good for nothing: not even for what asks for none.
func TestDoubtfulDetailsAreRefused(t *testing.T) {
	public := *operation
	public.Security, public.Consent = nil, nil
	for _, asks := range []*Operation{operation, &public} {
		token := *ann
		token.DetailsDoubt = "authorization_details is no array"
		f := allowing()
		f.match = func() (Match, error) { return Match{API: "bank", Operation: asks}, nil }
		f.token = func(context.Context) (*Token, error) { return &token, nil }
		got := f.pipeline().Check(t.Context(), getAccount())
		if got.Reason != AuthorizationDetails || !strings.Contains(got.Detail, token.DetailsDoubt) {
			t.Errorf("Check() = %v (%s), want %v that says why", got.Reason, got.Detail, AuthorizationDetails)
		}
	}
}

func TestDetailsAreAskedOfNobodyWithoutAToken(t *testing.T) {
	f := Facts{Match: Match{Operation: &Operation{Details: []DetailRule{{Type: "payment"}}}}}
	if err := detailed(&f); ReasonOf(err) != AuthorizationDetails {
		t.Errorf("detailed() = %v, want %v", err, AuthorizationDetails)
	}
}
