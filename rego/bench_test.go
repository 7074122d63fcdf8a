package rego

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// BenchmarkDecide decides with a token from the cache: its claims are prepared.
func BenchmarkDecide(b *testing.B) {
	denied := fullFacts()
	denied.Owned = nil
	small := fullFacts()
	small.Match.Operation = &authz.Operation{ID: "GetBranches", Grant: authz.GrantScope, Security: balances().Security}
	small.Inspection, small.Owned, small.Consent = authz.Inspection{}, nil, nil
	whole := own(b, `package site
decision if { count(input) > 0; input.caller.kind == "customer" }
`)
	standard := standardEngine(b)
	cases := []struct {
		name   string
		engine *Engine
		facts  *authz.Facts
	}{
		{"allowed with every requirement", standard, fullFacts()},
		{"refused with every requirement", standard, denied},
		{"allowed by scope alone", standard, small},
		{"a boolean", own(b, "package site\ndecision if input.caller.kind == \"customer\"\n"), fullFacts()},
		{"the whole input", whole, fullFacts()},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			c.facts.Token.Prepared = PrepareClaims(c.facts.Token.Claims)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.engine.Decide(ctx, c.facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInput makes the document that is decided on, and what is kept of it.
func BenchmarkInput(b *testing.B) {
	facts := fullFacts()
	facts.Token.Prepared = PrepareClaims(facts.Token.Claims)
	e := standardEngine(b)
	parts := own(b, `package site
decision if { input.token.claims.sub; input.parsed_body.Data.Amount; input.caller; input.objects; input.consent; input.request.path }
`)
	for _, c := range []struct {
		name string
		make func() error
	}{
		{"decided on", func() error { _, err := e.document.of(facts); return err }},
		{"kept pruned", keeping(e.Inputs(false), facts)},
		{"kept pruned to parts", keeping(parts.Inputs(false), facts)},
		{"kept whole", keeping(e.Inputs(true), facts)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.make(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func keeping(inputs authz.Inputs, facts *authz.Facts) func() error {
	return func() error { _, err := inputs.Input(facts); return err }
}

// BenchmarkJSON writes the whole document, as it is kept and by encoding/json.
func BenchmarkJSON(b *testing.B) {
	value, err := whole.of(fullFacts())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := new(jsonText).value(value, maxDepth); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			converted, err := ast.JSON(value)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(converted); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkNew makes an engine of a site's policy and the library, as each swap does.
func BenchmarkNew(b *testing.B) {
	path := write(b, map[string]string{
		"data.json":        `{"roles": {"customer": ["read_parts"]}, "regions": {"GB": ["GB"]}}`,
		"openbanking.rego": "package openbanking\n\nimport data.countersign.standard\n\ndecision := standard.decision\n",
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(Config{Path: path}); err != nil {
			b.Fatal(err)
		}
	}
}
