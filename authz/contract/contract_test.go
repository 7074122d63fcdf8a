package contract

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func load(t testing.TB, cfg Config) *Contracts {
	t.Helper()
	contracts, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return contracts
}

func bank(t testing.TB) *Contracts {
	t.Helper()
	return load(t, Config{APIs: []API{{Name: "bank", Document: "testdata/bank.yaml"}}})
}

func operation(t testing.TB, contracts *Contracts, id string) *authz.Operation {
	t.Helper()
	for o := range contracts.Operations() {
		if o.ID == id {
			return o
		}
	}
	t.Fatalf("there is no operation %q", id)
	return nil
}

func TestOperationIsWhatTheDocumentSays(t *testing.T) {
	contracts := bank(t)
	people := []authz.Kind{authz.Customer, authz.Staff}
	account := authz.ObjectRule{Type: "account", In: authz.InPath, Name: "AccountId"}
	tests := []struct {
		name string
		want authz.Operation
	}{
		{"public in so many words", authz.Operation{ID: "root", Method: "GET", Path: "/"}},
		{"the document's security where there is none", authz.Operation{ID: "accounts", Method: "GET", Path: "/accounts",
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}}}},
		{"alternatives, and flows that tell kinds", authz.Operation{ID: "open-account", Method: "POST", Path: "/accounts",
			Security: []authz.Requirement{{Scopes: []string{"accounts", "write"}, Kinds: []authz.Kind{authz.Client}}, {}}}},
		{"document-wide rule", authz.Operation{ID: "account", Method: "GET", Path: "/accounts/{AccountId}",
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}},
			Objects:  []authz.ObjectRule{account}}},
		{"opting out of document-wide rules", authz.Operation{ID: "close-account", Method: "DELETE", Path: "/accounts/{AccountId}",
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}}}},
		{"everything an extension can say, and a rule said twice", authz.Operation{ID: "balances", Method: "GET", Path: "/accounts/{AccountId}/balances",
			Security:   []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}},
			Objects:    []authz.ObjectRule{account},
			Consent:    [][]string{{"ReadBalances"}, {"ReadAccountsBasic", "ReadAccountsDetail"}},
			Permission: "read_balances", Grant: authz.GrantScope, Regions: []string{"GB", "NO"},
			StepUp: &authz.StepUp{ACRValues: []string{"sca"}, MaxAge: 90 * time.Minute},
			Limits: []authz.LimitRule{{Per: authz.PerClient, Max: 100, Window: time.Minute}, {Per: authz.PerSubject, Max: 4, Window: 24 * time.Hour}}}},
		{"a referenced path item, and rules that add up", authz.Operation{ID: "statement", Method: "GET", Path: "/accounts/{AccountId}/statements/{StatementId}",
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}},
			Objects:  []authz.ObjectRule{{Type: "statement", In: authz.InPath, Name: "StatementId"}, account}}},
		{"anonymous alternative, schemes of one alternative, lists", authz.Operation{ID: "reports", Method: "GET", Path: "/reports",
			Security: []authz.Requirement{{Anonymous: true}, {Scopes: []string{"accounts", "reports"}, Kinds: people}},
			Objects: []authz.ObjectRule{
				{Type: "account", In: authz.InQuery, Name: "list", List: true, Optional: true},
				{Type: "card", In: authz.InHeader, Name: "x-account"},
				{Type: "card", In: authz.InHeader, Name: "x-accounts", List: true, Optional: true},
				{Type: "account", In: authz.InQuery, Name: "AccountId", Optional: true},
			}}},
		{"a list in the path", authz.Operation{ID: "ids", Method: "GET", Path: "/paths/{ids}",
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}},
			Objects:  []authz.ObjectRule{{Type: "account", In: authz.InPath, Name: "ids", List: true}}}},
		{"body rules", authz.Operation{ID: "pay", Method: "POST", Path: "/payments",
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}},
			Objects: []authz.ObjectRule{
				{Type: "account", In: authz.InBody, Pointer: "/Data/From"},
				{Type: "account", In: authz.InBody, Pointer: "/Data/To/*/Account~1Id", Optional: true},
			}}},
		{"stream, an alias, and an operation's parameter before its path's", authz.Operation{ID: "events", Method: "GET", Path: "/events", Stream: true,
			Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: people}},
			Objects:  []authz.ObjectRule{{Type: "account", In: authz.InQuery, Name: "shared"}},
			Regions:  []string{"GB", "NO"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.API = "bank"
			if diff := cmp.Diff(&test.want, operation(t, contracts, test.want.ID)); diff != "" {
				t.Errorf("operation (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCertificatesThatAreAskedFor holds that the document's roles are every operation's,
// but of one that says something of its own.
func TestCertificatesThatAreAskedFor(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.yaml", `
openapi: 3.1.0
security: []
x-countersign: {certificate: {psd2: [PSP_AI]}}
paths:
  /plain: {get: {operationId: plain}}
  /extended: {get: {operationId: extended, x-countersign: {permission: read}}}
  /other: {get: {operationId: other, x-countersign: {certificate: {psd2: [PSP_PI]}}}}
  /several: {get: {operationId: several, x-countersign: {certificate: {psd2: [PSP_IC, [PSP_AI, PSP_AS]]}}}}
  /none: {get: {operationId: none, x-countersign: {certificate: {psd2: []}}}}
`)
	contracts := load(t, Config{APIs: []API{{Name: "bank", Document: document}}})
	for id, want := range map[string][][]string{
		"plain": {{"PSP_AI"}}, "extended": {{"PSP_AI"}}, "other": {{"PSP_PI"}},
		"several": {{"PSP_IC"}, {"PSP_AI", "PSP_AS"}}, "none": nil,
	} {
		if diff := cmp.Diff(want, operation(t, contracts, id).PSD2); diff != "" {
			t.Errorf("%s asks for (-want +got):\n%s", id, diff)
		}
	}
}

// JSON reads as YAML does, indented by tabs, and 3.0 as 3.1.
func TestJSONDocument(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.json", `{
	"openapi": "3.0.3",
	"info": {"title": "t", "version": "1"},
	"paths": {
		"/a/{id}": {"get": {
			"operationId": "a", "security": [],
			"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
			"x-countersign": {"objects": [{"type": "thing", "in": "path", "name": "id"}]}
		}}
	}
}`)
	got := slices.Collect(load(t, Config{APIs: []API{{Name: "json", Document: document}}}).Operations())
	want := []*authz.Operation{{ID: "a", API: "json", Method: "GET", Path: "/a/{id}",
		Objects: []authz.ObjectRule{{Type: "thing", In: authz.InPath, Name: "id"}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

func TestFlowsTellKinds(t *testing.T) {
	const document = `
openapi: 3.1.0
paths: {/a: {get: {operationId: a, security: [{s: [x]}]}}}
components: {securitySchemes: {s: %s}}
`
	people, clients := []authz.Kind{authz.Customer, authz.Staff}, []authz.Kind{authz.Client}
	tests := []struct {
		name, scheme string
		want         []authz.Kind
	}{
		{"code", "{type: oauth2, flows: {authorizationCode: {}}}", people},
		{"implicit", "{type: oauth2, flows: {implicit: {}}}", people},
		{"password", "{type: oauth2, flows: {password: {}}}", people},
		{"client credentials", "{type: oauth2, flows: {clientCredentials: {}}}", clients},
		{"client credentials with an extension", "{type: oauth2, flows: {clientCredentials: {}, x-note: n}}", clients},
		{"both", "{type: oauth2, flows: {clientCredentials: {}, authorizationCode: {}}}", nil},
		{"a flow that is not known", "{type: oauth2, flows: {clientCredentials: {}, deviceAuthorization: {}}}", nil},
		{"no flows", "{type: oauth2}", nil},
		{"no flow", "{type: oauth2, flows: {}}", nil},
		{"OpenID Connect", "{type: openIdConnect, openIdConnectUrl: u}", nil},
		{"bearer", "{type: http, scheme: bearer}", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			operations, problems := compile(API{}, fmt.Appendf(nil, document, test.scheme), &node{})
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			want := []authz.Requirement{{Scopes: []string{"x"}, Kinds: test.want}}
			if diff := cmp.Diff(want, operations[0].Security); diff != "" {
				t.Errorf("security (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOperationsAreInAStableOrder(t *testing.T) {
	ids := func() (ids []string) {
		for o := range bank(t).Operations() {
			ids = append(ids, o.Path+" "+o.Method)
		}
		return ids
	}
	first := ids()
	if !slices.IsSorted(first) || len(first) != 25 {
		t.Errorf("operations are %d, %q, want 25 by path and method", len(first), first)
	}
	if diff := cmp.Diff(first, ids()); diff != "" {
		t.Errorf("second load (-first +second):\n%s", diff)
	}
}

// The digest changes with all that a decision depends on, and with nothing else.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	a := write(t, dir, "a.yaml", minimal)
	digest := func(apis ...API) []byte { return load(t, Config{APIs: apis}).Digest() }
	base := digest(API{Name: "a", Document: a, Hosts: []string{"h"}, BasePath: "/b"})
	if same := digest(API{Name: "a", Document: write(t, dir, "moved.yaml", minimal), Hosts: []string{"h"}, BasePath: "/b"}); !bytes.Equal(base, same) {
		t.Error("the digest changed with the document's file name")
	}
	for name, other := range map[string][]byte{
		"name":      digest(API{Name: "b", Document: a, Hosts: []string{"h"}, BasePath: "/b"}),
		"document":  digest(API{Name: "a", Document: write(t, dir, "c.yaml", minimal+" "), Hosts: []string{"h"}, BasePath: "/b"}),
		"hosts":     digest(API{Name: "a", Document: a, Hosts: []string{"h", "i"}, BasePath: "/b"}),
		"no hosts":  digest(API{Name: "a", Document: a, BasePath: "/b"}),
		"base path": digest(API{Name: "a", Document: a, Hosts: []string{"h"}, BasePath: "/c"}),
		"resource":  digest(API{Name: "a", Document: a, Hosts: []string{"h"}, BasePath: "/b", Resource: "https://api.example"}),
		"answers":   digest(API{Name: "a", Document: a, Hosts: []string{"h"}, BasePath: "/b", InteractionID: true}),
		"two APIs":  digest(API{Name: "a", Document: a, Hosts: []string{"h"}, BasePath: "/b"}, API{Name: "b", Document: a}),
	} {
		if bytes.Equal(base, other) {
			t.Errorf("the digest is the same with another %s", name)
		}
	}
	contracts := bank(t)
	contracts.Digest()[0]++
	if !bytes.Equal(contracts.Digest(), bank(t).Digest()) {
		t.Error("writing to a digest changes the next")
	}
}

// What is read again is what is there, and is compiled again only if that is not the same.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "a.yaml", minimal)
	cfg := Config{APIs: []API{{Name: "a", Document: file, Hosts: []string{"h"}}}}
	first, err := (*Contracts)(nil).Again(cfg)
	if err != nil {
		t.Fatal(err)
	}
	again := func(cfg Config) *Contracts {
		t.Helper()
		contracts, err := first.Again(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(contracts.Digest(), load(t, cfg).Digest()) {
			t.Error("the digest is not that of New")
		}
		return contracts
	}
	if again(cfg) != first {
		t.Error("what has not changed is compiled again")
	}
	moved := Config{APIs: []API{{Name: "a", Document: write(t, dir, "moved.yaml", minimal), Hosts: []string{"h"}}}}
	if again(moved) == first || again(Config{APIs: []API{{Name: "a", Document: file}}}) == first || again(Config{}) == first {
		t.Error("another configuration gives the contracts of this one")
	}
	write(t, dir, "a.yaml", minimal+" ")
	if again(cfg) == first {
		t.Error("another document gives the contracts of this one")
	}
	write(t, dir, "a.yaml", "openapi")
	if contracts, err := first.Again(cfg); err == nil {
		t.Errorf("Again = %v for a document with a fault, want the fault", contracts)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if contracts, err := first.Again(cfg); err == nil {
		t.Errorf("Again = %v for a document that is not there, want the fault", contracts)
	}
}

// Real contracts load, and every path of theirs is found.
func TestUKOpenBanking(t *testing.T) {
	for name, want := range map[string]int{"accounts": 29, "payments": 41} {
		t.Run(name, func(t *testing.T) {
			document := "../../../shared/contracts/uk-open-banking-4.0-" + name + ".yaml"
			if _, err := os.Stat(document); err != nil {
				t.Skip("the UK Open Banking documents are not beside the checkout")
			}
			contracts := load(t, Config{APIs: []API{{Name: "uk", Document: document, BasePath: "/open-banking/v4.0"}}})
			operations := slices.Collect(contracts.Operations())
			if len(operations) != want {
				t.Errorf("operations are %d, want %d", len(operations), want)
			}
			for _, o := range operations {
				match := mustMatch(t, contracts, o.Method, "/open-banking/v4.0"+strings.NewReplacer("{", "", "}", "").Replace(o.Path))
				if match.Operation != o {
					t.Errorf("%s %s is matched to %v", o.Method, o.Path, match.Operation)
				}
				if len(o.Security) != 1 || len(o.Security[0].Scopes) != 1 || o.Security[0].Kinds == nil {
					t.Errorf("%s has security %v, want one scope, and kinds", o.ID, o.Security)
				}
			}
		})
	}
}

func TestWhatMustBeKnown(t *testing.T) {
	document := []byte(`openapi: 3.1.0
security: []
x-countersign: {revocation: required}
paths:
  /a:
    get: {operationId: wide, x-countersign: {replay: best_effort}}
    head: {operationId: head, x-countersign: {replay: best_effort}}
    put: {operationId: known, x-countersign: {revocation: known}}
    post: {operationId: required, x-countersign: {revocation: required}}
`)
	operations, problems := compile(API{Name: "bank", Document: "openapi.yaml"}, document, &node{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	type rules struct {
		RequireRevocations, BestEffort bool
	}
	got := map[string]rules{}
	for _, o := range operations {
		got[o.ID] = rules{o.RequireRevocations, o.BestEffort}
	}
	want := map[string]rules{
		"wide": {true, true}, "head": {true, true}, "known": {false, false}, "required": {true, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}
