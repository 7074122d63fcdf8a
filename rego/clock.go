package rego

import (
	"time"
	_ "time/tzdata" // zones of machines that have no database of them

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// The zone of the machine is not for policies: time.clock and its like take "Local" for
// it, and time.parse_ns takes from it what an abbreviation such as CET means. OPA has no
// other way to say so. Where the machine's logs are in another zone than UTC, ours are
// not.
func init() { time.Local = time.UTC }

// verifiedNow and verifiedAt verify certificates: the one as of now by the machine's
// clock, the other, too, where its options have no CurrentTime.
const (
	verifiedNow = "crypto.x509.parse_and_verify_certificates"
	verifiedAt  = "crypto.x509.parse_and_verify_certificates_with_options"
)

var verifiedAtRef = ast.BuiltinMap[verifiedAt].Ref()

// timeless are the faults of modules that may verify certificates by the machine's clock.
// That a call has a CurrentTime can be seen where its options are written out in it, and
// nowhere else; so that is how they must be written.
func (s *source) timeless() authz.Problems {
	var problems authz.Problems
	for _, module := range s.modules {
		for _, location := range clocked(module) {
			problems = append(problems, s.problem(location,
				verifiedAt+" reads the machine's clock where no CurrentTime is written in the call",
				`write {"CurrentTime": input.request.time, …} in the call itself`))
		}
	}
	inOrder(problems)
	return problems
}

// clocked are the places that name the built-in, but for calls with a CurrentTime, and
// for tests that put something in its place.
func clocked(module *ast.Module) []*ast.Location {
	good := map[*ast.Term]bool{}
	call := func(terms []*ast.Term) {
		if len(terms) > 2 && hasCurrentTime(terms[2]) {
			good[terms[0]] = true
		}
	}
	var places []*ast.Location
	var visitor *ast.GenericVisitor
	visitor = ast.NewGenericVisitor(func(node any) bool {
		switch node := node.(type) {
		case *ast.Head: // whose reference no visitor comes to by itself
			visitor.Walk(node.Reference)
		case *ast.Expr:
			if terms, ok := node.Terms.([]*ast.Term); ok {
				call(terms)
			}
		case ast.Call:
			call(node)
		case *ast.With:
			good[node.Target] = true
		case *ast.Term:
			if ref, ok := node.Value.(ast.Ref); ok && ref.Equal(verifiedAtRef) && !good[node] {
				places = append(places, node.Location)
			}
		}
		return false
	})
	visitor.Walk(module)
	return places
}

func hasCurrentTime(options *ast.Term) bool {
	object, ok := options.Value.(ast.Object)
	return ok && object.Get(ast.InternedTerm("CurrentTime")) != nil
}
