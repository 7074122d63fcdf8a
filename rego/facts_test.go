package rego

import (
	"encoding/json"
	"time"

	"github.com/countersign-io/countersign/authz"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// fullFacts are the facts of a request for which everything is known, and which
// satisfies every requirement of the standard library with roles from policyData.
func fullFacts() *authz.Facts {
	account := authz.Object{Type: "account", ID: "22289"}
	return &authz.Facts{
		ID:      authz.DecisionID{1, 2, 3},
		Time:    now,
		Request: fullRequest(),
		Target:  authz.Target{Path: "/accounts/22289/balances"},
		Match: authz.Match{
			API:        "accounts",
			Operation:  balances(),
			Parameters: map[string]string{"AccountId": "22289"},
		},
		Certificate: &authz.Certificate{
			Thumbprint: [32]byte{0xfb, 0xff},
			Identity: &authz.Identity{
				Subject: "CN=Acme", URIs: []string{"spiffe://acme/tpp"}, DNS: []string{"acme.example"}, SPIFFE: "spiffe://acme/tpp", Country: "GB",
				NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), Qualified: true,
				PSD2: &authz.PSD2{Roles: []string{"PSP_AI", "PSP_PI"}, Authority: "GB-FCA", ID: "PSDGB-FCA-123456"},
			},
		},
		Token: fullToken(),
		Inspection: authz.Inspection{
			Objects: []authz.Named{{Object: account, Where: "path"}},
			Body:    map[string]any{"Amount": json.Number("10.00000000000000000001")},
			Parsed:  true,
		},
		Owned: map[authz.Object]authz.Ownership{account: {Relation: "owner", Region: "GB"}},
		Consent: &authz.Consent{
			ID: "c-1", Status: "AUTH", Client: "acme", Subject: "ann",
			Permissions: []string{"ReadBalances", "ReadAccountsBasic"},
			Objects:     []authz.Object{account},
			ExpiresAt:   now.Add(time.Hour),
		},
		Region:      authz.Region{Service: "GB", Caller: "GB"},
		Environment: "production",
	}
}

func fullRequest() *authz.Request {
	return &authz.Request{
		API: "accounts", Method: "GET", Host: "api.example", Target: "/accounts/22289/balances?q=1&q=2",
		Address: "192.0.2.1", Principal: "spiffe://acme/tpp",
		Attributes: func() map[string]any {
			return map[string]any{"request": map[string]any{"http": map[string]any{"method": "GET", "size": json.Number("-1")}}}
		},
	}
}

func balances() *authz.Operation {
	return &authz.Operation{
		ID: "GetAccountsAccountIdBalances", API: "accounts", Method: "GET", Path: "/accounts/{AccountId}/balances",
		Security:   []authz.Requirement{{Scopes: []string{"accounts"}}, {Scopes: []string{"admin", "read"}}},
		Objects:    []authz.ObjectRule{{Type: "account", In: authz.InPath, Name: "AccountId"}},
		Consent:    [][]string{{"ReadBalances"}},
		Permission: "read_balances",
		Grant:      authz.GrantScope,
		Regions:    []string{"GB", "IE"},
		StepUp:     &authz.StepUp{ACRValues: []string{"urn:example:sca"}, MaxAge: 5 * time.Minute},
		Audiences:  []string{"https://rs.example"},
		Limits:     []authz.LimitRule{{Per: authz.PerClient, Max: 100, Window: time.Minute}},
	}
}

func fullToken() *authz.Token {
	detail := map[string]any{
		"type": "account_information", "actions": []any{"read"}, "locations": []any{"https://rs.example"},
		"limit": json.Number("10.00000000000000000001"),
	}
	return &authz.Token{
		Caller: authz.Caller{
			Kind: authz.Customer, Issuer: "https://as.example", Subject: "ann", Client: "acme", Tenant: "retail",
			Roles: []string{"customer"}, Scopes: []string{"openid", "accounts"}, Actor: "app", Region: "GB", Consent: "c-1",
		},
		Issuer: "https://as.example",
		Claims: map[string]any{
			"sub": "ann", "exp": json.Number("1795000000"), "big": json.Number("12345678901234567890"),
			"nested": map[string]any{"list": []any{"a", nil, true}}, "authorization_details": []any{detail},
		},
		Details: []authz.Detail{{
			Type: "account_information", Actions: []string{"read"}, Locations: []string{"https://rs.example"}, Object: detail,
		}},
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(4 * time.Minute), AuthTime: now.Add(-2 * time.Minute),
		ACR: "urn:example:sca", AMR: []string{"pwd", "otp"}, Bindings: []authz.Binding{authz.MTLS}, Environment: "production",
	}
}

// policyData is what the library reads of data, and what a real one has beside it.
const policyData = `{"roles": {
	"customer": ["read_accounts", "read_balances", "read_transactions", "create_payments"],
	"support": ["read_accounts"]}}`
