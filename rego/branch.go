package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// branch is what is kept of a value: of an object the keys below, and all of the value
// where there are none.
type branch struct {
	key   *ast.Term
	below []branch
}

// branches are those of paths of the input, none of which begins another.
func branches(paths []ast.Ref) branch {
	var root branch
	for _, path := range paths {
		root.add(path[1:])
	}
	return root
}

func (b *branch) add(path ast.Ref) {
	if len(path) == 0 {
		return
	}
	at := slices.IndexFunc(b.below, func(below branch) bool { return below.key.Equal(path[0]) })
	if at < 0 {
		at = len(b.below)
		b.below = append(b.below, branch{key: path[0]})
	}
	b.below[at].add(path[1:])
}

// of is what is kept of a value, or nil. What is no object has no keys: of it nothing is
// kept, since to whoever reads a key of it, by reference or as the target of a "with",
// it is as if it were absent. The value may be shared, and is not changed.
func (b *branch) of(value *ast.Term) *ast.Term {
	if len(b.below) == 0 {
		return value
	}
	object, ok := value.Value.(ast.Object)
	if !ok {
		return nil
	}
	pairs := make([]pair, 0, len(b.below))
	for i := range b.below {
		below := &b.below[i]
		if found := object.Get(below.key); found != nil {
			pairs = appendKnown(pairs, below.key, below.of(found))
		}
	}
	return ast.ObjectTerm(pairs...)
}
