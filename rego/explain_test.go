package rego

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

const explainedInput = `{
	"caller": {"kind": "customer", "subject": "ann", "roles": ["support", "audit"]},
	"operation": {"id": "Read", "scopes": [["a", "b"], ["c"]]},
	"consent": {"permissions": ["Read", "Write", "Own"]}
}`

// explainedBy explains a policy's decision on an input.
func explainedBy(t *testing.T, policy, input string) *Explanation {
	t.Helper()
	return own(t, policy).subject.explain(t.Context(), question{input: ast.MustParseTerm(input).Value})
}

// toldOf is why each rule of a name failed, in a line each.
func toldOf(e *Explanation, name string) []string {
	var lines []string
	for _, rule := range e.Rules {
		if !strings.HasSuffix(rule.Name, name) {
			continue
		}
		for _, failure := range rule.Failures {
			line := toldCondition(&failure.Condition)
			if failure.For != "" {
				line = failure.For + ": " + line
			}
			if failure.Tried > 0 {
				line += fmt.Sprintf(" (%d tried)", failure.Tried)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func toldCondition(c *Condition) string {
	told := fmt.Sprintf("%d: %s", c.Line, c.Text)
	for i, seen := range c.Saw {
		told += map[bool]string{true: " | ", false: ", "}[i == 0] + seen.Name
		if seen.Absent {
			told += " is absent"
		} else {
			told += " = " + seen.Value
		}
	}
	for _, because := range c.Because {
		told += " <- " + strings.TrimPrefix(because.Name, "data.site.")
		if because.For != "" {
			told += " without " + because.For
		}
		if because.Held {
			told += " holds"
		}
		if because.Failed != nil {
			told += " [" + toldCondition(because.Failed) + "]"
		}
	}
	return told
}

// TestFirstConditionThatFailed holds what is told of each of Rego's constructs. The rule
// is "ok", and its first condition stands in line 7.
func TestFirstConditionThatFailed(t *testing.T) {
	tests := []struct{ name, rules, want string }{
		{"a value that is another", `ok if input.caller.kind == "staff"`, `7: input.caller.kind == "staff" | input.caller.kind = "customer"`},
		{"a fact that is absent", "ok if {\n\tinput.caller.kind == \"customer\"\n\tinput.token.claims.second_signer == true\n}",
			`9: input.token.claims.second_signer == true | input.token.claims.second_signer is absent`},
		{"false", `ok if startswith(input.operation.id, "W")`, `7: startswith(input.operation.id, "W") | input.operation.id = "Read"`},
		{"a call's value", `ok if count(input.caller.roles) > 2`, `7: count(input.caller.roles) > 2 | input.caller.roles = ["support", "audit"], count(input.caller.roles) = 2`},
		{"some in: the branch that came furthest", "ok if {\n\tsome role in input.caller.roles\n\trole != \"support\"\n\trole == \"boss\"\n}",
			`10: role == "boss" | role = "audit"`},
		{"some in: how many were tried", "ok if {\n\tsome role in input.caller.roles\n\trole == \"boss\"\n}", `9: role == "boss" | role = "support" (2 tried)`},
		{"some in: nothing to try", `ok if some group in input.token.claims.groups`, `7: some group in input.token.claims.groups | input.token.claims.groups is absent`},
		{"in", `ok if "boss" in input.caller.roles`, `7: "boss" in input.caller.roles | input.caller.roles = ["support", "audit"]`},
		{"a local variable", "ok if {\n\tid := input.operation.id\n\tid == \"Write\"\n}", `9: id == "Write" | id = "Read"`},
		{"a member of a local variable", "ok if {\n\tcaller := input.caller\n\tcaller.kind == \"staff\"\n}", `9: caller.kind == "staff" | caller.kind = "customer"`},
		{"every: the element that fails", `ok if every p in input.consent.permissions { p != "Write" }`,
			`7: every p in input.consent.permissions { p != "Write" } | input.consent.permissions = ["Read", "Write", "Own"] <-  [7: p != "Write" | p = "Write"]`},
		{"every of what is no collection", `ok if every p in input.caller.kind { p }`, `7: every p in input.caller.kind { p } | input.caller.kind = "customer"`},
		{"every in every", "ok if every all in input.operation.scopes {\n\tevery s in all { s != \"b\" }\n}",
			`7: every all in input.operation.scopes { every s in all { s != "b" } } | input.operation.scopes = [["a", "b"], ["c"]] <-  [8: every s in all { s != "b" } | all = ["a", "b"] <-  [8: s != "b" | s = "b"]]`},
		{"not: the fact that must not be so", `ok if not input.caller.kind == "customer"`, `7: not input.caller.kind == "customer" | input.caller.kind = "customer"`},
		{"not: the rule that must not hold", "ok if not known\n\nknown if input.caller.subject", `7: not known | known = true <- known holds`},
		{"a rule that does not hold", "ok if known\n\nknown if input.caller.subject == \"eve\"",
			`7: known | known is absent <- known [9: input.caller.subject == "eve" | input.caller.subject = "ann"]`},
		{"a rule of rules", "ok if a\n\na if b\n\nb if input.token.acr == \"1\"", `7: a | a is absent <- a [9: b | b is absent <- b [11: input.token.acr == "1" | input.token.acr is absent]]`},
		{"a set's elements", "ok if \"boss\" in held\n\nheld contains \"boss\" if input.caller.kind == \"staff\"\n\nheld contains \"aide\"",
			`7: "boss" in held | held = {"aide"} <- held without "boss" [9: input.caller.kind == "staff" | input.caller.kind = "customer"]`},
		{"a set of which a rule that gives another element failed", "ok if \"boss\" in held\n\nheld contains \"spy\" if input.caller.kind == \"staff\"\n\nheld contains \"aide\"",
			`7: "boss" in held | held = {"aide"}`},
		{"a set of which a rule has nothing to give", "ok if \"boss\" in held\n\nheld contains r if some r in input.token.claims.roles\n\nheld contains \"aide\"", `7: "boss" in held | held = {"aide"}`},
		{"an empty set", "ok if count(held) > 0\n\nheld contains r if {\n\tsome r in input.caller.roles\n\tr == \"boss\"\n}",
			`7: count(held) > 0 | held = set(), count(held) = 0 <- held [11: r == "boss" | r = "support"]`},
		{"a function", "ok if large(input.operation.id)\n\nlarge(x) if {\n\tis_string(x)\n\tcount(x) > 5\n}",
			`7: large(input.operation.id) | input.operation.id = "Read" <- large [11: count(x) > 5 | count(x) = 4, x = "Read"]`},
		{"a function of several rules", "ok if f(\"c\")\n\nf(x) if x == \"a\"\n\nf(x) if x == \"b\"", `7: f("c") <- f [9: x == "a" | x = "c"] <- f [11: x == "b" | x = "c"]`},
		{"a comprehension without elements", `ok if count([r | some r in input.caller.roles; r == "boss"]) > 0`,
			`7: count([r | some r in input.caller.roles; r == "boss"]) > 0 | count([r | some r in input.caller.roles; r == "boss"]) = 0 <-  [7: r == "boss" | r = "support"]`},
		{"else: each in its turn", "ok if {\n\tinput.caller.kind == \"staff\"\n} else if {\n\tinput.caller.kind == \"client\"\n}",
			"8: input.caller.kind == \"staff\" | input.caller.kind = \"customer\"\n10: input.caller.kind == \"client\" | input.caller.kind = \"customer\""},
		{"with input", "ok if known with input.caller.subject as \"eve\"\n\nknown if input.caller.subject == \"ann\"",
			`7: known with input.caller.subject as "eve" | known is absent <- known [9: input.caller.subject == "ann" | input.caller.subject = "eve"]`},
		{"a rule with another input, too", "ok if {\n\tknown with input.caller.subject as \"eve\"\n\tinput.caller.kind == \"staff\"\n}\n\nknown if input.caller.subject == \"eve\"",
			`9: input.caller.kind == "staff" | input.caller.kind = "customer"`},
		{"with data", "ok if known with data.limit as 2\n\nknown if data.limit == 3", `7: known with data.limit as 2 | known is absent <- known [9: data.limit == 3]`},
		{"data that there is not", `ok if data.limits[input.caller.kind] > 1`, `7: data.limits[input.caller.kind] > 1 | input.caller.kind = "customer", data.limits.customer is absent`},
		{"a condition of several lines", "ok if {\n\tinput.caller.kind in {\n\t\t\"staff\",\n\t\t\"client\",\n\t}\n}",
			`8: input.caller.kind in { "staff", "client", } | input.caller.kind = "customer"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := explainedBy(t, "package site\n\ndefault decision := false\n\ndecision if ok\n\n"+test.rules+"\n", explainedInput)
			if diff := cmp.Diff(test.want, strings.Join(toldOf(e, "site.ok"), "\n")); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExplainingChangesNoDecision takes every fact of a real request away in turn, and
// puts others there, before the standard policy: what is explained is what is decided.
func TestExplainingChangesNoDecision(t *testing.T) {
	e := engine(t, "", map[string]string{"data.json": policyData, "site.rego": detailed})
	facts := fullFacts()
	input, err := e.document.of(facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths(ast.NewTerm(input), nil) {
		for _, other := range []string{"absent", "null", "[]", "0", "true", `"abc"`} {
			q := question{input: changed(input, path, other), at: facts.Time, id: facts.ID}
			want, wantErr := e.evaluate(t.Context(), q.input, q.at, q.id)
			_, got, err := e.subject.watched(t.Context(), q, false)
			if (err == nil) != (wantErr == nil) || err == nil && want.Compare(got) != 0 {
				t.Errorf("%s %s: explains %v, %v; decides %v, %v", pointer(path), other, got, err, want, wantErr)
			}
		}
	}
}

// TestWhatSpokeIsTold holds the refusals, the rule that refuses with all that it saw, and
// the titles that METADATA has.
func TestWhatSpokeIsTold(t *testing.T) {
	e := engine(t, "", map[string]string{"data.json": policyData, "site.rego": detailed})
	facts := fullFacts()
	facts.Token.Details = nil
	told, err := e.Explain(t.Context(), facts, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Refusal{{Code: "not_authorized"}}, told.Refusals); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	for _, rule := range told.Rules {
		if rule.Role != Denies {
			continue
		}
		want := `count(details.granting({"type": "account_information", "actions": ["read"]})) = 0`
		if !rule.Held || rule.Reason != "not_authorized" || rule.Title != "Accounts are read by who was authorized to in detail" ||
			len(rule.Conditions) != 1 || !strings.Contains(toldCondition(&rule.Conditions[0]), want) {
			t.Errorf("the rule is told as %+v", rule)
		}
		return
	}
	t.Error("the rule that refuses is not told")
}

// TestKeptInputsAreExplainedAsLiveOnes holds that there is one explanation.
func TestKeptInputsAreExplainedAsLiveOnes(t *testing.T) {
	e := standardEngine(t)
	facts := fullFacts()
	facts.Owned = nil
	live, err := e.Explain(t.Context(), facts, nil)
	if err != nil {
		t.Fatal(err)
	}
	input, err := e.Inputs(false).Input(facts)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := e.ExplainKept(t.Context(), *input, facts.Time, facts.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, kept); diff != "" {
		t.Errorf("explained (-live +kept):\n%s", diff)
	}
	further := own(t, "package site\n\ndecision := input.request.host == \"a\"\n")
	var lacking *Undetermined
	if _, err := further.ExplainKept(t.Context(), *input, facts.Time, facts.ID, true); !errors.As(err, &lacking) {
		t.Errorf("ExplainKept() = %v, want that it is undetermined", err)
	}
}

// TestWhatIsToldIsTheSameEachTime holds that rules are told in the order of the source, of
// more than are told the first, and each once, whatever order the compiler has them in.
func TestWhatIsToldIsTheSameEachTime(t *testing.T) {
	policy := "package site\n\ndecision if {\n\tnot parts\n}\n\ndecision if not granted\n\ndecision if granted\n\nparts.f(x) := x\n\nparts.list contains 1 if input.caller.kind == \"staff\"\n"
	for n := range 2 * maxBecause {
		policy += fmt.Sprintf("\ngranted if input.caller.subject == \"s%d\"\n\nparts.p%d if input.caller.kind == \"k%d\"\n", n, n, n)
	}
	e := own(t, policy)
	q := question{input: ast.MustParseTerm(explainedInput).Value}
	want := e.subject.explain(t.Context(), q)
	granted := toldOf(want, "site.decision")
	if len(granted) == 0 || strings.Count(granted[len(granted)-1], "<- granted") != maxBecause || !strings.Contains(granted[len(granted)-1], `"s0"`) || strings.Contains(granted[len(granted)-1], fmt.Sprintf(`"s%d"`, maxBecause)) {
		t.Errorf("told are not the first %d: %q", maxBecause, granted)
	}
	for range 30 {
		if diff := cmp.Diff(want, e.subject.explain(t.Context(), q)); diff != "" {
			t.Fatalf("told another time (-first +then):\n%s", diff)
		}
	}
}

// TestKeptInputsAreExplainedWithoutNames holds that nobody is named who is not asked for,
// and that two who are not the same can be told apart.
func TestKeptInputsAreExplainedWithoutNames(t *testing.T) {
	e := standardEngine(t)
	facts := fullFacts()
	facts.Owned, facts.Token.Caller.Subject, facts.Consent.Subject = nil, "zz-ann", "zz-bob"
	input, err := e.Inputs(false).Input(facts)
	if err != nil {
		t.Fatal(err)
	}
	told, err := e.ExplainKept(t.Context(), *input, facts.Time, facts.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", told)
	for _, name := range []string{"22289", "zz-", "c-1"} {
		if strings.Contains(text, name) {
			t.Errorf("%q is told:\n%s", name, text)
		}
	}
	if len(told.Refusals) != 3 || !strings.HasPrefix(told.Refusals[1].For, "[withheld ") {
		t.Errorf("refusals are %v, want those of an object that is withheld", told.Refusals)
	}
	for _, rule := range told.Rules {
		if rule.Reason == "consent_subject" && rule.Role == Satisfies {
			saw := rule.Failures[0].Saw
			if len(saw) != 2 || saw[0].Value == saw[1].Value || !strings.HasPrefix(saw[0].Value, `"[withheld `) {
				t.Errorf("it saw %v, want two who are told apart", saw)
			}
		}
	}
}

// TestKeptNumbersAreWithheld holds that no number is told because it could be a time or a
// duration: a card's has as many digits as the one, an account's may end as the other.
func TestKeptNumbersAreWithheld(t *testing.T) {
	e := engine(t, "site.decision", map[string]string{"a.rego": `package site

decision := {"allowed": false, "refusals": deny}

deny contains name if {
	some name, number in input.token.claims.numbers
	number == 5
}

deny contains "early" if input.request.time == 6

deny contains "now" if time.now_ns() == 7

deny contains "old" if input.operation.step_up.max_age == 8
`})
	facts := fullFacts()
	numbers := map[string]any{"small": json.Number("999")}
	for _, number := range []string{"1929123456789012345", "2529123456789012345", "4929123456789012345", "5000000000", "123000000000", "22289", "-5000000000", "1.5e9"} {
		numbers["n"+number] = json.Number(number)
	}
	facts.Token.Claims["numbers"] = numbers
	input, err := e.Inputs(false).Input(facts)
	if err != nil {
		t.Fatal(err)
	}
	told, err := e.ExplainKept(t.Context(), *input, facts.Time, facts.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", told)
	for name, number := range numbers {
		if digits := string(number.(json.Number)); strings.Contains(text, digits) != (name == "small") {
			t.Errorf("%q is told, or a small number is not:\n%s", digits, text)
		}
	}
	at := facts.Time.UTC().Format(time.RFC3339)
	if strings.Count(text, "("+at+")") < 2 || !strings.Contains(text, "300000000000 (5m0s)") {
		t.Errorf("want the time %s twice, and the age:\n%s", at, text)
	}
}

// TestPeersAreExplained holds a policy without METADATA and without the library.
func TestPeersAreExplained(t *testing.T) {
	peer := peerOf(t, `package envoy.authz

default allow := false

allow if {
	input.attributes.request.http.path == "/a/b"
	some name, value in input.attributes.request.http.headers
	name == "authorization"
	parts := split(value, " ")
	parts[1] == "none"
}
`)
	facts := peerFacts("text/plain", "")
	attributes := facts.Request.Attributes()
	attributes["request"].(map[string]any)["http"].(map[string]any)["headers"] = map[string]any{"authorization": "Bearer not-a-token"}
	facts.Request.Attributes = func() map[string]any { return attributes }
	told, err := peer.Explain(t.Context(), facts, func(text string) string { return strings.ReplaceAll(text, "not-a-token", "[hidden]") })
	if err != nil {
		t.Fatal(err)
	}
	got := toldOf(told, "allow")
	if want := []string{`10: parts[1] == "none" | parts[1] = "[hidden]"`}; !cmp.Equal(want, got) {
		t.Errorf("told %q, want %q", got, want)
	}
	if strings.Contains(fmt.Sprint(told), "not-a-token") {
		t.Errorf("a credential is told: %+v", told)
	}
}

// TestWhatFailsIsTold holds the condition at which an evaluation ended, and that a rule
// which does not bear on the decision cannot end it.
func TestWhatFailsIsTold(t *testing.T) {
	told := explainedBy(t, "package site\n\ndecision if to_number(input.operation.id) == 1\n", explainedInput)
	if told.Stopped == nil || toldCondition(told.Stopped) != `3: to_number(input.operation.id) == 1 | input.operation.id = "Read"` {
		t.Errorf("told to be stopped at %+v", told.Stopped)
	}
	told = explainedBy(t, "package site\n\ndecision := 1 if input.caller.kind == \"customer\"\n\ndecision := 2 if input.operation.id == \"Read\"\n", explainedInput)
	if told.Stopped == nil || told.Stopped.Line != 5 {
		t.Errorf("told to be stopped at %+v", told.Stopped)
	}
	told = explainedBy(t, "package site\n\ndecision if {\n\tto_number(input.operation.id) == 1\n\tinput.caller.kind == \"staff\"\n}\n\ndecision if input.caller.kind == \"customer\"\n", explainedInput)
	if told.Stopped != nil || told.Incomplete != notRuledOut {
		t.Errorf("told to be stopped at %+v, and incomplete: %q", told.Stopped, told.Incomplete)
	}
}

// TestExplanationsEnd holds that a policy which does not come to an end is cut, and what
// is told of a large input is little.
func TestExplanationsEnd(t *testing.T) {
	endless := "package site\n\ndecision if {\n\tsome i in numbers.range(1, 100000)\n\tsome j in numbers.range(1, 100000)\n\ti + j == 0\n}\n"
	told := explainedBy(t, endless, explainedInput)
	if !strings.HasPrefix(told.Incomplete, "it takes over 500000 steps") || len(told.Rules) == 0 {
		t.Errorf("incomplete is %q, with %d rules", told.Incomplete, len(told.Rules))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if told := own(t, endless).subject.explain(over, question{input: ast.NewObject()}); told.Incomplete != "its time was over before it came to an end" {
		t.Errorf("incomplete is %q", told.Incomplete)
	}
	wide := "package site\n\ndecision if count(s0) > 0\n"
	for level := range 8 {
		for n := range 40 {
			wide += fmt.Sprintf("\ns%d contains %d if count(s%d) > 0\n", level, n, level+1)
		}
	}
	if told := explainedBy(t, wide+"\ns8 contains 1 if input.caller.kind == \"staff\"\n", explainedInput); strings.Count(fmt.Sprintf("%+v", told), "Title:") > maxTold+500 {
		t.Errorf("too much is told of a wide policy: %d", strings.Count(fmt.Sprintf("%+v", told), "Title:"))
	}
	var roles []string
	for i := range 50_000 {
		roles = append(roles, fmt.Sprintf("%q", fmt.Sprint(strings.Repeat("\x1b", 10), i)))
	}
	large := `{"caller": {"roles": [` + strings.ReplaceAll(strings.Join(roles, ","), `\x1b`, `\u001b`) + `], "subject": "` + strings.Repeat("a", 1<<20) + `"}}`
	told = explainedBy(t, "package site\n\ndecision if {\n\tinput.caller.subject\n\tcount(seen) == 0\n}\n\nseen contains {\"r\": r} if {\n\tsome r in input.caller.roles\n\tr != input.caller.subject\n}\n", large)
	text := fmt.Sprint(told)
	if len(text) > 32<<10 || strings.Contains(text, "\x1b") {
		t.Errorf("%d bytes are told of a large input:\n%.2000q", len(text), text)
	}
}

// TestSpansAreToldWithoutNames holds that how old an authentication is can be read in an
// explanation that names nobody, and that no other number can.
func TestSpansAreToldWithoutNames(t *testing.T) {
	e := own(t, "package site\n\ndecision if {\n\tage := input.request.time - input.token.auth_time\n\tage < 0\n}\n\n"+
		"decision if {\n\taccount := input.parsed_body.account\n\taccount == 0\n}\n\ndecision if {\n\tmore := input.parsed_body.account + 1\n\tmore == 0\n}\n")
	input := []byte(`{"request": {"time": 1795255200123456789}, "token": {"auth_time": 1795254000000000000}, "parsed_body": {"account": 31820123}}`)
	told, err := e.ExplainKept(t.Context(), authz.Input{Document: input, Reaches: e.Reaches()}, now, authz.DecisionID{}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"5: age < 0 | age = 1200123456789 (20m0.123456789s)", "10: account == 0 | account = [withheld 1]", "15: more == 0 | more = [withheld 2]"}
	if diff := cmp.Diff(want, toldOf(told, "decision")); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
