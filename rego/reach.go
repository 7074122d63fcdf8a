package rego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reach is what of the input a policy can read: a safe over-approximation, in
// which a reference counts as far as it is constant.
type reach struct {
	// whole is the place that reads all of the input, or nil.
	whole *ast.Location
	// refs begin with "input" and have at least one more part.
	refs []ast.Ref
	// rules are those that the decision may come to.
	rules map[spot]bool
}

// reachOf walks every rule that the decision may come to, and takes each reference
// as far as it is constant, whatever becomes of its value. OPA's dependencies.Base
// is narrower but not safe: where a rule reads input.operation.id and hands all of
// input.operation to another by "with", it has only the id.
func reachOf(compiler *ast.Compiler, decision ast.Ref) reach {
	found := reach{rules: map[spot]bool{}}
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
			found.rules[spotOf(rule)] = true
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

// part reports whether a place in the input is read, and which of the keys below it;
// nil keys mean all.
func (r *reach) part(path ...string) (keys map[string]bool, read bool) {
	if r.whole != nil {
		return nil, true
	}
	keys = map[string]bool{}
	for _, ref := range r.refs {
		below := ref[1:]
		if !agree(below, path) {
			continue
		}
		read = true
		if len(below) <= len(path) {
			return nil, true
		}
		if key, ok := below[len(path)].Value.(ast.String); ok {
			keys[string(key)] = true
		}
	}
	return keys, read
}

// agree reports that one of the two begins the other.
func agree(ref ast.Ref, path []string) bool {
	for i := range min(len(ref), len(path)) {
		if ref[i].Value.Compare(ast.String(path[i])) != 0 {
			return false
		}
	}
	return true
}

// paths lists the references, none of which begins another.
func (r *reach) paths() []string {
	if r.whole != nil {
		return []string{fmt.Sprintf("input (%s:%d)", r.whole.File, r.whole.Row)}
	}
	var paths []string
	for _, ref := range outermost(r.refs) {
		paths = append(paths, spelled(ref))
	}
	return paths
}

// within narrows the paths of a document to what is read of them, each as far as it
// goes by names: an array is read whole, and so is what has a key that is no string.
func (r *reach) within(built []ast.Ref) []ast.Ref {
	if r.whole != nil {
		return built
	}
	var read []ast.Ref
	for _, ref := range r.refs {
		ref = ref.StringPrefix()
		for _, path := range built {
			switch {
			case path.HasPrefix(ref):
				read = append(read, path)
			case ref.HasPrefix(path):
				read = append(read, ref)
			}
		}
	}
	return outermost(read)
}

// outermost are the references that no other one begins, each once, in order.
func outermost(refs []ast.Ref) []ast.Ref {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, ast.RefCompare)
	var outer []ast.Ref
	for _, ref := range refs {
		if len(outer) == 0 || !ref.HasPrefix(outer[len(outer)-1]) {
			outer = append(outer, ref)
		}
	}
	return outer
}

// spelled is a constant reference as Rego has it. No two look the same, as they may
// in OPA's own form, which does not escape a quote: begins relies on it.
func spelled(ref ast.Ref) string {
	text := []byte(ref[0].String())
	for _, key := range ref[1:] {
		name, named := key.Value.(ast.String)
		switch {
		case !named:
			text = append(append(append(text, '['), key.String()...), ']')
		case ast.IsVarCompatibleString(string(name)) && !ast.IsKeyword(string(name)):
			text = append(append(text, '.'), name...)
		default:
			text = append(appendString(append(text, '['), string(name)), ']')
		}
	}
	return string(text)
}

// begins reports whether a path is another, or above it, both as they are spelled.
func begins(path, other string) bool {
	rest, ok := strings.CutPrefix(other, path)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
