package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// maxCaptured is how many parameters a path has room for before matching
// allocates; a path may have more.
const maxCaptured = 8

// node is a position in the tree of an API's path templates, one level for each
// segment. A request visits a node at most once.
type node struct {
	literals map[string]*node
	// texts are the literals' texts, without blanks around them.
	texts []string
	// branches are the templated segments, the more specific first.
	branches []*branch
	// path ends here; nil where none does.
	path *path
}

// branch is a templated segment: one parameter, between literal text that may be empty.
type branch struct {
	prefix, suffix string
	next           *node
}

// path is a template of the document with its operations by method.
type path struct {
	template   string
	names      []string
	operations map[string]*authz.Operation
}

func (p *path) methods() []string { return slices.Sorted(maps.Keys(p.operations)) }

func (p *path) parameters(values []string) map[string]string {
	if len(p.names) == 0 {
		return nil
	}
	parameters := make(map[string]string, len(p.names))
	for i, name := range p.names {
		parameters[name] = values[i]
	}
	return parameters
}

// lookalike is what find returns for a path that some upstreams would take for
// another one than we do.
var lookalike = &path{}

// find returns the path that the segments match, nil where none does, and its
// parameters' values in order, appended to captured. A segment that a sibling literal
// resembles is never a parameter's value, here or further up: it is a lookalike.
func (n *node) find(segments, captured []string) (*path, []string) {
	if len(segments) == 0 {
		return n.path, captured
	}
	if next := n.literals[segments[0]]; next != nil {
		if found, values := next.find(segments[1:], captured); found != nil {
			return found, values
		}
	} else if n.resembles(segments[0]) {
		return lookalike, nil
	}
	for _, b := range n.branches {
		value, ok := b.capture(segments[0])
		if !ok {
			continue
		}
		if found, values := b.next.find(segments[1:], append(captured, value)); found != nil {
			return found, values
		}
	}
	return nil, nil
}

// resembles reports a segment that differs from a literal only in case, or by blanks
// around it.
func (n *node) resembles(segment string) bool {
	if len(n.texts) == 0 {
		return false
	}
	segment = strings.TrimSpace(segment)
	for _, text := range n.texts {
		if strings.EqualFold(segment, text) {
			return true
		}
	}
	return false
}

// capture returns the parameter's value, which is never empty.
func (b *branch) capture(segment string) (string, bool) {
	if len(segment) <= len(b.prefix)+len(b.suffix) || !strings.HasPrefix(segment, b.prefix) || !strings.HasSuffix(segment, b.suffix) {
		return "", false
	}
	return segment[len(b.prefix) : len(segment)-len(b.suffix)], true
}

// insert adds a template. Its error says which other template it cannot be told
// apart from.
func (n *node) insert(template string, segments []segment) (*path, error) {
	names := []string{}
	for _, s := range segments {
		next, err := n.step(s)
		if err != nil {
			return nil, err
		}
		if s.name != "" {
			names = append(names, s.name)
		}
		n = next
	}
	if n.path != nil {
		return nil, fmt.Errorf("matches the same requests as %s", n.path.template)
	}
	n.path = &path{template: template, names: names, operations: map[string]*authz.Operation{}}
	return n.path, nil
}

func (n *node) step(s segment) (*node, error) {
	if s.name == "" {
		if n.literals == nil {
			n.literals = map[string]*node{}
		}
		if n.literals[s.prefix] == nil {
			n.literals[s.prefix] = &node{}
			n.texts = append(n.texts, strings.TrimSpace(s.prefix))
		}
		return n.literals[s.prefix], nil
	}
	for _, b := range n.branches {
		if b.prefix == s.prefix && b.suffix == s.suffix {
			return b.next, nil
		}
		if b.rivals(s) {
			return nil, fmt.Errorf("segment %q and %q match the same requests, and neither is the more specific",
				s.prefix+"{}"+s.suffix, b.prefix+"{}"+b.suffix)
		}
	}
	b := &branch{prefix: s.prefix, suffix: s.suffix, next: &node{}}
	n.branches = append(n.branches, b)
	// Of two that match one segment, one's text holds the other's, or insert refused
	// them: so the longer is the more specific.
	slices.SortStableFunc(n.branches, func(a, b *branch) int {
		return len(b.prefix) + len(b.suffix) - len(a.prefix) - len(a.suffix)
	})
	return b.next, nil
}

// rivals reports that some segment matches both, and neither is a special case of
// the other: an upstream could then choose otherwise than we do.
func (b *branch) rivals(s segment) bool {
	longerPrefix := len(b.prefix) > len(s.prefix) && strings.HasPrefix(b.prefix, s.prefix)
	longerSuffix := len(b.suffix) > len(s.suffix) && strings.HasSuffix(b.suffix, s.suffix)
	shorterPrefix := len(b.prefix) < len(s.prefix) && strings.HasPrefix(s.prefix, b.prefix)
	shorterSuffix := len(b.suffix) < len(s.suffix) && strings.HasSuffix(s.suffix, b.suffix)
	return longerPrefix && shorterSuffix || shorterPrefix && longerSuffix
}
