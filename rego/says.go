package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// Says reports that a rule has the code in so many words, so that a refusal can be called
// so. Of one that a rule puts together at run time it is not known.
func (e *Engine) Says(code string) bool { return e.said[code] }

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
