package contract

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/countersign-io/countersign/authz"
)

// compiler makes operations of a document.
type compiler struct {
	*document
	api API
	// wide are the document-wide rules; used tells which of them met a parameter.
	wide []wideRule
	used map[place]bool
	// wideRoles are the roles that the document asks of certificates.
	wideRoles [][]string
	// wideBrowsers is what the document says of scripts.
	wideBrowsers bool
	// wideRevocations is whether the document requires to know of revocations.
	wideRevocations bool
	// wideObserve are the checks that the document observes.
	wideObserve []string
	// security is the document's own, for operations that have none.
	security []authz.Requirement
	secured  bool
	// ids are the operations' ids, with where each was first seen.
	ids map[string]place
}

// described is an operation, and how its requests are read.
type described struct {
	*authz.Operation
	reading reading
}

// compile reads a document and adds its paths to the tree. Operations are ordered
// by path and method; problems by line.
func compile(api API, raw []byte, tree *node) ([]described, authz.Problems) {
	c := &compiler{document: &document{file: api.Document}, api: api, used: map[place]bool{}, ids: map[string]place{}}
	var operations []described
	if c.parse(raw) {
		c.extendAll(c.root.member(extensionKey))
		security := c.root.member("security")
		c.security, c.secured = c.requirements(security), security.present()
		for _, template := range slices.Sorted(maps.Keys(c.model.Paths.Map())) {
			operations = append(operations, c.path(template, c.model.Paths.Value(template), tree)...)
		}
		if len(operations) == 0 && len(c.problems) == 0 {
			c.fault(c.root.member("paths"), "describes no operation", "name the document that describes the API")
		}
		c.unusedRules()
	}
	// A document-wide rule says the same of every operation that it does not fit.
	slices.SortFunc(c.problems, func(a, b authz.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.What, b.What))
	})
	return operations, slices.Compact(c.problems)
}

func (c *compiler) path(template string, item *openapi3.PathItem, tree *node) []described {
	at := c.root.member("paths").member(template)
	segments, err := parseTemplate(template)
	if err != nil {
		c.fault(at, err.Error(), "correct the path")
		return nil
	}
	if _, reference := entry(at.node, "$ref"); reference != nil && len(at.node.Content) > 2 {
		c.fault(at, "has fields beside $ref, which readers combine differently", "keep either")
	}
	found, err := tree.insert(template, segments)
	if err != nil {
		c.fault(at, err.Error(), "keep one of the two")
		return nil
	}
	var operations []described
	declared := item.Operations()
	for _, method := range slices.Sorted(maps.Keys(declared)) {
		operation := c.operation(at.member(strings.ToLower(method)), method, template, segments, item, declared[method])
		found.operations[method] = operation.Operation
		operations = append(operations, operation)
	}
	return operations
}

func (c *compiler) operation(at place, method, template string, segments []segment, item *openapi3.PathItem, declared *openapi3.Operation) described {
	operation := &authz.Operation{ID: declared.OperationID, API: c.api.Name, Audiences: c.api.Audiences, Method: method, Path: template}
	if !slices.Contains(methods, strings.ToLower(method)) || !at.present() {
		c.fault(at, "is not a method of OpenAPI 3.0 and 3.1", "write it as one of "+strings.Join(methods, ", "))
		return described{Operation: operation}
	}
	if _, reference := entry(at.node, "$ref"); reference != nil {
		c.fault(at, "is a reference, which an operation cannot be (OpenAPI 3.1 §4.8.10)", "write the operation out")
	}
	c.identify(at.member("operationId"), declared.OperationID)
	operation.Security = c.securityOf(at)
	inputs := c.inputs(at, segments, item, declared)
	unnamed := c.extend(at, operation, inputs)
	return described{operation, reading{hasBody: inputs.hasBody, mediaTypes: inputs.mediaTypes, unnamed: unnamed}}
}

func (c *compiler) identify(at place, id string) {
	first, twice := c.ids[id]
	switch {
	case strings.TrimSpace(id) == "":
		c.fault(at, "is missing", "name the operation: records, policies and rules say it")
	case twice:
		c.fault(at, fmt.Sprintf("%q is another operation's, too (line %d)", id, first.line), "give each operation an id of its own")
	default:
		c.ids[id] = at
	}
}

// inputs are what an operation declares that it reads.
type inputs struct {
	parameters []*openapi3.Parameter
	// hasBody is whether it declares a body, and mediaTypes are those that the body
	// may have, in lower case and without parameters.
	hasBody    bool
	mediaTypes []string
}

// inputs collects the parameters, the operation's before those of its path
// (OpenAPI 3.1 §4.8.10), and checks that they and the template agree: a rule
// finds a parameter by what is declared.
func (c *compiler) inputs(at place, segments []segment, item *openapi3.PathItem, declared *openapi3.Operation) inputs {
	var in inputs
	for _, parameter := range slices.Concat(declared.Parameters, item.Parameters) {
		p := parameter.Value
		if p == nil || in.find(authz.Location(p.In), p.Name) != nil {
			continue
		}
		in.parameters = append(in.parameters, p)
	}
	var names []string
	for _, s := range segments {
		if s.name == "" {
			continue
		}
		names = append(names, s.name)
		if in.find(authz.InPath, s.name) == nil {
			c.fault(at, fmt.Sprintf("does not declare the parameter %q of its path", s.name), "add it to parameters, with in: path")
		}
	}
	for _, p := range in.parameters {
		if p.In == string(authz.InPath) && !slices.Contains(names, p.Name) {
			c.fault(at, fmt.Sprintf("declares the path parameter %q, which its path does not have", p.Name), authz.Suggest(p.Name, names))
		}
	}
	if declared.RequestBody != nil && declared.RequestBody.Value != nil {
		in.hasBody = true
		for mediaType := range declared.RequestBody.Value.Content {
			name, _, _ := strings.Cut(mediaType, ";")
			in.mediaTypes = append(in.mediaTypes, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	return in
}

// find is the parameter of that name and location, nil where there is none.
func (in inputs) find(location authz.Location, name string) *openapi3.Parameter {
	for _, p := range in.parameters {
		if p.In == string(location) && (p.Name == name || location == authz.InHeader && strings.EqualFold(p.Name, name)) {
			return p
		}
	}
	return nil
}

// names are those of the parameters in a location.
func (in inputs) names(location authz.Location) []string {
	var names []string
	for _, p := range in.parameters {
		if p.In == string(location) {
			names = append(names, p.Name)
		}
	}
	return names
}
