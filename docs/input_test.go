package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego"
)

// TestInputNamesEveryKey has a policy hand out all of its input, for facts that lack
// nothing.
func TestInputNamesEveryKey(t *testing.T) {
	module := "package site\n\ndecision := {\"allowed\": true, \"dynamic_metadata\": {\"input\": input}}\n"
	verdict := decide(t, module, fullFacts())
	real := leaves("input", verdict.Reply.Metadata["input"])
	documented := firsts(t, rows(page(t, "input-and-result.md"), "Key"))
	same(t, documented, real)
}

// TestInputTypesAreTheSchemas holds each key's type against what policies are checked by.
func TestInputTypesAreTheSchemas(t *testing.T) {
	text, err := rego.InputSchema()
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range rows(page(t, "input-and-result.md"), "Key") {
		documented = append(documented, strings.Trim(row[0], "`")+" "+row[1])
	}
	same(t, documented, typed("input", whole))
}

// typed are the keys below a schema, each with its type in the page's words.
func typed(at string, schema map[string]any) []string {
	if items, ok := schema["items"].(map[string]any); ok && items["properties"] != nil {
		return typed(at+"[]", items)
	}
	properties, closed := schema["properties"].(map[string]any)
	if !closed {
		return []string{at + " " + inWords(schema)}
	}
	var found []string
	for key, property := range properties {
		found = append(found, typed(at+"."+key, property.(map[string]any))...)
	}
	return found
}

func inWords(schema map[string]any) string {
	several := func(of string) string {
		each, ok := schema[of].(map[string]any)
		if !ok {
			return ""
		}
		first, rest, _ := strings.Cut(inWords(each), " of ")
		return strings.TrimSuffix(" of "+first+"s of "+rest, " of ")
	}
	switch schema["type"] {
	case "string":
		return "text"
	case "integer":
		return map[any]string{nil: "number", "nanoseconds": "duration", "nanoseconds since 1970": "instant"}[schema["description"]]
	case "array":
		return "array" + several("items")
	case "object":
		return "object" + several("additionalProperties")
	case nil:
		return "any"
	}
	return fmt.Sprint(schema["type"])
}

func TestInputOfNobodyHasNoOtherKeys(t *testing.T) {
	module := "package site\n\ndecision := {\"allowed\": true, \"dynamic_metadata\": {\"input\": input}}\n"
	verdict := decide(t, module, &authz.Facts{Request: &authz.Request{}})
	documented := firsts(t, rows(page(t, "input-and-result.md"), "Key"))
	for _, key := range leaves("input", verdict.Reply.Metadata["input"]) {
		known := func(d string) bool { return d == key || strings.HasPrefix(d, key+"[]") }
		if !slices.ContainsFunc(documented, known) {
			t.Errorf("%s is not documented", key)
		}
	}
}

func leaves(at string, value any) []string {
	if slices.Contains(openKeys, at) {
		return []string{at}
	}
	found := map[string]bool{}
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			for _, leaf := range leaves(at+"."+key, member) {
				found[leaf] = true
			}
		}
	case []any:
		for _, element := range value {
			for _, leaf := range leaves(at+"[]", element) {
				// A list of plain values is a leaf itself.
				found[strings.TrimRight(leaf, "[]")] = true
			}
		}
		if len(value) == 0 {
			found[at] = true
		}
	default:
		found[at] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestResultNamesEveryKey lets the engine say which keys a result may have.
func TestResultNamesEveryKey(t *testing.T) {
	engine := engineOf(t, "package site\n\ndecision := {\"allowed\": true, \"no_such_key\": 1}\n")
	_, err := engine.Decide(t.Context(), fullFacts())
	if err == nil {
		t.Fatal("Decide = nil, want an error for a key that is none")
	}
	_, known, found := strings.Cut(err.Error(), "not one of ")
	known, _, _ = strings.Cut(known, ": ") // then follows which rule it is
	if !found {
		t.Fatalf("Decide = %v, want the keys that there are", err)
	}
	same(t, firsts(t, rows(page(t, "input-and-result.md"), "Result key")), strings.Split(known, ", "))
}

func engineOf(t *testing.T, module string) *rego.Engine {
	t.Helper()
	engine, err := rego.New(rego.Config{Path: write(t, map[string]string{"site.rego": module}), Decision: "site.decision"})
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

func decide(t *testing.T, module string, facts *authz.Facts) authz.Verdict {
	t.Helper()
	verdict, err := engineOf(t, module).Decide(t.Context(), facts)
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

// fullFacts are those of a request of which everything is known, and which the
// standard policy allows where customers have the permission read.
func fullFacts() *authz.Facts {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	account := authz.Object{Type: "account", ID: "22289"}
	return &authz.Facts{
		ID:   authz.DecisionID{1},
		Time: now,
		Request: &authz.Request{
			API: "bank", Method: "GET", Host: "api.example", Target: "/accounts/22289?q=1",
			Address: "192.0.2.1", Principal: "spiffe://acme",
			Attributes: func() map[string]any { return map[string]any{"request": map[string]any{}} },
		},
		Target: authz.Target{Path: "/accounts/22289"},
		Match: authz.Match{
			API: "bank",
			Operation: &authz.Operation{
				ID: "GetAccount", API: "bank", Method: "GET", Path: "/accounts/{AccountId}",
				Security: []authz.Requirement{{Scopes: []string{"accounts"}}},
				Consent:  [][]string{{"ReadAccountsBasic"}}, Permission: "read", Grant: authz.GrantScope,
				Regions: []string{"GB"},
				StepUp:  &authz.StepUp{ACRValues: []string{"sca"}, MaxAge: time.Hour},
				Limits:  []authz.LimitRule{{Per: authz.PerClient, Max: 1, Window: time.Hour}}, Audiences: []string{"urn:rs"},
			},
			Parameters: map[string]string{"AccountId": "22289"},
		},
		Certificate: &authz.Certificate{Identity: &authz.Identity{
			Subject: "CN=Acme", URIs: []string{"spiffe://acme"}, DNS: []string{"acme.example"}, SPIFFE: "spiffe://acme", Country: "GB",
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			PSD2: &authz.PSD2{Roles: []string{"PSP_AI"}, Authority: "GB-FCA", ID: "PSDGB-FCA-123456"},
		}},
		Token: &authz.Token{
			Caller: authz.Caller{
				Kind: authz.Customer, Issuer: "https://auth.example", Subject: "ann", Client: "acme", Tenant: "retail",
				Roles: []string{"customer"}, Scopes: []string{"accounts"}, Actor: "app", Region: "GB", Consent: "c-1",
			},
			Issuer: "https://auth.example", Claims: map[string]any{"sub": "ann"},
			IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Minute), AuthTime: now.Add(-time.Minute),
			ACR: "sca", AMR: []string{"pwd"}, Bindings: []authz.Binding{authz.MTLS}, Environment: "production",
			Details: []authz.Detail{{Type: "a", Object: map[string]any{"type": "a"}}},
		},
		Inspection: authz.Inspection{
			Objects: []authz.Named{{Object: account, Where: "path"}},
			Body:    map[string]any{"a": "b"}, Parsed: true,
		},
		Owned: map[authz.Object]authz.Ownership{account: {Relation: "owner", Region: "GB"}},
		Consent: &authz.Consent{
			ID: "c-1", Status: "AUTH", Client: "acme", Subject: "ann", Permissions: []string{"ReadAccountsBasic"},
			Objects: []authz.Object{account}, ExpiresAt: now.Add(time.Hour),
		},
		Region:      authz.Region{Service: "GB", Caller: "GB"},
		Environment: "production",
	}
}
