package rego

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// TestWhatNoRuleReadsIsNotKept holds what is kept of the body and the claims: what the
// policy names, and nothing beside it.
func TestWhatNoRuleReadsIsNotKept(t *testing.T) {
	const body = `{"Data": {"Initiation": {"Amount": {"Amount": "1", "Currency": "GBP"}, "Creditor": {"Name": "bob"},
		"Lines": [{"Net": "2", "Text": "rent"}], "a.b": {"c": "3"}, "a": {"b": "4"}}}, "Risk": null}`
	for name, c := range map[string]struct{ body, want string }{
		"a claim":                 {"input.token.claims.sub", `{"token": {"claims": {"sub": "ann"}}}`},
		"a claim that is absent":  {"not input.token.claims.second_signer", `{"token": {"claims": {}}}`},
		"below a claim":           {"input.token.claims.nested.list", `{"token": {"claims": {"nested": {"list": ["a", null, true]}}}}`},
		"below what has no keys":  {"not input.token.claims.sub.a; not input.token.claims.nested.list.a", `{"token": {"claims": {"nested": {}}}}`},
		"all claims beside one":   {"input.token.claims.sub; count(input.token.claims) == 1", `{"token": {"claims": {"sub": "ann"}}}`},
		"a part of the body":      {"input.parsed_body.Data.Initiation.Amount.Amount", `{"parsed_body": {"Data": {"Initiation": {"Amount": {"Amount": "1"}}}}}`},
		"a part that is null":     {"input.parsed_body.Risk", `{"parsed_body": {"Risk": null}}`},
		"a list by an index":      {"input.parsed_body.Data.Initiation.Lines[0].Net", `{"parsed_body": {"Data": {"Initiation": {"Lines": [{"Net": "2", "Text": "rent"}]}}}}`},
		"a list by a variable":    {"input.parsed_body.Data.Initiation.Lines[_].Net", `{"parsed_body": {"Data": {"Initiation": {"Lines": [{"Net": "2", "Text": "rent"}]}}}}`},
		"a key that varies":       {"some k in [\"Net\"]; input.parsed_body.Data.Initiation.Amount[k]", `{"parsed_body": {"Data": {"Initiation": {"Amount": {"Amount": "1", "Currency": "GBP"}}}}}`},
		"a key with a dot":        {`input.parsed_body.Data.Initiation["a.b"].c`, `{"parsed_body": {"Data": {"Initiation": {"a.b": {"c": "3"}}}}}`},
		"a local name":            {"i := input.parsed_body.Data.Initiation.Amount; i.Currency", `{"parsed_body": {"Data": {"Initiation": {"Amount": {"Amount": "1", "Currency": "GBP"}}}}}`},
		"two parts":               {"input.parsed_body.Risk; input.token.claims.exp", `{"parsed_body": {"Risk": null}, "token": {"claims": {"exp": 1795000000}}}`},
		"what no document has":    {"input.caller.kind with input.caller.unheard.of as 1 with input.unheard as 1", `{"caller": {"kind": "customer"}}`},
		"nothing":                 {"true", `{}`},
		"the target of a with":    {"input.caller.kind with input.token.claims.sub as \"bob\"", `{"caller": {"kind": "customer"}, "token": {"claims": {"sub": "ann"}}}`},
		"what a function is told": {"f(input.token.claims.nested)\n}\nf(x) if {\n\tx.list", `{"token": {"claims": {"nested": {"list": ["a", null, true]}}}}`},
	} {
		facts := fullFacts()
		facts.Inspection.Body = parsed(t, body)
		if name == "all claims beside one" {
			facts.Token.Claims = map[string]any{"sub": "ann"}
		}
		input := kept(t, own(t, "package site\ndecision if {\n\t"+c.body+"\n}\n").Inputs(false), facts)
		if diff := cmp.Diff(parsed(t, c.want), parsed(t, string(input.Document))); diff != "" {
			t.Errorf("%s (-want +kept):\n%s", name, diff)
		}
	}
}

// randomRef has keys that are awkward to spell, and that randomValue has, too.
func randomRef(random *rand.Rand) ast.Ref {
	ref := ast.Ref{ast.InputRootDocument}
	for range 1 + random.IntN(4) {
		ref = append(ref, awkward[random.IntN(len(awkward))])
	}
	return ref
}

