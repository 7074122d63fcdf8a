package contract

import (
	"fmt"
	"net/url"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// place is a value in the tree: its path for people, and its line. node is nil
// where there is no such value; line is then that of what would hold it.
type place struct {
	key  string
	line int
	node *yaml.Node
	root *yaml.Node
}

func (p place) present() bool { return p.node != nil }

// value is a scalar's text, "" for anything else.
func (p place) value() string {
	if p.node == nil || p.node.Kind != yaml.ScalarNode {
		return ""
	}
	return p.node.Value
}

// member is the value of a mapping's key, which may be there by a local $ref.
func (p place) member(name string) place {
	child := place{key: join(p.key, name), line: p.line, root: p.root}
	node := p.node
	for range maxHops {
		key, value := entry(node, name)
		if value != nil {
			child.line, child.node = key.Line, dealias(value)
			return child
		}
		_, reference := entry(node, "$ref")
		if reference == nil {
			return child
		}
		node = p.follow(reference.Value)
	}
	return child
}

// maxHops bounds references to references, which may go in circles.
const maxHops = 8

// follow is the node that a local reference means, nil where there is none.
func (p place) follow(reference string) *yaml.Node {
	fragment, local := strings.CutPrefix(reference, "#/")
	pointer, err := url.PathUnescape(fragment)
	if !local || err != nil {
		return nil
	}
	node := p.root
	for token := range strings.SplitSeq(pointer, "/") {
		_, node = entry(node, unescape(token))
		node = dealias(node)
	}
	return node
}

// items are the values of a sequence, none for anything else.
func (p place) items() []place {
	if p.node == nil || p.node.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]place, len(p.node.Content))
	for i, node := range p.node.Content {
		items[i] = place{key: fmt.Sprintf("%s[%d]", p.key, i), line: node.Line, node: dealias(node), root: p.root}
	}
	return items
}

// names are the keys of a mapping, in order.
func (p place) names() []string {
	if p.node == nil || p.node.Kind != yaml.MappingNode {
		return nil
	}
	var names []string
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		names = append(names, p.node.Content[i].Value)
	}
	return names
}

func entry(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

func dealias(node *yaml.Node) *yaml.Node {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
