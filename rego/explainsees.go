package rego

import (
	"context"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
)

var (
	inputRoot = ast.Ref{ast.InputRootDocument}
	dataRoot  = ast.Ref{ast.DefaultRootDocument}
)

// maxSeen is how many values of one condition are told.
const maxSeen = 6

// seeing collects what one condition saw.
type seeing struct {
	*watch
	run   *run
	event *topdown.Event
	// negated is set in the body of a not, of which nothing is bound any more.
	negated bool
	seen    []Seen
}

func (s *seeing) expr(expr *ast.Expr) {
	switch terms := expr.Terms.(type) {
	case *ast.Term:
		s.term(terms, expr)
	case *ast.Every:
		s.term(terms.Domain, expr)
	case *ast.Not:
		was := s.negated
		s.negated = true
		for _, negated := range terms.Body {
			s.expr(negated)
		}
		s.negated = was
	case []*ast.Term:
		if expr.IsEquality() {
			s.equality(terms[1], terms[2], expr)
			return
		}
		operands := terms[1:]
		if output := s.output(terms); output != nil {
			operands = operands[:len(operands)-1]
			s.named(inLine(expr.Location.Text), output)
		}
		for _, operand := range operands {
			s.term(operand, expr)
		}
	}
}

// equality tells a variable that a reference gives its value by the reference alone.
func (s *seeing) equality(left, right *ast.Term, expr *ast.Expr) {
	variable, isVariable := left.Value.(ast.Var)
	ref, isRef := right.Value.(ast.Ref)
	if !isVariable || !isRef {
		s.term(left, expr)
		s.term(right, expr)
		return
	}
	bound := s.event.Plug(left)
	if s.isData(ref) && bound.IsGround() && s.held(expr) {
		s.add(s.refName(ref), bound.Value)
		return
	}
	found := s.ref(ref, expr)
	differs := s.isData(ref) || found != nil
	if bound.IsGround() && differs && (found == nil || !found.Equal(bound)) && s.isWritten(variable) {
		s.term(left, expr)
	}
}

// held reports an equality that made its two sides the same: it is not the one that failed,
// nor must it not hold.
func (s *seeing) held(expr *ast.Expr) bool {
	failed := s.event.Op == topdown.FailOp && s.event.Node == ast.Node(expr)
	return !failed && !expr.Negated && !s.negated
}

// output is the term that takes a call's value, or nil.
func (s *seeing) output(terms []*ast.Term) *ast.Term {
	ref, ok := terms[0].Value.(ast.Ref)
	if !ok {
		return nil
	}
	arity := s.compiler.GetArity(ref)
	if builtin, known := ast.BuiltinMap[ref.String()]; known {
		arity = builtin.Decl.Arity()
	}
	if arity < 0 || len(terms) != arity+2 {
		return nil
	}
	return terms[len(terms)-1]
}

// term tells the references and variables of a term; not those of a comprehension, whose
// value is told by the variable that has it.
func (s *seeing) term(term *ast.Term, expr *ast.Expr) {
	switch value := term.Value.(type) {
	case ast.Ref:
		s.ref(value, expr)
	case ast.Var:
		if s.isWritten(value) {
			s.named(s.variable(value), term)
		}
	case *ast.Array:
		value.Foreach(func(element *ast.Term) { s.term(element, expr) })
	case ast.Set:
		value.Foreach(func(element *ast.Term) { s.term(element, expr) })
	case ast.Object:
		value.Foreach(func(key, value *ast.Term) { s.term(key, expr); s.term(value, expr) })
	}
}

// named tells a variable that has a value.
func (s *seeing) named(name string, term *ast.Term) {
	if plugged := s.event.Plug(term); plugged.IsGround() {
		s.add(name, plugged.Value)
	}
}

// variable is a local one's name as it was written, or "".
func (s *seeing) variable(v ast.Var) string {
	if name, ok := s.compiler.RewrittenVars[v]; ok {
		v = name
	}
	return string(v)
}

func (s *seeing) isWritten(v ast.Var) bool {
	name := ast.Var(s.variable(v))
	return !name.IsGenerated() && !name.IsWildcard() && !strings.HasPrefix(string(name), "__local")
}

func (s *seeing) isData(ref ast.Ref) bool { return ref.HasPrefix(dataRoot) }

// ref tells what a reference leads to, and returns it; nil is absent, or not known.
func (s *seeing) ref(ref ast.Ref, expr *ast.Expr) *ast.Term {
	plugged, ok := s.plugged(ref)
	switch {
	case !ok:
		return nil
	case plugged.HasPrefix(inputRoot):
		return s.fromInput(ref, plugged, expr)
	case s.isData(plugged):
		return s.fromData(ref, plugged)
	}
	return s.fromLocal(ref, plugged)
}

