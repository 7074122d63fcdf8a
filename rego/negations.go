package rego

import "github.com/open-policy-agent/opa/v1/ast"

// negation finds a condition of a deny that is undefined, and not true, where a fact is
// absent: "not f(input.x)" and "not input.x in list" are, since OPA looks the fact up
// before it negates; "not input.x == 1" and "not rule" are true. It is nil where there is none.
func negation(rule *ast.Rule) (*ast.Location, ast.Ref) {
	for _, expr := range rule.Body {
		if !expr.Negated || !expr.IsCall() {
			continue
		}
		equality := expr.Operator().Equal(ast.Equality.Ref()) || expr.Operator().Equal(ast.Equal.Ref())
		for _, operand := range expr.Operands() {
			if _, plain := operand.Value.(ast.Ref); plain && equality {
				continue
			}
			if fact := factIn(operand); fact != nil {
				return expr.Location, fact
			}
		}
	}
	return nil, nil
}

// factIn is the first fact of the input in a term.
func factIn(term *ast.Term) ast.Ref {
	var found ast.Ref
	ast.WalkRefs(term, func(ref ast.Ref) bool {
		if found == nil && ref[0].Equal(ast.InputRootDocument) && len(ref) > 1 {
			found = ref
		}
		return found != nil
	})
	return found
}
