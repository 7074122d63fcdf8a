package rego

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// conditionsOf are all conditions of an explanation, with those that they rest upon.
func conditionsOf(e *Explanation) []*Condition {
	var all []*Condition
	var add func(c *Condition)
	add = func(c *Condition) {
		all = append(all, c)
		for _, because := range c.Because {
			if because.Failed != nil {
				add(because.Failed)
			}
		}
	}
	for _, rule := range e.Rules {
		for i := range rule.Conditions {
			add(&rule.Conditions[i])
		}
		for i := range rule.Failures {
			add(&rule.Failures[i].Condition)
		}
	}
	if e.Stopped != nil {
		add(e.Stopped)
	}
	return all
}

// untrue are what an explanation says that it saw in the input and the data, where
// something else stands there; and how much it says.
func untrue(t *testing.T, s *subject, q question) (wrong []string, said int) {
	t.Helper()
	for _, c := range conditionsOf(s.explain(t.Context(), q)) {
		for _, seen := range c.Saw {
			ref, err := ast.ParseRef(seen.Name)
			if err != nil || !ref.HasPrefix(inputRoot) && !ref.HasPrefix(dataRoot) || len(s.compiler.GetRules(ref)) > 0 {
				continue // a local variable, a call, or a rule
			}
			said++
			if value := s.standing(t, q.input, ref); value != seen.Value || seen.Absent != (value == "") {
				wrong = append(wrong, toldCondition(c)+", where "+seen.Name+" is "+value)
			}
		}
	}
	return wrong, said
}

// standing is the value at a reference as it is told, or "" where there is none.
func (s *subject) standing(t *testing.T, input ast.Value, ref ast.Ref) string {
	t.Helper()
	if ref.HasPrefix(inputRoot) {
		if found, err := input.Find(ref[1:]); err == nil {
			return shower{}.show(found)
		}
		return ""
	}
	path, err := storage.NewPathForRef(ref)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := s.store.Read(t.Context(), s.evaluator.txn, path); err == nil {
		return shower{}.show(found.(ast.Value))
	}
	return ""
}

// TestWhatIsSeenIsTrue takes every fact of a real request away in turn, and puts others
// there, before the standard policy and conditions that hold a value against the data:
// whatever is said to stand in the input or the data does.
func TestWhatIsSeenIsTrue(t *testing.T) {
	policies := map[string]*Engine{
		"standard": engine(t, "", map[string]string{"data.json": policyData, "site.rego": detailed}),
		"tables":   engine(t, "", map[string]string{"data.json": customersTables}),
	}
	for name, rules := range comparing {
		policies[name] = engine(t, "site.decision", map[string]string{"data.json": comparedData, "site.rego": "package site\n\n" + rules})
	}
	facts := fullFacts()
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		s, said := policies[name].subject, 0
		input, err := policies[name].document.of(facts)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths(ast.NewTerm(input), nil) {
			if _, small := comparing[name]; small && !strings.HasPrefix(pointer(path), "/operation/method") {
				continue
			}
			for _, other := range []string{"absent", `"GET"`} {
				wrong, more := untrue(t, s, question{input: changed(input, path, other), at: facts.Time, id: facts.ID})
				if said += more; len(wrong) > 0 {
					t.Fatalf("%s: %s %s: told is what is not so:\n%s", name, pointer(path), other, strings.Join(wrong, "\n"))
				}
			}
		}
		if said == 0 {
			t.Errorf("%s: nothing of the input and the data is told", name)
		}
	}
}

// comparedData is what comparing's rules hold values against.
const comparedData = `{"methods": {"shop": "post"}}`

// comparing are the forms in which a value is held against the data.
var comparing = map[string]string{
	"a variable":           "decision if {\n\tx := input.operation.method\n\tx == data.methods.shop\n}\n",
	"a variable after":     "decision if {\n\tx := input.operation.method\n\tdata.methods.shop == x\n}\n",
	"a call":               "decision if lower(input.operation.method) == data.methods.shop\n",
	"a function":           "f(x) := lower(x)\n\ndecision if f(input.operation.method) == data.methods.shop\n",
	"a key that varies":    "decision if {\n\tsome name, _ in data.methods\n\tlower(input.operation.method) == data.methods[name]\n}\n",
	"what must not be so":  "decision if {\n\tx := lower(input.operation.method)\n\tnot x == data.methods.shop\n\tx == \"none\"\n}\n",
	"a call, negated":      "decision if {\n\tnot lower(input.operation.method) == data.methods.shop\n\tinput.operation.method == \"none\"\n}\n",
	"a pattern":            "decision if [input.operation.method, 1] = [data.methods.shop, 1]\n",
	"with other data":      "a if input.operation.method == data.methods.shop\n\ndecision if {\n\ta with data.methods as {\"shop\": \"put\"}\n}\n",
	"an element of a list": "decision if {\n\tsome x in [\"GET\", \"PUT\"]\n\tx == data.methods.shop\n\tinput.operation.method\n}\n",
	"what is absent":       "decision if {\n\tx := input.operation.method\n\tx == data.methods.bank\n}\n",
}

// TestComparedWithRulesIsTold holds that both are told of a value that is not a rule's.
func TestComparedWithRulesIsTold(t *testing.T) {
	told := toldOf(explainedBy(t, "package site\n\ndecision if {\n\tx := input.operation.id\n\tx == r.m\n}\n\nr := {\"m\": \"Write\"}\n", explainedInput), "decision")
	if len(told) != 1 || !strings.HasSuffix(told[0], ` | r = {"m": "Write"}, x = "Read"`) {
		t.Errorf("told %q, want both values", told)
	}
}
