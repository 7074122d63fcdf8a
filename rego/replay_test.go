package rego

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// replaysAs holds that what is kept of the facts, pruned or whole, is decided as the
// facts themselves were.
func replaysAs(t testing.TB, e *Engine, facts *authz.Facts, want authz.Verdict, wantErr error) {
	t.Helper()
	for _, everything := range []bool{false, true} {
		input := kept(t, e.Inputs(everything), facts)
		got, err := e.Replay(t.Context(), *input, facts.Time, facts.ID)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("whole %v: Replay fails with %v, Decide with %v", everything, err, wantErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("whole %v (-decided +replayed):\n%s", everything, diff)
		}
	}
}

const unpredictable = `package site
decision := {"allowed": rand.intn(input.caller.kind, 2) == 0, "reason": "luck", "dynamic_metadata": {
	"time": time.now_ns(), "dice": rand.intn("a", 1000000000), "id": uuid.rfc4122("b"), "all": input}}
`

// TestReplayDecidesTheSame holds every policy's decision on random facts against its
// decision on what is kept of them.
func TestReplayDecidesTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	engines := reachingEngines(t)
	engines["standard"] = standardEngine(t)
	engines["time and randomness"] = own(t, unpredictable)
	engines["what fails"] = own(t, "package site\ndecision if to_number(input.caller.subject) > 1\n")
	engines["what may be undefined"] = own(t, "package site\ndecision if input.consent.status == \"AUTH\"\n")
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			for i := range 50 {
				facts := randomFacts(random)
				facts.ID = authz.NewDecisionID()
				facts.Time = facts.Time.Add(time.Duration(i))
				verdict, err := e.Decide(t.Context(), facts)
				replaysAs(t, e, facts, verdict, err)
			}
		})
	}
}

func TestReplayOfNothingKnown(t *testing.T) {
	for _, e := range []*Engine{standardEngine(t), own(t, unpredictable), own(t, "package site\ndecision := false\n")} {
		facts := &authz.Facts{Request: &authz.Request{}}
		verdict, err := e.Decide(t.Context(), facts)
		replaysAs(t, e, facts, verdict, err)
	}
}

// TestReplayNeverGuesses has each policy decide on what was kept for each other one:
// as it would have decided on the facts, or not at all.
func TestReplayNeverGuesses(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	engines := reachingEngines(t)
	engines["standard"] = standardEngine(t)
	decided, undetermined := 0, 0
	for ours, keeper := range engines {
		for theirs, e := range engines {
			facts := randomFacts(random)
			got, err := e.Replay(t.Context(), *kept(t, keeper.Inputs(false), facts), facts.Time, facts.ID)
			var lacking *Undetermined
			if errors.As(err, &lacking) {
				undetermined++
				continue
			}
			decided++
			want, wantErr := e.Decide(t.Context(), facts)
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
				t.Errorf("kept for %s, replayed by %s: %v, want %v (-want +got):\n%s", ours, theirs, err, wantErr, diff)
			}
		}
	}
	var lacking *Undetermined
	facts := randomFacts(random)
	parts := kept(t, engines["parts of claims and body"].Inputs(false), facts)
	if _, err := engines["other parts of them"].Replay(t.Context(), *parts, facts.Time, facts.ID); !errors.As(err, &lacking) {
		t.Errorf("replayed by a policy that reads other parts: %v, want undetermined", err)
	}
	if decided <= len(engines) || undetermined == 0 {
		t.Errorf("%d decided, %d undetermined: want some of both, and not by the keeper alone", decided, undetermined)
	}
}

func TestReplayOfAPolicyThatReachesFurther(t *testing.T) {
	keeper := own(t, `package site
decision if {
	input.caller.kind
	input.token.claims.sub
	input.token.claims["https://bank.example/a.b"]
	input.token.claims.nested
	input.parsed_body.Data.Amount
	input.consent
	input.operation.id
	input.attributes
}
`)
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"the same":               {"input.caller.kind", nil},
		"less of a section":      {"input.consent.id", nil},
		"the same claims":        {`input.token.claims.sub; not input.token.claims["https://bank.example/a.b"]`, nil},
		"below a claim":          {"not input.token.claims.nested.list[9].a; not input.token.claims.sub.a", nil},
		"another claim":          {"input.token.claims.big", []string{"input.token.claims.big"}},
		"a claim that is absent": {"not input.token.claims.second_signer", []string{"input.token.claims.second_signer"}},
		"a claim by part of its name": {"not input.token.claims.su; not input.token.claims.sub2",
			[]string{"input.token.claims.su", "input.token.claims.sub2"}},
		"a claim with dots for a path": {`not input.token.claims["https://bank.example/a"].b; not input.token.claims["nested.list"]`,
			[]string{`input.token.claims["https://bank.example/a"].b`, `input.token.claims["nested.list"]`}},
		"all claims":                     {"count(input.token.claims) > 1", []string{"input.token.claims"}},
		"another part of the body":       {"not input.parsed_body.Data.Creditor", []string{"input.parsed_body.Data.Creditor"}},
		"what a part of the body is in":  {"count(input.parsed_body.Data) == 0", []string{"input.parsed_body.Data"}},
		"what no document has":           {"true with input.caller.unheard as 1 with input.unheard as 1", nil},
		"nothing at all":                 {"true", nil},
		"another fact":                   {"input.caller.subject", []string{"input.caller.subject"}},
		"a fact that is absent":          {"not input.caller.actor", []string{"input.caller.actor"}},
		"a section of which one is kept": {"count(input.token) > 0", []string{"input.token"}},
		"the operation's parameters":     {"input.operation.parameters.AccountId", []string{"input.operation.parameters.AccountId"}},
		"several":                        {"input.objects[0].id; input.caller.kind; input.region.service", []string{"input.objects[0].id", "input.region.service"}},
		"a key that varies":              {"some k in [\"kind\"]; input.caller[k]", []string{"input.caller"}},
		"not what was not withheld":      {"input.attributes; input.region.service", []string{"input.region.service"}},
		"everything":                     {"count(input) > 0", []string{"input (site.rego:2)"}},
	} {
		e := own(t, "package site\ndecision if { "+c.body+" }\n")
		facts := fullFacts()
		verdict, err := e.Replay(t.Context(), *kept(t, keeper.Inputs(false), facts), facts.Time, facts.ID)
		holdsNeeds(t, name, verdict, err, c.want)
		verdict, err = e.Replay(t.Context(), *kept(t, keeper.Inputs(true), facts), facts.Time, facts.ID)
		holdsNeeds(t, name+", of the whole", verdict, err, nil)
	}
}

