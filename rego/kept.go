package rego

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// inputs are the documents of a policy, as they are kept.
type inputs struct {
	document *document
	kept     branch
	reaches  []string
}

var _ authz.Inputs = (*inputs)(nil)

// Inputs gives what Decide decides on: pruned to what this policy reads, or whole, with
// all that is known, so that a policy that reads more can decide on it too. Pruned, an
// object has the keys that the policy names; what it reads by an index, or by a key
// that is not constant, is there as a whole. Headers that hold credentials are left
// out. A document over 1 MiB, of over 50,000 values, or nested more than 64 deep is not
// kept: its Input is TooLarge. What is not UTF-8 is kept as U+FFFD.
func (e *Engine) Inputs(whole bool) authz.Inputs {
	document, reads := e.document, e.reach
	if whole {
		reads = reach{whole: &ast.Location{}}
		document = newDocument(reads)
	}
	built := document.paths()
	paths := reads.within(built)
	i := &inputs{document: document, reaches: make([]string, len(paths))}
	for at, path := range paths {
		i.reaches[at] = spelled(path)
	}
	// Where the document is built of nothing else, all of it is kept.
	if slices.CompareFunc(paths, built, ast.RefCompare) != 0 {
		i.kept = branches(paths)
	}
	return i
}

// Input implements authz.Inputs.
func (i *inputs) Input(facts *authz.Facts) (*authz.Input, error) {
	value, err := i.document.of(facts)
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	bare, withheld := withoutCredentials(value)
	document := &jsonText{text: make([]byte, 0, 2048)}
	err = document.value(i.kept.of(ast.NewTerm(bare)).Value, maxDepth)
	switch {
	case errors.Is(err, errTooLarge) || len(document.text) > maxDocument:
		return &authz.Input{TooLarge: true, Prepared: ready{i.document, value}}, nil
	case err != nil:
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	return &authz.Input{Document: document.text, Reaches: i.reaches, Withheld: withheld, Prepared: ready{i.document, value}}, nil
}

// ready is a document that was made to be kept, and what it was made by.
type ready struct {
	by    *document
	value ast.Value
}

// input is what is decided on: it is made once, where it is kept as well.
func (e *Engine) input(facts *authz.Facts) (ast.Value, error) {
	if facts.Input != nil {
		if made, ok := facts.Input.Prepared.(ready); ok && made.by == e.document {
			return made.value, nil
		}
	}
	return e.document.of(facts)
}

// paths lists what the document holds, each key that is built for itself, in order: a
// list that an earlier version kept does not claim what a later one has added.
func (d *document) paths() []ast.Ref {
	var paths []ast.Ref
	for _, s := range d.sections {
		if s.value != nil {
			paths = append(paths, ast.Ref{ast.InputRootDocument, s.key})
		}
		paths = append(paths, below(s.key, s.fields)...)
	}
	if d.operations != nil {
		paths = append(paths, below(keyOperation, d.operations.fields)...)
		if d.operations.parameters {
			paths = append(paths, ast.Ref{ast.InputRootDocument, keyOperation, keyParameters})
		}
	}
	slices.SortFunc(paths, ast.RefCompare)
	return paths
}

func below[From any](section *ast.Term, fields []field[From]) []ast.Ref {
	paths := make([]ast.Ref, len(fields))
	for i, f := range fields {
		paths[i] = ast.Ref{ast.InputRootDocument, section, f.key}
	}
	return paths
}

// Where a document has headers: opa-envoy-plugin's object, and, of an Envoy that was
// asked for raw headers, a list of objects with a key each.
var (
	headersPath    = ast.MustParseRef("input.attributes.request.http.headers")
	rawHeadersPath = ast.MustParseRef("input.attributes.request.http.headerMap")
	headerListPath = rawHeadersPath.Append(ast.StringTerm("headers"))
	headerKey      = ast.StringTerm("key")
)

// withoutCredentials is the document less the credentials, and the names of those. The
// document itself may share what it holds, and is not changed.
func withoutCredentials(document ast.Value) (ast.Value, []string) {
	var withheld []string
	withhold := func(name *ast.Term) bool {
		low, held := credential(name)
		if held && !slices.Contains(withheld, low) {
			withheld = append(withheld, low)
		}
		return held
	}
	document = rebuilt(document, headersPath[1:], func(headers ast.Value) ast.Value {
		return withoutKeys(headers, withhold)
	})
	document = rebuilt(document, headerListPath[1:], func(headers ast.Value) ast.Value {
		return withoutElements(headers, withhold)
	})
	slices.Sort(withheld)
	return document, withheld
}

// credential is a header's name in lower case, and whether it holds one. A certificate
// proves nothing without its key, so x-forwarded-client-cert does not.
func credential(name *ast.Term) (string, bool) {
	if name == nil {
		return "", false
	}
	text, _ := name.Value.(ast.String)
	low := strings.ToLower(string(text))
	return low, authz.IsCredential(low)
}

// rebuilt is a value with what is at a path below it changed, if it is there: the
// objects on the way are made anew.
func rebuilt(value ast.Value, path ast.Ref, change func(ast.Value) ast.Value) ast.Value {
	if len(path) == 0 {
		return change(value)
	}
	object, ok := value.(ast.Object)
	if !ok || object.Get(path[0]) == nil {
		return value
	}
	pairs := make([]pair, 0, object.Len())
	object.Foreach(func(key, inner *ast.Term) {
		if key.Equal(path[0]) {
			inner = ast.NewTerm(rebuilt(inner.Value, path[1:], change))
		}
		pairs = append(pairs, pair{key, inner})
	})
	return ast.NewObject(pairs...)
}

func withoutKeys(value ast.Value, withhold func(name *ast.Term) bool) ast.Value {
	object, ok := value.(ast.Object)
	if !ok {
		return value
	}
	pairs := make([]pair, 0, object.Len())
	object.Foreach(func(key, inner *ast.Term) {
		if !withhold(key) {
			pairs = append(pairs, pair{key, inner})
		}
	})
	return ast.NewObject(pairs...)
}

func withoutElements(value ast.Value, withhold func(name *ast.Term) bool) ast.Value {
	array, ok := value.(*ast.Array)
	if !ok {
		return value
	}
	terms := make([]*ast.Term, 0, array.Len())
	array.Foreach(func(element *ast.Term) {
		if header, ok := element.Value.(ast.Object); !ok || !withhold(header.Get(headerKey)) {
			terms = append(terms, element)
		}
	})
	return ast.NewArray(terms...)
}
