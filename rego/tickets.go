package rego

import (
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// brokenGlass is the code of what was lifted in an emergency.
const brokenGlass = "break_glass"

// tickets are those of requirements that were lifted in an emergency, such as
// {"break_glass": "INC-4711"}, each once. One that no record should have is a fault.
func (r *reading) tickets(key string) []string {
	terms, _ := r.elements(key)
	var tickets []string
	for _, term := range terms {
		ticket := brokenUnder(term.Value)
		if ticket == nil {
			continue
		}
		name, ok := ticket.(ast.String)
		if !ok || !isTicket(string(name)) {
			r.expect(key, "of tickets, [A-Za-z0-9][A-Za-z0-9._-]{0,63}, where the glass was broken")
			return nil
		}
		if !slices.Contains(tickets, string(name)) {
			tickets = append(tickets, string(name))
		}
	}
	return tickets
}

// brokenUnder is nil for a requirement that was lifted otherwise.
func brokenUnder(requirement ast.Value) ast.Value {
	if object, ok := requirement.(ast.Object); ok {
		return valueOf(object, brokenGlass)
	}
	return nil
}

var isTicket = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString

// isBrokenGlass reports the name of a requirement that was lifted so, however it goes on.
func isBrokenGlass(name string) bool { return strings.HasPrefix(name, brokenGlass) }
