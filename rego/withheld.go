package rego

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// openFacts are what the record of a decision tells in clear; all of what they lead to is
// open, but what a path's parameters are.
var openFacts = []ast.Ref{
	ast.MustParseRef("input.operation"), ast.MustParseRef("input.region"), ast.MustParseRef("input.environment"),
	ast.MustParseRef("input.caller.kind"), ast.MustParseRef("input.caller.issuer"), ast.MustParseRef("input.caller.client"),
	ast.MustParseRef("input.caller.tenant"), ast.MustParseRef("input.caller.roles"), ast.MustParseRef("input.caller.scopes"),
	ast.MustParseRef("input.consent.status"), ast.MustParseRef("input.consent.permissions"),
	ast.MustParseRef("input.token.acr"), ast.MustParseRef("input.token.binding"), ast.MustParseRef("input.token.environment"),
}

// openTimes are of the decision, and no number of anybody's.
var openTimes = []ast.Ref{
	ast.MustParseRef("input.request.time"), ast.MustParseRef("input.token.expires_at"), ast.MustParseRef("input.token.auth_time"),
	ast.MustParseRef("input.certificate.not_before"), ast.MustParseRef("input.certificate.not_after"), ast.MustParseRef("input.consent.expires_at"),
}

// pseudonyms stand for the texts of a kept input that may name people and objects. Texts
// that are the same have the same one, within one explanation.
type pseudonyms struct {
	open map[string]bool
	// numbers are those that are open. What is a number is not open as a text, too.
	numbers map[string]bool
	given   map[string]string
}

// pseudonymsFor are those of an input: what stands in the policy and what the record tells
// is open, and so are the times of the decision that was made at a time.
func (s *subject) pseudonymsFor(input ast.Value, at time.Time) *pseudonyms {
	p := &pseudonyms{open: map[string]bool{"": true}, numbers: map[string]bool{strconv.FormatInt(clock(at).UnixNano(), 10): true}, given: map[string]string{}}
	for text := range s.words().constants {
		p.open[text] = true
	}
	for _, ref := range slices.Concat(openFacts, openTimes) {
		if found, err := input.Find(ref[1:]); err == nil {
			p.allow(found)
		}
	}
	for _, ticket := range s.tickets() {
		p.open[ticket] = true
	}
	return p
}

var glassPath = storage.MustParsePath("/access/break_glass")

// tickets are those of broken glass, which a record tells in clear.
func (s *subject) tickets() []string {
	found, err := s.store.Read(context.Background(), s.evaluator.txn, glassPath)
	table, ok := found.(ast.Value)
	if err != nil || !ok {
		return nil
	}
	var tickets []string
	ast.WalkTerms(ast.NewTerm(table), func(term *ast.Term) bool {
		if entry, ok := term.Value.(ast.Object); ok {
			if ticket, ok := valueOf(entry, "ticket").(ast.String); ok && isTicket(string(ticket)) {
				tickets = append(tickets, string(ticket))
			}
		}
		return false
	})
	return tickets
}

func (p *pseudonyms) allow(value ast.Value) {
	switch value := value.(type) {
	case ast.String:
		p.open[string(value)] = true
	case ast.Number:
		p.numbers[string(value)] = true
	case *ast.Array:
		value.Foreach(func(element *ast.Term) { p.allow(element.Value) })
	case ast.Object:
		value.Foreach(func(key, below *ast.Term) {
			if key.Value.Compare(ast.String("parameters")) != 0 {
				p.allow(key.Value)
				p.allow(below.Value)
			}
		})
	}
}

func (p *pseudonyms) hide(text string) string {
	if p.open[text] {
		return text
	}
	if p.given[text] == "" {
		p.given[text] = fmt.Sprintf("[withheld %d]", len(p.given)+1)
	}
	return p.given[text]
}
