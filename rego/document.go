package rego

import (
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// pair is a key and its value, as OPA makes objects of.
type pair = [2]*ast.Term

// document builds the input, as far as the policy reaches: a safe
// over-approximation, down to the second key.
type document struct {
	sections   []section
	operations *operations
}

// section is a key of the input. It is absent where known is false, and where it
// has fields and none of them is known.
type section struct {
	key    *ast.Term
	known  func(f *known) bool
	fields []field[*known]
	// value is for a section without fields, and so is shape.
	value func(f *known) *ast.Term
	shape shape
}

// field is a key below a section's. Its value is nil for a fact that is not known:
// the key is absent then, never null.
type field[From any] struct {
	key   *ast.Term
	shape shape
	value func(from From) *ast.Term
}

// known are the facts of one decision, while its document is built.
type known struct {
	*authz.Facts
	caller authz.Caller
	// err is the first fault of a value that came from elsewhere.
	err error
}

// newDocument keeps the sections and fields that are reached.
func newDocument(reach reach) *document {
	d := &document{}
	for _, s := range sections() {
		keys, read := reach.part(name(s.key))
		if !read {
			continue
		}
		s.fields = reached(s.fields, keys)
		d.sections = append(d.sections, s)
	}
	if keys, read := reach.part("operation"); read {
		d.operations = &operations{
			fields:     reached(operationFields(), keys),
			parameters: keys == nil || keys["parameters"],
		}
	}
	return d
}

func reached[From any](fields []field[From], keys map[string]bool) []field[From] {
	if keys == nil {
		return fields
	}
	var kept []field[From]
	for _, f := range fields {
		if keys[name(f.key)] {
			kept = append(kept, f)
		}
	}
	return kept
}

func name(key *ast.Term) string {
	text, _ := key.Value.(ast.String)
	return string(text)
}

// of builds the document. The facts are shared, not copied, where OPA allows it.
func (d *document) of(facts *authz.Facts) (ast.Value, error) {
	f := &known{Facts: facts, caller: facts.Caller()}
	pairs := make([]pair, 0, len(d.sections)+1)
	for _, s := range d.sections {
		if s.known != nil && !s.known(f) {
			continue
		}
		if value := s.of(f); value != nil {
			pairs = append(pairs, pair{s.key, value})
		}
	}
	if d.operations != nil && facts.Match.Operation != nil {
		pairs = append(pairs, pair{keyOperation, d.operations.of(&facts.Match)})
	}
	return ast.NewObject(pairs...), f.err
}

func (s *section) of(f *known) *ast.Term {
	if s.value != nil {
		return s.value(f)
	}
	pairs := values(s.fields, f)
	if len(pairs) == 0 {
		return nil
	}
	return ast.ObjectTerm(pairs...)
}

func values[From any](fields []field[From], from From) []pair {
	pairs := make([]pair, 0, len(fields)+1)
	for _, field := range fields {
		if value := field.value(from); value != nil {
			pairs = append(pairs, pair{field.key, value})
		}
	}
	return pairs
}

// operations are the contract's operations in OPA's form, made once each: there
// are as many as the contract has, whatever is requested.
type operations struct {
	fields     []field[*authz.Operation]
	parameters bool
	made       sync.Map // *authz.Operation -> *made
}

type made struct {
	pairs []pair
	term  *ast.Term
}

func (o *operations) of(match *authz.Match) *ast.Term {
	found, ok := o.made.Load(match.Operation)
	if !ok {
		pairs := values(o.fields, match.Operation)
		found, _ = o.made.LoadOrStore(match.Operation, &made{pairs: pairs, term: ast.ObjectTerm(pairs...)})
	}
	operation := found.(*made)
	if !o.parameters || match.Parameters == nil {
		return operation.term
	}
	parameters := make([]pair, 0, len(match.Parameters))
	for name, value := range match.Parameters {
		parameters = append(parameters, pair{ast.StringTerm(name), ast.StringTerm(value)})
	}
	pairs := append(operation.pairs[:len(operation.pairs):len(operation.pairs)],
		pair{keyParameters, ast.ObjectTerm(parameters...)})
	return ast.ObjectTerm(pairs...)
}
