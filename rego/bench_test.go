package rego

import (
	"context"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// BenchmarkDecide decides with a token from the cache: its claims are prepared.
func BenchmarkDecide(b *testing.B) {
	denied := fullFacts()
	denied.Owned = nil
	small := fullFacts()
	small.Match.Operation = &authz.Operation{ID: "GetBranches", Grant: authz.GrantScope, Security: balances().Security}
	small.Inspection = authz.Inspection{}
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

func BenchmarkInput(b *testing.B) {
	facts := fullFacts()
	facts.Token.Prepared = PrepareClaims(facts.Token.Claims)
	document := standardEngine(b).document
	b.ReportAllocs()
	for b.Loop() {
		if _, err := document.of(facts); err != nil {
			b.Fatal(err)
		}
	}
}
