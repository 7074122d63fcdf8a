package main

import (
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/countersign-io/countersign/authz"
	steps "github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/authz/token/checks"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
	"github.com/countersign-io/countersign/rego"
)

// whyOf is what a person is told of a policy's decision on facts.
func whyOf(t *testing.T, policy *rego.Engine, facts *authz.Facts) string {
	t.Helper()
	verdict, err := policy.Decide(t.Context(), facts)
	if err != nil {
		t.Fatal(err)
	}
	e, err := policy.Explain(t.Context(), facts, nil)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	table := tabwriter.NewWriter(&told, 0, 0, 2, ' ', 0)
	writeWhy(table, e, verdict.Allowed)
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	return told.String()
}

// TestNothingThatGrantsIsTold holds that each rule which might have granted is told, where
// nothing refuses.
func TestNothingThatGrantsIsTold(t *testing.T) {
	policy, err := rego.New(rego.Config{})
	if err != nil {
		t.Fatal(err)
	}
	told := whyOf(t, policy, &authz.Facts{Request: &authz.Request{}, Match: authz.Match{Operation: &authz.Operation{ID: "Read", Grant: "scope", Security: []authz.Requirement{{}}}}})
	for _, want := range []string{`"The decision" does not hold, (standard library)/standard.rego:`, ": granted   (granted is absent)\n", "    because \"A customer's ownership of every object named\" does not hold\n", "input.operation.public"} {
		if !strings.Contains(told, want) {
			t.Errorf("it does not tell %q:\n%s", want, told)
		}
	}
	if lines := strings.Count(told, "\n"); lines > 24 {
		t.Errorf("%d lines are told at a glance:\n%s", lines, told)
	}
}

// TestEveryRefusalHasACheck holds that whatever refuses beside the policy is told with
// what was looked at, from a record alone, too.
func TestEveryRefusalHasACheck(t *testing.T) {
	for n := authz.Internal; n == authz.Internal || n.String() != authz.Internal.String(); n++ {
		_, native := steps.CheckOf(n)
		token := checks.Find(authz.Decision{Reason: n}) != nil
		told := checkRecorded(&decisionv1.Decision{Reason: n.String(), Detail: "zz-detail"})
		switch policys := n == authz.Granted || n == authz.PolicyDenied || n == authz.StepUpRequired; {
		case policys && (native || token || told != nil):
			t.Errorf("%v is the policy's word, and has a check", n)
		case !policys && told == nil:
			t.Errorf("%v has no check", n)
		case !policys && (told.Section == "" || told.Expects == "" || told.Change == "" || told.Detail != "zz-detail"):
			t.Errorf("%v is told as %+v", n, told)
		}
	}
	if told := checkRecorded(&decisionv1.Decision{Reason: "second_signer"}); told != nil {
		t.Errorf("a reason that nobody knows is told as %+v", told)
	}
}
