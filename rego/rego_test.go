package rego

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func TestStandardDecision(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *authz.Facts)
		want   authz.Verdict
	}{
		"everything satisfied": {
			change: func(*authz.Facts) {},
			want:   authz.Verdict{Allowed: true},
		},
		"another's account": {
			change: func(f *authz.Facts) { f.Owned = nil },
			want: authz.Verdict{Reason: "not_owner",
				Refusals: []string{"not_owner:account", "region_object:account"}},
		},
		"an authentication too long ago": {
			change: func(f *authz.Facts) { f.Token.AuthTime = now.Add(-time.Hour) },
			want: authz.Verdict{Reason: "step_up", Refusals: []string{"step_up"},
				StepUp: &authz.StepUp{ACRValues: []string{"urn:example:sca"}, MaxAge: 5 * time.Minute}},
		},
		"a client by itself": {
			change: func(f *authz.Facts) { f.Token.Caller.Kind = authz.Client },
			want: authz.Verdict{Reason: "consent_subject",
				Refusals: []string{"consent_subject", "not_owner:account"}},
		},
		"no consent": {
			change: func(f *authz.Facts) { f.Consent = nil },
			want: authz.Verdict{Reason: "consent", Refusals: []string{"consent", "consent_client", "consent_expiry",
				"consent_permission", "consent_status", "consent_subject", "consent_object:account"}},
		},
		"a consent until the end of time": {
			change: func(f *authz.Facts) { f.Consent.ExpiresAt = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) },
			want:   authz.Verdict{Allowed: true},
		},
		"an unknown operation": {
			change: func(f *authz.Facts) { f.Match.Operation = nil },
			want:   authz.Verdict{Reason: "operation", Refusals: []string{"operation"}},
		},
		"nobody calls": {
			change: func(f *authz.Facts) {
				f.Token, f.Consent, f.Owned = nil, nil, nil
				f.Match.Operation = &authz.Operation{ID: "op", Security: []authz.Requirement{{Scopes: []string{"accounts"}}}}
				f.Inspection = authz.Inspection{}
			},
			want: authz.Verdict{Reason: "nothing_grants", Refusals: []string{"nothing_grants"}},
		},
		"nobody calls what takes anybody": {
			change: func(f *authz.Facts) {
				f.Token, f.Consent, f.Owned = nil, nil, nil
				f.Match.Operation = &authz.Operation{ID: "op", Security: []authz.Requirement{{Anonymous: true}, {Scopes: []string{"accounts"}}}}
				f.Inspection = authz.Inspection{}
			},
			want: authz.Verdict{Allowed: true},
		},
		"a public operation": {
			change: func(f *authz.Facts) {
				f.Token, f.Consent, f.Owned = nil, nil, nil
				f.Match.Operation = &authz.Operation{ID: "op"}
				f.Inspection = authz.Inspection{}
			},
			want: authz.Verdict{Allowed: true},
		},
	} {
		facts := fullFacts()
		c.change(facts)
		if diff := cmp.Diff(c.want, decide(t, standardEngine(t), facts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSiteRefusesAndWaives(t *testing.T) {
	e := engine(t, "", map[string]string{"data.json": policyData, "site.rego": `package countersign.site

# METADATA
# title: Payments need a second signer
# custom: {reason: second_signer}
deny contains "second_signer" if input.parsed_body.Amount > 10

waive contains {"not_owner": concat(":", [object.type, object.id])} if {
	some object in input.objects
	input.caller.tenant == "retail"
}
`})
	facts := fullFacts()
	facts.Owned = map[authz.Object]authz.Ownership{}
	facts.Match.Operation.Regions = nil
	want := authz.Verdict{Reason: "second_signer", Refusals: []string{"second_signer"}, Waived: []string{"not_owner:account"}}
	if diff := cmp.Diff(want, decide(t, e, facts)); diff != "" {
		t.Errorf("Decide (-want +got):\n%s", diff)
	}
	facts.Inspection.Body = map[string]any{"Amount": json.Number("10")}
	want = authz.Verdict{Allowed: true, Waived: []string{"not_owner:account"}}
	if diff := cmp.Diff(want, decide(t, e, facts)); diff != "" {
		t.Errorf("Decide (-want +got):\n%s", diff)
	}
}

func TestTimeAndRandomnessRepeat(t *testing.T) {
	e := own(t, `package site
decision := {"allowed": true, "dynamic_metadata": {
	"time": time.now_ns(), "dice": rand.intn("a", 1000000000), "id": uuid.rfc4122("b"), "other": uuid.rfc4122("c")}}
`)
	facts := fullFacts()
	first := decide(t, e, facts).Reply.Metadata
	if diff := cmp.Diff(first, decide(t, e, facts).Reply.Metadata); diff != "" {
		t.Errorf("the same decision (-first +second):\n%s", diff)
	}
	if first["time"] != json.Number("1795251600000000000") || first["id"] == first["other"] {
		t.Errorf("metadata = %v, want the facts' time and two ids", first)
	}
	facts.ID[0]++
	other := decide(t, e, facts).Reply.Metadata
	if other["dice"] == first["dice"] || other["id"] == first["id"] {
		t.Errorf("another decision has the same randomness: %v", other)
	}
	facts.Time = time.Time{}
	if at := decide(t, e, facts).Reply.Metadata["time"]; at != json.Number("0") {
		t.Errorf("time = %v, want 0 where the facts have none", at)
	}
}

func TestEvaluationsThatFail(t *testing.T) {
	secret := "22289"
	for name, c := range map[string]struct{ module, want string }{
		"an undefined decision": {"decision if input.caller.kind == \"staff\"\n",
			"policy: the decision is undefined: data.site.decision, site.rego:2"},
		"a decision of another type": {"\n\ndecision := 1\n",
			"policy: the decision is neither a boolean nor an object: data.site.decision, site.rego:4"},
		"a decision without its answer": {"decision := {\"reason\": \"closed\"}\n",
			"policy: decision: allowed is missing or no boolean: data.site.decision, site.rego:2"},
		"a decision with a wrong key": {"decision := {\"allowed\": true, \"detail\": 1}\n",
			"policy: decision: detail is not a string: data.site.decision, site.rego:2"},
		"two values at once": {"decision := x if some x in input.token.amr\n",
			"policy: site.rego:2: eval_conflict_error: data.site.decision has two values at once"},
		"two values for a key": {"decision := {\"allowed\": true} if o.a\no[k] := v if { some v in input.token.amr; k := \"a\" }\n",
			"policy: site.rego:3: eval_conflict_error: data.site.o has two values at once"},
		"a built-in that cannot": {"decision if to_number(input.caller.subject) > 1\n",
			"policy: site.rego:2: eval_builtin_error: to_number does not take this operand"},
		"a built-in that quotes": {"decision if time.parse_ns(\"2006\", input.objects[0].id) > 1\n",
			"policy: site.rego:2: eval_builtin_error: time.parse_ns does not take this operand"},
		"an operand of the wrong type": {"decision if count(input.parsed_body.Amount) > 1\n",
			"policy: site.rego:2: eval_type_error: count does not take this operand"},
		"a division by zero": {"decision if 1 / (input.request.time - input.request.time) == 1\n",
			"policy: site.rego:2: eval_builtin_error: div does not take this operand"},
	} {
		verdict, err := own(t, "package site\n"+c.module).Decide(t.Context(), fullFacts())
		if err == nil || err.Error() != c.want || verdict.Allowed {
			t.Errorf("%s: Decide = %v, %v, want %s", name, verdict.Allowed, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error quotes the input", name)
		}
	}
}

func TestNumbersThatWouldTakeLong(t *testing.T) {
	e := own(t, `package site
default decision := false
decision if {
	input.parsed_body.Amount > 10
	input.parsed_body.Amount * 2 + 1 > 10
}
`)
	for _, number := range []string{"1e999999999", "1e-999999999", "-1e999999999", "1e99999999999999999999", strings.Repeat("9", 4000)} {
		facts := fullFacts()
		facts.Inspection.Body = map[string]any{"Amount": json.Number(number)}
		began := time.Now()
		// That it is decided, or is an error, does not matter here.
		_, _ = e.Decide(t.Context(), facts)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a number of %d characters takes %v", len(number), took)
		}
	}
}

func TestContextEndsAnEvaluation(t *testing.T) {
	e := own(t, `package site
decision if count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a * b == -1]) == 0
`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	verdict, err := e.Decide(ctx, fullFacts())
	if !errors.Is(err, context.DeadlineExceeded) || verdict.Allowed {
		t.Errorf("Decide = %v, %v, want deadline exceeded", verdict.Allowed, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDecisionsSideBySide(t *testing.T) {
	e := standardEngine(t)
	// Operation, token, claims and consent are shared, as they are when cached.
	allowed := fullFacts()
	allowed.Token.Prepared = PrepareClaims(allowed.Token.Claims)
	denied := *allowed
	denied.Owned = nil
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				facts := allowed
				if i%2 == 1 {
					facts = &denied
				}
				if verdict, err := e.Decide(t.Context(), facts); err != nil || verdict.Allowed != (i%2 == 0) {
					t.Errorf("Decide = %v, %v", verdict.Allowed, err)
				}
			}
		})
	}
	all.Wait()
}

func TestOperationsAreMadeOnce(t *testing.T) {
	e := standardEngine(t)
	facts := fullFacts()
	for range 3 {
		decide(t, e, facts)
	}
	count := 0
	e.document.operations.made.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d operations are kept, want 1", count)
	}
}

// TestChanges holds that what a decision has done to headers is known before it is decided.
func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		module string
		want   []string
	}{
		"none":                        {"decision := {\"allowed\": true}", nil},
		"headers":                     {"decision := {\"allowed\": true, \"headers\": {\"x-tier\": \"basic\"}}", []string{"headers"}},
		"in a rule of its own":        {"decision := object.union({\"allowed\": true}, more)\nmore := {\"request_headers_to_remove\": [\"x-debug\"]}", []string{"request_headers_to_remove"}},
		"by name":                     {"decision := d\nd.allowed := true\nd.headers := {\"x-tier\": \"basic\"}\nd[\"request_headers_to_remove\"] := [\"x-debug\"]", []string{"headers", "request_headers_to_remove"}},
		"the request's own are read":  {"decision if input.attributes.request.http.headers[\"x-a\"]", nil},
		"what no decision comes to":   {"decision := true\nother := {\"headers\": {\"x-a\": \"b\"}}", nil},
		"a value and not a key of it": {"decision := {\"allowed\": false, \"reason\": \"headers\"}", nil},
	} {
		if got := own(t, "package site\n"+test.module+"\n").Changes(); !slices.Equal(got, test.want) {
			t.Errorf("%s: Changes() = %q, want %q", name, got, test.want)
		}
	}
}
