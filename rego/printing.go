package rego

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Of a whole number beyond 64 bits sprintf's %p is where it stands in memory, another each
// time. OPA has no way to say so but to put another built-in in its place.
func init() {
	printed := topdown.GetBuiltin(ast.Sprintf.Name)
	topdown.RegisterBuiltinFunc(ast.Sprintf.Name, func(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		if printsAddress(operands) {
			return errAddress
		}
		return printed(bctx, operands, iter)
	})
}

var errAddress = errors.New("%p of a number is where it stands in memory")

// printsAddress reports that sprintf might print one: never that it does not where it does.
func printsAddress(operands []*ast.Term) bool {
	format, _ := operands[0].Value.(ast.String)
	values, _ := operands[1].Value.(*ast.Array)
	return values != nil && asksAddress(string(format)) && values.Until(func(value *ast.Term) bool { return isLarge(value.Value) })
}

// verbP is a verb p, with what package fmt takes before a verb.
var verbP = regexp.MustCompile(`%([-+# 0-9.*\[\]]|\[[^\]]*\])*p`)

func asksAddress(format string) bool {
	return strings.Contains(format, "p") && verbP.MatchString(strings.ReplaceAll(format, "%%", ""))
}

// isLarge reports a whole number that OPA has by reference.
func isLarge(value ast.Value) bool {
	number, ok := value.(ast.Number)
	if !ok || strings.ContainsAny(string(number), ".eE") {
		return false
	}
	_, err := strconv.ParseInt(string(number), 10, 64)
	return err != nil
}
