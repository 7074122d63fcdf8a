package rego

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// Says reports that a rule has the code in so many words, so that a refusal can be called
// so. Of one that a rule puts together at run time it is not known.
func (e *Engine) Says(code string) bool { return e.said[code] }

// Changes are those keys of a decision that say which headers reach the upstream, of which
// a rule of the site's makes a decision in so many words, in order.
func (e *Engine) Changes() []string { return e.changes }

// changes are the keys of objects, and the last names of rules, that decisions come to.
func (s *source) changes(reach *reach) []string {
	found := map[string]bool{}
	keep := func(term *ast.Term) {
		if name, ok := term.Value.(ast.String); ok {
			found[string(name)] = true
		}
	}
	for _, rule := range s.rules() {
		if !reach.rules[spotOf(rule)] {
			continue
		}
		if ref := rule.Head.Ref(); len(ref) > 1 {
			keep(ref[len(ref)-1])
		}
		ast.WalkTerms(rule, func(term *ast.Term) bool {
			if object, ok := term.Value.(ast.Object); ok {
				object.Foreach(func(key, _ *ast.Term) { keep(key) })
			}
			return false
		})
	}
	return slices.DeleteFunc([]string{"headers", "request_headers_to_remove"}, func(key string) bool { return !found[key] })
}

// Said are those codes, in order.
func (e *Engine) Said() []string { return slices.Sorted(maps.Keys(e.said)) }

// says are the texts in rules that may be codes of refusals, the library's among them.
func (s *source) says() map[string]bool {
	said := map[string]bool{}
	for name, module := range s.modules {
		if isTest(name) {
			continue
		}
		ast.WalkTerms(module, func(term *ast.Term) bool {
			if text, ok := term.Value.(ast.String); ok && authz.IsCode(string(text)) {
				said[string(text)] = true
			}
			return false
		})
	}
	return said
}
