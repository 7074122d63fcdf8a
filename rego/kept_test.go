package rego

import (
	"encoding/json"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

func kept(t testing.TB, inputs authz.Inputs, facts *authz.Facts) *authz.Input {
	t.Helper()
	input, err := inputs.Input(facts)
	if err != nil {
		t.Fatal(err)
	}
	if input == nil {
		t.Fatal("nothing is kept")
	}
	return input
}

// withHeaders are fullFacts of a request with these headers, and with those that
// Envoy sends where it was asked for raw ones.
func withHeaders(headers map[string]any, raw ...string) *authz.Facts {
	facts := fullFacts()
	http := map[string]any{"method": "GET", "headers": headers}
	if raw != nil {
		var list []any
		for _, name := range raw {
			list = append(list, map[string]any{"key": name, "rawValue": "c2VjcmV0"})
		}
		http["headerMap"] = map[string]any{"headers": list}
	}
	facts.Request.Attributes = func() map[string]any {
		return map[string]any{"source": map[string]any{"principal": "p"}, "request": map[string]any{"http": http}}
	}
	return facts
}

func TestKeptInput(t *testing.T) {
	facts := fullFacts()
	e := own(t, `package site
decision if {
	input.caller.kind == "customer"
	input.token.claims.sub == "ann"
	input.operation.id
	input.operation.parameters.AccountId
	input.objects[_].owned
	true with input.caller.unheard as 1
	input.token.claims.second_signer
}
`)
	pruned := kept(t, e.Inputs(false), facts)
	want := `{"caller":{"kind":"customer"},"objects":[{"id":"22289","owned":true,"region":"GB","relation":"owner",` +
		`"type":"account","where":"path"}],"operation":{"id":"GetAccountsAccountIdBalances","parameters":{"AccountId":"22289"}},` +
		`"token":{"claims":{"sub":"ann"}}}`
	if got := string(pruned.Document); got != want {
		t.Errorf("document = %s, want %s", got, want)
	}
	reaches := []string{"input.caller.kind", "input.objects", "input.operation.id", "input.operation.parameters.AccountId",
		"input.token.claims.second_signer", "input.token.claims.sub"}
	if diff := cmp.Diff(reaches, pruned.Reaches); diff != "" {
		t.Errorf("reaches (-want +got):\n%s", diff)
	}
	everything := parsed(t, string(kept(t, e.Inputs(true), facts).Document))
	if diff := cmp.Diff(built(t, whole, facts), everything); diff != "" {
		t.Errorf("the whole document (-decided on +kept):\n%s", diff)
	}
}

// TestReachesCoverWhatIsKept holds that a document has nothing that its Reaches do not
// name, and, of facts that are all known, everything that they do.
func TestReachesCoverWhatIsKept(t *testing.T) {
	e := standardEngine(t)
	parts := own(t, "package site\ndecision if { input.token.claims.nested.list[0]; input.caller; input.operation.step_up.max_age; input.parsed_body.Amount }\n")
	for name, inputs := range map[string]authz.Inputs{
		"pruned": e.Inputs(false), "whole": e.Inputs(true), "pruned to parts": parts.Inputs(false),
	} {
		input := kept(t, inputs, fullFacts())
		document := parsed(t, string(input.Document)).(map[string]any)
		for _, path := range input.Reaches {
			if lookup(document, path) == nil && path != "input.consent.open_ended" {
				t.Errorf("%s: %s is not there", name, path)
			}
		}
		for _, leaf := range leaves(document, "input") {
			covered := false
			for _, path := range input.Reaches {
				covered = covered || leaf == path || strings.HasPrefix(leaf, path+".")
			}
			if !covered {
				t.Errorf("%s: %s is there, and nothing says so", name, leaf)
			}
		}
	}
}

func TestCredentialsAreWithheld(t *testing.T) {
	const secret = "c2VjcmV0"
	headers := map[string]any{
		"authorization": secret, "Cookie": secret, "DPoP": secret, "proxy-authorization": secret,
		":path": "/a", "x-forwarded-client-cert": "Hash=1", "dpop-nonce": "1",
	}
	for name, c := range map[string]struct {
		facts *authz.Facts
		want  []string
		http  string
	}{
		"headers": {withHeaders(headers), []string{"authorization", "cookie", "dpop", "proxy-authorization"},
			`{"method": "GET", "headers": {":path": "/a", "x-forwarded-client-cert": "Hash=1", "dpop-nonce": "1"}}`},
		"raw headers": {withHeaders(nil, "Authorization", "DPOP", "x-a", "dpop"), []string{"authorization", "dpop"},
			`{"method": "GET", "headers": {}, "headerMap": {"headers": [{"key": "x-a", "rawValue": "c2VjcmV0"}]}}`},
		"none of them": {withHeaders(map[string]any{"x-a": "1"}, "x-b"), nil,
			`{"method": "GET", "headers": {"x-a": "1"}, "headerMap": {"headers": [{"key": "x-b", "rawValue": "c2VjcmV0"}]}}`},
	} {
		e := own(t, "package site\ndecision if input.attributes.request.http == {}\n")
		for _, everything := range []bool{false, true} {
			input := kept(t, e.Inputs(everything), c.facts)
			if diff := cmp.Diff(c.want, input.Withheld); diff != "" {
				t.Errorf("%s: withheld (-want +got):\n%s", name, diff)
			}
			got := lookup(parsed(t, string(input.Document)).(map[string]any), "input.attributes.request.http")
			if diff := cmp.Diff(parsed(t, c.http), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// TestWithholdingChangesNothingShared holds that the document that is decided on still
// has what was taken out of the one that is kept.
func TestWithholdingChangesNothingShared(t *testing.T) {
	document, err := whole.of(withHeaders(map[string]any{"authorization": "a", "b": "c"}, "cookie", "d"))
	if err != nil {
		t.Fatal(err)
	}
	before := document.String()
	if after, withheld := withoutCredentials(document); len(withheld) != 2 || after.Compare(document) == 0 {
		t.Errorf("withheld = %v, want two headers", withheld)
	}
	if document.String() != before {
		t.Error("the document itself has changed")
	}
}

// TestHeadersOfAnotherShape holds that attributes of no known shape are no fault.
func TestHeadersOfAnotherShape(t *testing.T) {
	for _, attributes := range []string{
		`{"request": 1}`, `{"request": {"http": null}}`, `{"request": {"http": {"headers": ["authorization"], "headerMap": []}}}`,
		`{"request": {"http": {"headerMap": {"headers": {"authorization": "a"}}}}}`,
		`{"request": {"http": {"headerMap": {"headers": [1, {}, {"key": 1}, {"value": "a"}]}}}}`,
	} {
		facts := fullFacts()
		want := parsed(t, attributes).(map[string]any)
		facts.Request.Attributes = func() map[string]any { return want }
		input := kept(t, own(t, "package site\ndecision if input.attributes\n").Inputs(false), facts)
		if diff := cmp.Diff(map[string]any{"attributes": want}, parsed(t, string(input.Document))); diff != "" || input.Withheld != nil {
			t.Errorf("%s: withheld %v (-want +got):\n%s", attributes, input.Withheld, diff)
		}
	}
}

func TestWhatIsTooLargeIsNotKept(t *testing.T) {
	deep := any("a")
	for range maxDepth {
		deep = []any{deep}
	}
	inputs := own(t, "package site\ndecision if input.parsed_body\n").Inputs(false)
	for name, body := range map[string]any{
		"a long string":          strings.Repeat("a", maxDocument),
		"a string too long by 1": strings.Repeat("a", maxDocument+1-len(`{"parsed_body":""}`)),
		"many values":            make([]any, maxValues),
		"nested deeply":          deep,
	} {
		facts := fullFacts()
		facts.Inspection.Body = body
		if input, err := inputs.Input(facts); err != nil || input == nil || !input.TooLarge || input.Document != nil {
			t.Errorf("%s: something is kept, or nothing is said: %v, want what is too large", name, err)
		}
	}
	facts := fullFacts()
	facts.Inspection.Body = strings.Repeat("a", maxDocument-len(`{"parsed_body":""}`))
	if got := kept(t, inputs, facts); got.TooLarge || len(got.Document) != maxDocument {
		t.Errorf("%d bytes are kept, want %d", len(got.Document), maxDocument)
	}
}

func TestFactsThatAreNoDocumentAreNotKept(t *testing.T) {
	inputs := own(t, "package site\ndecision if input.parsed_body\n").Inputs(false)
	for name, body := range map[string]any{"no JSON": func() {}, "no number": math.NaN(), "a set": ast.NewSet(), "half a number": json.Number("1.")} {
		facts := fullFacts()
		facts.Inspection.Body = body
		if input, err := inputs.Input(facts); err == nil || input != nil {
			t.Errorf("%s: Input = %v, %v, want an error", name, input, err)
		}
	}
}

func TestInputsSideBySide(t *testing.T) {
	e := standardEngine(t)
	facts := fullFacts()
	facts.Token.Prepared = PrepareClaims(facts.Token.Claims)
	inputs := e.Inputs(true)
	want := string(kept(t, e.Inputs(true), facts).Document)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if verdict, err := e.Decide(t.Context(), facts); err != nil || !verdict.Allowed {
					t.Errorf("Decide = %v, %v", verdict.Allowed, err)
				}
				if input, err := inputs.Input(facts); err != nil || string(input.Document) != want {
					t.Errorf("Input = %v, %v, want the same for all", input, err)
				}
			}
		})
	}
	all.Wait()
}

// TestKeptInputIsDecidedOnByItsOwnPolicyOnly holds that a document which was made to be
// kept serves the policy that it was made for, and no other, which may read more of it.
func TestKeptInputIsDecidedOnByItsOwnPolicyOnly(t *testing.T) {
	reads := own(t, "package site\ndefault decision := false\ndecision if input.caller.subject == \"nobody\"\n")
	other := own(t, "package site\ndecision if input.caller.kind == \"customer\"\n")
	facts := fullFacts()
	var err error
	if facts.Input, err = reads.Inputs(false).Input(facts); err != nil {
		t.Fatal(err)
	}
	if verdict, err := other.Decide(t.Context(), facts); err != nil || !verdict.Allowed {
		t.Errorf("another policy decides %v, %v; want an allow on facts that were not kept", verdict, err)
	}
	facts.Token.Caller.Subject = "nobody" // later than the document was made
	if verdict, err := reads.Decide(t.Context(), facts); err != nil || verdict.Allowed {
		t.Errorf("its own policy decides %v, %v; want a denial on what is kept", verdict, err)
	}
}

// TestWhatIsDecidedOnIsNotPruned holds that what is taken out of the kept document is
// still in the one that is decided on.
func TestWhatIsDecidedOnIsNotPruned(t *testing.T) {
	e := own(t, `package site
decision if {
	input.attributes.request.http.headers.authorization == "Bearer a"
	input.token.claims.sub == "ann"
}
`)
	facts := withHeaders(map[string]any{"authorization": "Bearer a", "x-a": "1"})
	facts.Input = kept(t, e.Inputs(false), facts)
	want, err := e.document.of(facts)
	if err != nil {
		t.Fatal(err)
	}
	if made, ok := facts.Input.Prepared.(ready); !ok || made.value.Compare(want) != 0 {
		t.Errorf("prepared is %v, want %v", facts.Input.Prepared, want)
	}
	if verdict, err := e.Decide(t.Context(), facts); err != nil || !verdict.Allowed {
		t.Errorf("Decide = %v, %v, want an allow", verdict.Allowed, err)
	}
}
