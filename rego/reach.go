package rego

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reach is what of the input a policy can read: a safe over-approximation, in
// which a reference counts as far as it is constant.
type reach struct {
	// whole is the place that reads all of the input, or nil.
	whole *ast.Location
	// refs begin with "input" and have at least one more part.
	refs []ast.Ref
}

// reachOf walks every rule that the decision may come to, and takes each reference
// as far as it is constant, whatever becomes of its value. OPA's dependencies.Base
// is narrower but not safe: where a rule reads input.operation.id and hands all of
// input.operation to another by "with", it has only the id.
func reachOf(compiler *ast.Compiler, decision ast.Ref) reach {
	var found reach
	seen := map[*ast.Rule]bool{}
	todo := []ast.Ref{decision}
	for len(todo) > 0 {
		ref := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		options := ast.RulesOptions{IncludeHiddenModules: true}
		for _, rule := range compiler.GetRulesDynamicWithOpts(ref, options) {
			if seen[rule] {
				continue
			}
			seen[rule] = true
			ast.WalkRefs(rule, func(ref ast.Ref) bool {
				switch {
				case ref[0].Equal(ast.InputRootDocument):
					found.add(ref)
				case ref[0].Equal(ast.DefaultRootDocument):
					todo = append(todo, ref)
				}
				return false
			})
		}
	}
	return found
}

func (r *reach) add(ref ast.Ref) {
	prefix := ref.ConstantPrefix()
	if len(prefix) == 1 {
		if r.whole == nil {
			r.whole = ref[0].Location
		}
		return
	}
	r.refs = append(r.refs, prefix)
}

// part reports whether a key of the input is read, and which of the keys below it;
// nil keys mean all.
func (r *reach) part(name string) (keys map[string]bool, read bool) {
	if r.whole != nil {
		return nil, true
	}
	keys = map[string]bool{}
	for _, ref := range r.refs {
		if ref[1].Value.Compare(ast.String(name)) != 0 {
			continue
		}
		read = true
		if len(ref) == 2 {
			return nil, true
		}
		if key, ok := ref[2].Value.(ast.String); ok {
			keys[string(key)] = true
		}
	}
	return keys, read
}

// paths lists the references, none of which begins another.
func (r *reach) paths() []string {
	if r.whole != nil {
		return []string{fmt.Sprintf("input (%s:%d)", r.whole.File, r.whole.Row)}
	}
	refs := slices.Clone(r.refs)
	slices.SortFunc(refs, ast.RefCompare)
	var paths []string
	var last ast.Ref
	for _, ref := range refs {
		if last == nil || !ref.HasPrefix(last) {
			paths = append(paths, ref.String())
			last = ref
		}
	}
	return paths
}