// plugged is a reference with the values of the variables in it, up to the first that has
// none.
func (s *seeing) plugged(ref ast.Ref) (ast.Ref, bool) {
	plugged := make(ast.Ref, len(ref))
	for i, part := range ref {
		plugged[i] = part
		if i > 0 {
			plugged[i] = s.event.Plug(part)
		}
	}
	return plugged.GroundPrefix(), len(ref) > 0
}

// refName is a reference as the rule would write it: what is of its own package, without.
func (s *seeing) refName(ref ast.Ref) string {
	plugged, _ := s.plugged(ref)
	name := s.name(plugged, ref)
	if rule := s.run.of(); rule != nil && rule.Module != nil {
		path := rule.Module.Package.Path
		name = strings.TrimPrefix(name, s.name(path, path)+".")
	}
	return name
}

func (s *seeing) fromInput(was, ref ast.Ref, expr *ast.Expr) *ast.Term {
	input := s.event.Input()
	if input == nil || s.event.Op == topdown.ExitOp && len(expr.With) > 0 {
		return nil // what it was evaluated with is gone by now
	}
	found, err := input.Value.Find(ref[1:])
	switch {
	case err != nil:
		s.absent(s.name(ref, was))
		return nil
	case isCredentialRef(ref):
		s.add(s.name(ref, was), ast.String(credentialMark))
	default:
		s.add(s.name(ref, was), found)
	}
	return ast.NewTerm(found)
}

// isCredentialRef reports a reference to a header that is not shown, or into raw headers,
// of which any may be.
func isCredentialRef(ref ast.Ref) bool {
	if ref.HasPrefix(rawHeadersPath) {
		return true
	}
	if !ref.HasPrefix(headersPath) || len(ref) == len(headersPath) {
		return false
	}
	name, _ := ref[len(headersPath)].Value.(ast.String)
	return isSecret(string(name))
}

// fromData tells data, or the value of a rule that nothing but its name stands for.
func (s *seeing) fromData(was, ref ast.Ref) *ast.Term {
	if rules := s.rulesOf(ref); len(rules) > 0 {
		s.fromRules(was, ref, rules)
		return nil
	}
	if s.run.mocked {
		return nil
	}
	path, err := storage.NewPathForRef(ref)
	if err != nil {
		return nil
	}
	found, err := s.store.Read(context.Background(), s.evaluator.txn, path)
	value, ok := found.(ast.Value)
	if err != nil || !ok {
		s.absent(s.refName(was))
		return nil
	}
	s.add(s.refName(was), value)
	return ast.NewTerm(value)
}

// fromRules tells rules that have no value. Where they have one, what uses it is told.
func (s *seeing) fromRules(was, ref ast.Ref, rules []*ast.Rule) {
	var values []string
	for _, rule := range rules {
		for each := rule; each != nil; each = each.Else {
			for _, r := range s.rules[spotOf(each)] {
				values = append(values, r.values...)
			}
		}
	}
	switch {
	case len(values) == 0:
		s.absent(s.refName(was))
	case rules[0].Head.RuleKind() == ast.SingleValue && len(values) == 1 && len(ref) >= len(rules[0].Ref()):
		s.put(Seen{Name: s.refName(was[:len(rules[0].Ref())]), Value: values[0]})
	}
}

func (s *seeing) fromLocal(ref, plugged ast.Ref) *ast.Term {
	variable, ok := ref[0].Value.(ast.Var)
	base := s.event.Plug(ref[0])
	if !ok || !s.isWritten(variable) || !base.IsGround() {
		return nil
	}
	named := slices.Clone(plugged)
	named[0] = ast.VarTerm(s.variable(variable))
	found, err := base.Value.Find(plugged[1:])
	if err != nil {
		s.absent(s.name(named, ref))
		return nil
	}
	s.add(s.name(named, ref), found)
	return ast.NewTerm(found)
}

func (s *seeing) add(name string, value ast.Value) {
	if len(s.seen) < maxSeen {
		s.put(Seen{Name: name, Value: s.show(value)})
	}
}

func (s *seeing) absent(name string) { s.put(Seen{Name: name, Absent: true}) }

// put keeps the first of a name.
func (s *seeing) put(seen Seen) {
	if len(s.seen) < maxSeen && !slices.ContainsFunc(s.seen, func(other Seen) bool { return other.Name == seen.Name }) {
		s.seen = append(s.seen, seen)
	}
}
