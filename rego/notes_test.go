package rego

import (
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	const declared = "# METADATA\n# custom: {reason: closed}\n"
	for name, c := range map[string]struct {
		decision, module string
		want             []string
	}{
		"what is as it is declared": {module: "package countersign.site\n\n" + declared + "deny contains \"closed\" if input.caller.tenant == \"a\"\n"},
		"a declared waiver":         {module: "package countersign.site\n\n# METADATA\n# custom: {reason: not_owner}\nwaive contains {\"not_owner\": \"a:1\"} if input.caller.tenant == \"a\"\n"},
		"a code that varies":        {module: "package countersign.site\n\n" + declared + "deny contains code if some code in data.closed\n"},
		"a decision that says it":   {decision: "site.decision", module: "package site\n\n" + declared + "decision := {\"allowed\": false, \"reason\": \"closed\"}\n"},
		"all of the input": {
			module: "package countersign.site\n\nwaive contains \"permission\" if f(input)\n\nf(i) if i.caller.tenant == \"a\"\n",
			want:   []string{"site.rego:3: all of the input is read here, and is built for every request"},
		},
		"a reason that is not declared": {
			module: "package countersign.site\n\ndeny contains \"closed\" if input.caller.tenant == \"a\"\n",
			want:   []string{`site.rego:3: the reason "closed" is not declared`},
		},
		"another than is declared": {
			module: "package countersign.site\n\n" + declared + "deny contains \"shut\" if input.caller.tenant == \"a\"\n",
			want:   []string{`site.rego:5: METADATA declares the reason "closed", and the rule says "shut"`},
		},
		"one that the rule never says": {
			decision: "site.decision", module: "package site\n\n" + declared + "decision := {\"allowed\": false, \"reason\": \"shut\"}\n",
			want: []string{`site.rego:5: METADATA declares the reason "closed", which the rule never says`},
		},
		"one that no decision has": {
			decision: "other.decision", module: "package other\n\ndecision := true\n\n" + declared + "unread := \"closed\"\n",
			want: []string{"site.rego:7: no decision comes to this rule: data.other.decision does not read it"},
		},
		"a waiver of nothing": {
			module: "package countersign.site\n\nwaive contains {\"not_ower\": \"a:1\"} if input.caller.tenant == \"a\"\n\nwaive contains \"operation\" if input.caller.tenant == \"a\"\n\nwaive contains \"admin\" if input.caller.tenant == \"a\"\n",
			want: []string{
				`site.rego:3: nothing requires "not_ower", so that it lifts nothing; did you mean "not_owner"?`,
				`site.rego:5: "operation" cannot be waived, so that this lifts nothing; remove it`,
				`site.rego:7: "admin" cannot be waived, so that this lifts nothing; remove it`,
			},
		},
		"conditions that no absent fact makes hold": {
			module: "package countersign.site\n\n" + declared + "deny contains \"closed\" if {\n\tinput.caller.kind == \"staff\"\n\tnot input.caller.tenant in {\"a\"}\n\tnot startswith(input.request.path, \"/a\")\n}\n\n" +
				declared + "deny contains \"closed\" if not input.request.time < 5\n\n" +
				declared + "deny contains \"closed\" if not lower(input.request.host) == \"a\"\n\n" +
				declared + "deny contains \"closed\" if not f(input.caller.client)\n\nf(x) if x == \"a\"\n",
			want: []string{
				"site.rego:7: where input.caller.tenant is absent this does not hold, and the rule refuses nothing",
				"site.rego:13: where input.request.time is absent this does not hold",
				"site.rego:17: where input.request.host is absent this does not hold",
				"site.rego:21: where input.caller.client is absent this does not hold",
			},
		},
		"conditions that an absent fact makes hold": {
			module: "package countersign.site\n\n" + declared + "deny contains \"closed\" if {\n\tnot input.caller.tenant == \"a\"\n\tnot input.caller.client\n\tnot open\n\tnot \"a\" in data.open\n}\n\nopen if input.caller.tenant in {\"a\"}\n",
		},
		"tests say what they like": {module: "package countersign.site_test\n\nanything := 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := write(t, map[string]string{"site.rego": c.module, "a_test.rego": "package countersign.site\n\ndeny contains \"x\" if true\n"})
			e, err := New(Config{Path: directory, Decision: c.decision})
			if err != nil {
				t.Fatal(err)
			}
			got := e.Notes()
			for i, note := range got {
				text := strings.ReplaceAll(note.Error(), directory+"/", "")
				if note.Fix == "" || i >= len(c.want) || !strings.HasPrefix(text, c.want[i]) {
					t.Errorf("note %d = %s", i, text)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%d notes, want %d", len(got), len(c.want))
			}
		})
	}
}

// TestLibraryAndExampleHaveNoNotes holds what people copy from.
func TestLibraryAndExampleHaveNoNotes(t *testing.T) {
	e, err := New(Config{Path: "../examples/openbanking/policy", Decision: "openbanking.decision"})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Notes()) > 0 {
		t.Errorf("Notes = %v, want none", e.Notes())
	}
}

// TestAbsentFactsUnderNot holds that the notes on them are true of OPA.
func TestAbsentFactsUnderNot(t *testing.T) {
	facts := fullFacts()
	facts.Token.Caller.Tenant = ""
	for condition, holds := range map[string]bool{
		`not input.caller.tenant in {"a"}`:         false,
		`not startswith(input.caller.tenant, "a")`: false,
		`not input.caller.tenant < "a"`:            false,
		`not lower(input.caller.tenant) == "a"`:    false,
		`not f(input.caller.tenant)`:               false,
		`not input.caller.tenant == "a"`:           true,
		`not input.caller.tenant`:                  true,
		`not is_a`:                                 true,
	} {
		e := own(t, "package site\n\ndefault decision := false\n\ndecision if "+condition+"\n\nf(x) if x == \"a\"\n\nis_a if input.caller.tenant in {\"a\"}\n")
		if got := decide(t, e, facts).Allowed; got != holds {
			t.Errorf("%s: %v where the fact is absent, want %v", condition, got, holds)
		}
	}
}