var awkward = []*ast.Term{
	ast.StringTerm("a"), ast.StringTerm("ab"), ast.StringTerm("a.b"), ast.StringTerm(`0"]["0`), ast.StringTerm("]"),
	ast.StringTerm(`\`), ast.StringTerm("if"), ast.StringTerm(""), ast.StringTerm("0"), ast.InternedTerm(0), ast.InternedTerm(true),
}

func randomValue(random *rand.Rand, depth int) *ast.Term {
	if depth == 0 || random.IntN(4) == 0 {
		return awkward[random.IntN(len(awkward))]
	}
	var items []*ast.Term
	var pairs []pair
	for range random.IntN(6) {
		item := randomValue(random, depth-1)
		items = append(items, item)
		pairs = append(pairs, pair{awkward[random.IntN(9)], item})
	}
	if random.IntN(4) == 0 {
		return ast.ArrayTerm(items...)
	}
	return ast.ObjectTerm(pairs...)
}

// TestPruningLosesNothingThatIsRead holds random references into random values, kept
// and as they were; and that a second pruning finds nothing to take away.
func TestPruningLosesNothingThatIsRead(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	found, smaller := 0, 0
	for range 5000 {
		read := reach{refs: []ast.Ref{randomRef(random), randomRef(random), randomRef(random)}}
		document := ast.ObjectTerm(pair{awkward[0], randomValue(random, 4)}, pair{awkward[2], randomValue(random, 4)})
		before := document.String()
		kept := branches(read.within([]ast.Ref{{ast.InputRootDocument}}))
		pruned := kept.of(document)
		for _, ref := range read.refs {
			want, wantErr := document.Value.Find(ref[1:])
			got, err := pruned.Value.Find(ref[1:])
			if (err == nil) != (wantErr == nil) || err == nil && got.Compare(want) != 0 {
				t.Fatalf("%s of %s is %v, want %v: kept is %s", ref, document, got, want, pruned)
			}
			if err == nil {
				found++
			}
		}
		if again := kept.of(pruned); !again.Equal(pruned) {
			t.Fatalf("%s, pruned again: %s", pruned, again)
		}
		if document.String() != before {
			t.Fatal("the document itself has changed")
		}
		if !pruned.Equal(document) {
			smaller++
		}
	}
	if found < 500 || smaller < 500 {
		t.Errorf("%d references led to a value, and %d documents became smaller: want many of both", found, smaller)
	}
}

// TestPathsAreSpelledApart holds that a path begins another as it is spelled where it
// does as a reference, and nowhere else.
func TestPathsAreSpelledApart(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	both := 0
	for range 50_000 {
		path, other := randomRef(random), randomRef(random)
		want := other.HasPrefix(path)
		if got := begins(spelled(path), spelled(other)); got != want {
			t.Fatalf("begins(%s, %s) = %v, want %v", spelled(path), spelled(other), got, want)
		}
		if want {
			both++
		}
	}
	if both == 0 {
		t.Error("no path began another")
	}
}

// TestInputsOfTwoKeysStayReadable holds what was kept when all below the second key was.
func TestInputsOfTwoKeysStayReadable(t *testing.T) {
	input := authz.Input{
		Document: []byte(`{"caller": {"kind": "customer"}, "token": {"claims": {"sub": "ann", "nested": {"list": ["a"]}}}}`),
		Reaches:  []string{"input.caller.kind", "input.token.claims"},
	}
	for body, want := range map[string][]string{
		`input.token.claims.sub == "ann"; input.token.claims.nested.list[0] == "a"`: nil,
		`not input.token.claims.second_signer; input.caller.kind`:                   nil,
		`count(input.token.claims) == 2`:                                            nil,
		`input.token.claims.sub; not input.token.acr`:                               {"input.token.acr"},
		`input.caller.kind; count(input.caller) == 1`:                               {"input.caller"},
	} {
		e := own(t, "package site\ndecision if { "+body+" }\n")
		verdict, err := e.Replay(t.Context(), input, now, authz.DecisionID{})
		holdsNeeds(t, body, verdict, err, want)
		if want == nil && (err != nil || !verdict.Allowed) {
			t.Errorf("%s: Replay = %v, %v, want an allow", body, verdict.Allowed, err)
		}
	}
}

// TestReachesAreSpelledOut holds that a section is listed by its facts, a reference that
// another one covers not at all, and the rest in order.
func TestReachesAreSpelledOut(t *testing.T) {
	const module = "package site\ndecision if { input.token.claims.b; input.token.claims.a.x; input.token.claims.a; input.caller; input.objects[_].id }\n"
	reaches := kept(t, own(t, module).Inputs(false), fullFacts()).Reaches
	want := []string{"input.objects", "input.token.claims.a", "input.token.claims.b"}
	got := slices.DeleteFunc(slices.Clone(reaches), func(path string) bool { return strings.HasPrefix(path, "input.caller.") })
	if diff := cmp.Diff(want, got); diff != "" || len(reaches) != len(want)+len(callerFields()) {
		t.Errorf("reaches %v (-want +got):\n%s", reaches, diff)
	}
}