func holdsNeeds(t *testing.T, name string, verdict authz.Verdict, err error, want []string) {
	t.Helper()
	var lacking *Undetermined
	switch {
	case want == nil:
		if errors.As(err, &lacking) {
			t.Errorf("%s: %v, want a decision", name, err)
		}
	case !errors.As(err, &lacking) || verdict.Allowed:
		t.Errorf("%s: Replay = %v, %v, want undetermined", name, verdict.Allowed, err)
	default:
		if diff := cmp.Diff(want, lacking.Needs); diff != "" {
			t.Errorf("%s: needs (-want +got):\n%s", name, diff)
		}
		if text := "undetermined: needs " + strings.Join(want, ", "); err.Error() != text {
			t.Errorf("%s: %q, want %q", name, err, text)
		}
	}
}

func TestReplayOfAPolicyThatReadsCredentials(t *testing.T) {
	const http = "input.attributes.request.http"
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"another header":     {http + `.headers["x-a"] == "1"`, nil},
		"a header not sent":  {`not ` + http + `.headers.dpop`, nil},
		"beside the headers": {http + `.method; input.attributes.source.principal`, nil},
		"the header":         {http + `.headers.authorization`, []string{http + ".headers.authorization"}},
		"in capitals":        {`not ` + http + `.headers.Authorization`, []string{http + ".headers.Authorization"}},
		"a part of it":       {`not ` + http + `.headers.cookie.a`, []string{http + ".headers.cookie.a"}},
		"how many there are": {`count(` + http + `.headers) > 2`, []string{http + ".headers"}},
		"any of them":        {`some name; ` + http + `.headers[name] == "1"`, []string{http + ".headers"}},
		"above them":         {`walk(input.attributes.request, [_, "1"])`, []string{"input.attributes.request"}},
		"under a local name": {`h := ` + http + `; h.headers["x-a"]`, []string{http}},
		"raw headers":        {`not ` + http + `.headerMap.headers[0].value`, []string{http + ".headerMap.headers[0].value"}},
		"everything":         {`walk(input, [_, "1"])`, []string{"input (site.rego:2)"}},
		"it and another":     {http + `.headers.cookie; ` + http + `.headers["x-a"]`, []string{http + ".headers.cookie"}},
		"no header at all":   {`input.caller.kind`, nil},
	} {
		e := own(t, "package site\ndecision if { "+c.body+" }\n")
		facts := withHeaders(map[string]any{"authorization": "Bearer a", "cookie": "b", "x-a": "1"})
		want, wantErr := e.Decide(t.Context(), facts)
		for _, everything := range []bool{false, true} {
			verdict, err := e.Replay(t.Context(), *kept(t, e.Inputs(everything), facts), facts.Time, facts.ID)
			holdsNeeds(t, name, verdict, err, c.want)
			if c.want == nil && (verdict.Allowed != want.Allowed || (err == nil) != (wantErr == nil)) {
				t.Errorf("%s: Replay = %v, %v, Decide = %v, %v", name, verdict.Allowed, err, want.Allowed, wantErr)
			}
		}
		replayed := withHeaders(map[string]any{"x-a": "1"})
		verdict, err := e.Decide(t.Context(), replayed)
		replaysAs(t, e, replayed, verdict, err)
	}
}

func TestInputsThatCannotBeReplayed(t *testing.T) {
	e := own(t, "package site\ndecision if not input.caller.kind == \"22289\"\n")
	reaches := e.Inputs(true).(*inputs).reaches
	for name, document := range map[string]string{
		"nothing":     "",
		"no JSON":     `{"caller": 22289`,
		"no object":   `["22289"]`,
		"a key twice": `{"22289": 1, "22289": 2}`,
		"not UTF-8":   "{\"22289\": \"\xff\"}",
		"too deep":    strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		"too large":   `{"a": "` + strings.Repeat("22289", maxDocument/5) + `"}`,
		"no number":   `{"a": 1e99999999999999922289}`,
	} {
		input := authz.Input{Document: []byte(document), Reaches: reaches}
		verdict, err := e.Replay(t.Context(), input, now, authz.DecisionID{})
		if err == nil || verdict.Allowed {
			t.Errorf("%s: Replay = %v, %v, want an error", name, verdict.Allowed, err)
		} else if strings.Contains(err.Error(), "22289") {
			t.Errorf("%s: the error quotes the document: %v", name, err)
		}
	}
	var lacking *Undetermined
	if _, err := e.Replay(t.Context(), authz.Input{Document: []byte(`{}`)}, now, authz.DecisionID{}); !errors.As(err, &lacking) {
		t.Errorf("Replay of an input that says not what it holds: %v, want undetermined", err)
	}
}
