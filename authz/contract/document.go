package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	yaml "go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// extensionKey is where a document says what OpenAPI cannot.
const extensionKey = "x-countersign"

// document is an OpenAPI document in two forms: the model, which has references
// resolved, and the tree that was written, which has lines and tells an absent
// field from an empty one.
type document struct {
	file  string
	model *openapi3.T
	root  place
	// problems are all faults found so far.
	problems authz.Problems
}

// fault notes a problem of the value at p.
func (d *document) fault(p place, what, fix string) {
	d.problems = append(d.problems, authz.Problem{File: d.file, Line: p.line, Key: p.key, What: what, Fix: fix})
}

// parse reads the document as far as it can be read without being understood. It
// reports whether model and root are set.
func (d *document) parse(raw []byte) bool {
	root, err := parseYAML(raw)
	if err != nil {
		d.fault(place{line: lineOf(err.Error())}, oneLine(err), "correct the YAML or JSON")
		return false
	}
	d.root = place{node: root, root: root, line: root.Line}
	if root.Kind != yaml.MappingNode {
		d.fault(d.root, "is not an OpenAPI document", "begin it with openapi, info and paths")
		return false
	}
	version := d.root.member("openapi")
	if !isSupported(version.value()) {
		d.fault(version, fmt.Sprintf("%q is not a version that is read", version.value()), "convert the document to OpenAPI 3.0 or 3.1, and write the version in full, such as 3.1.0")
		return false
	}
	if d.survey(d.root, nil); len(d.problems) > 0 {
		return false
	}
	// External references stay off: a contract is what its file says, and only that
	// is in the snapshot's revision.
	if d.model, err = openapi3.NewLoader().LoadFromData(raw); err != nil {
		// The loader refuses most of what is no security, and names no line.
		if d.checkSecurities(); len(d.problems) > 0 {
			return false
		}
		d.fault(place{line: lineOf(err.Error())}, oneLine(err), "correct the document; references must stay within it")
		return false
	}
	return true
}

func isSupported(version string) bool {
	return strings.HasPrefix(version, "3.0.") || strings.HasPrefix(version, "3.1.")
}

func parseYAML(raw []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var node, more yaml.Node
	switch err := decoder.Decode(&node); {
	case err == io.EOF:
		return nil, errors.New("the document is empty")
	case err != nil:
		return nil, err
	}
	if err := decoder.Decode(&more); err != io.EOF {
		return nil, errors.New("there is more after the document's end")
	}
	return node.Content[0], nil
}

// survey looks at the whole tree for what two readers could understand in two
// ways, and for extensions that nobody would read. Aliases are surveyed where
// they are defined, and not followed: they may go in circles.
func (d *document) survey(p place, trail []string) {
	if p.node.Kind == yaml.SequenceNode {
		for i, node := range p.node.Content {
			item := place{key: fmt.Sprintf("%s[%d]", p.key, i), line: node.Line, node: node, root: p.root}
			d.survey(item, append(trail, strconv.Itoa(i)))
		}
	}
	if p.node.Kind != yaml.MappingNode {
		return
	}
	seen := make(map[string]bool, len(p.node.Content)/2)
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		key, value := p.node.Content[i], p.node.Content[i+1]
		child := place{key: join(p.key, key.Value), line: key.Line, node: value, root: p.root}
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			d.fault(child, "is a key that JSON does not have", "write out what is merged (OpenAPI 3.1 §4.2)")
		case seen[key.Value]:
			d.fault(child, "stands twice", "keep one")
		case key.Value == extensionKey && !holdsExtension(trail):
			d.fault(child, "is not read here", "move it to an operation, or to the top of the document")
		case key.Value != extensionKey && authz.Near(key.Value, extensionKey):
			d.fault(child, "is not read", fmt.Sprintf("did you mean %q?", extensionKey))
		}
		seen[key.Value] = true
		d.survey(child, append(trail, key.Value))
	}
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// holdsExtension reports the places where x-countersign is read: the document and
// its operations.
func holdsExtension(trail []string) bool {
	if len(trail) == 0 {
		return true
	}
	isOperation := slices.Contains(methods, trail[len(trail)-1])
	return isOperation && (len(trail) == 3 && trail[0] == "paths" ||
		len(trail) == 4 && trail[0] == "components" && trail[1] == "pathItems")
}

// oneLine is a parser's message without what it says of forms that it tried before.
func oneLine(err error) string {
	text := err.Error()
	if _, last, found := strings.Cut(text, "yaml error: "); found {
		text = last
	}
	return strings.Join(strings.Fields(text), " ")
}

// lineOf is the line that a parser's message names, 0 where it names none.
func lineOf(message string) int {
	_, after, found := strings.Cut(message, "line ")
	if !found {
		return 0
	}
	digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
	line, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return line
}
