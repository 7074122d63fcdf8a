package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	yaml "go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// wideRule is a document-wide rule: every operation that declares the parameter
// names an object of the type.
type wideRule struct {
	at        place
	kind      authz.ObjectType
	parameter string
}

func (c *compiler) wideRules(at place) []wideRule {
	var rules []wideRule
	for _, item := range c.list(at.member("objects"), "a list of rules") {
		if !c.known(item, "type", "parameter") {
			continue
		}
		kind, parameter := c.objectType(item.member("type")), c.needed(item.member("parameter"))
		if kind != "" && parameter != "" {
			rules = append(rules, wideRule{at: item, kind: kind, parameter: parameter})
		}
	}
	return rules
}

// applyWide are the document-wide rules for an operation. One parameter name in
// two locations is two rules.
func (c *compiler) applyWide(in inputs) []authz.ObjectRule {
	var rules []authz.ObjectRule
	for _, wide := range c.wide {
		for _, location := range []authz.Location{authz.InPath, authz.InQuery, authz.InHeader} {
			if p := in.find(location, wide.parameter); p != nil {
				c.used[wide.at] = true
				rules = append(rules, c.parameterRule(wide.at.member("parameter"), wide.kind, p))
			}
		}
		if in.find("cookie", wide.parameter) != nil {
			c.used[wide.at] = true
			c.fault(wide.at.member("parameter"), fmt.Sprintf("%q is declared as a cookie, where objects are not read", wide.parameter), "name the object in path, query, header or body")
		}
	}
	return rules
}

// checkSpelling faults parameters that a document-wide rule misses only by how its
// name is written: what it was to protect is not protected.
func (c *compiler) checkSpelling(at place, operation *authz.Operation, in inputs) {
	for _, wide := range c.wide {
		for _, p := range in.parameters {
			covered := slices.ContainsFunc(operation.Objects, func(r authz.ObjectRule) bool {
				return r.In == authz.Location(p.In) && (r.Name == p.Name || r.In == authz.InHeader && strings.EqualFold(r.Name, p.Name))
			})
			if covered || p.Name == wide.parameter || !folds(p.Name, wide.parameter) {
				continue
			}
			c.used[wide.at] = true
			c.fault(at, fmt.Sprintf("declares %q, which the document-wide rule for %q does not cover", p.Name, wide.parameter),
				"spell both alike, or write objects: [] if it names no object")
		}
	}
}

// unnamed are the document-wide rules whose parameters are not in the operation's query.
func (c *compiler) unnamed(in inputs) []authz.ObjectRule {
	var rules []authz.ObjectRule
	for _, wide := range c.wide {
		if in.find(authz.InQuery, wide.parameter) == nil {
			rules = append(rules, authz.ObjectRule{Type: wide.kind, In: authz.InQuery, Name: wide.parameter})
		}
	}
	return rules
}

// unusedRules faults document-wide rules that no operation meets: what they were
// to protect is not protected.
func (c *compiler) unusedRules() {
	var names []string
	for _, rule := range c.wide {
		if c.used[rule.at] {
			continue
		}
		if names == nil {
			names = c.parameterNames()
		}
		c.fault(rule.at.member("parameter"), fmt.Sprintf("no operation that these rules are for declares %q", rule.parameter), authz.Suggest(rule.parameter, names))
	}
}

func (c *compiler) parameterNames() []string {
	var names []string
	for _, item := range c.model.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, p := range slices.Concat(operation.Parameters, item.Parameters) {
				if p.Value != nil && p.Value.In != "cookie" {
					names = append(names, p.Value.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// objectRules are an operation's own rules, nil where the list is absent or empty.
func (c *compiler) objectRules(at place, in inputs) []authz.ObjectRule {
	if at.present() && at.node.Kind != yaml.SequenceNode {
		c.fault(at, "is not a list of rules", "write [] to name no objects, or leave the key out")
	}
	var rules []authz.ObjectRule
	for _, item := range at.items() {
		if rule, ok := c.objectRule(item, in); ok && !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	return rules
}

func (c *compiler) objectRule(at place, in inputs) (authz.ObjectRule, bool) {
	if !c.known(at, "type", "in", "name", "pointer", "optional") {
		return authz.ObjectRule{}, false
	}
	kind := c.objectType(at.member("type"))
	switch location := authz.Location(c.needed(at.member("in"))); location {
	case "":
		return authz.ObjectRule{}, false
	case authz.InPath, authz.InQuery, authz.InHeader:
		return c.namedRule(at, kind, location, in)
	case authz.InBody:
		return c.bodyRule(at, kind, in)
	default:
		c.fault(at.member("in"), fmt.Sprintf("%q is not where objects are read", location), authz.Suggest(string(location), []string{"path", "query", "header", "body"}))
		return authz.ObjectRule{}, false
	}
}

// objectType is the name of a type. It has no colon: policies write "type:id".
func (c *compiler) objectType(at place) authz.ObjectType {
	kind := c.needed(at)
	if strings.ContainsFunc(kind, func(r rune) bool {
		return r != '-' && r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		c.fault(at, fmt.Sprintf("%q is no name of a type", kind), "use letters, digits, - and _")
		return ""
	}
	return authz.ObjectType(kind)
}

func (c *compiler) namedRule(at place, kind authz.ObjectType, location authz.Location, in inputs) (authz.ObjectRule, bool) {
	c.unused(at.member("pointer"), "is for in: body only", "give the parameter's name")
	c.unused(at.member("optional"), "is for in: body only", "whether a parameter may be absent is its own required")
	name := c.needed(at.member("name"))
	if name == "" {
		return authz.ObjectRule{}, false
	}
	p := in.find(location, name)
	if p == nil {
		c.fault(at.member("name"), fmt.Sprintf("the operation has no %s parameter %q", location, name), authz.Suggest(name, in.names(location)))
		return authz.ObjectRule{}, false
	}
	return c.parameterRule(at.member("name"), kind, p), true
}

func (c *compiler) bodyRule(at place, kind authz.ObjectType, in inputs) (authz.ObjectRule, bool) {
	c.unused(at.member("name"), "is for parameters only", "give a pointer into the body")
	pointer := c.needed(at.member("pointer"))
	if pointer == "" {
		return authz.ObjectRule{}, false
	}
	if !isPointer(pointer) {
		c.fault(at.member("pointer"), fmt.Sprintf("%q is not a JSON pointer", pointer), `write it as "/Data/Accounts/*/AccountId" (RFC 6901; * is every element of an array)`)
		return authz.ObjectRule{}, false
	}
	if !slices.ContainsFunc(in.mediaTypes, isJSON) {
		c.fault(at, "reads the body, and the operation declares no JSON body", "add application/json to its requestBody, or remove the rule")
	}
	return authz.ObjectRule{Type: kind, In: authz.InBody, Pointer: pointer, Optional: c.boolean(at.member("optional"))}, true
}

// parameterRule is the rule for a declared parameter. What it could be serialised
// as other than text or a list with commas is a fault: we would read another
// object than the upstream does.
func (c *compiler) parameterRule(at place, kind authz.ObjectType, p *openapi3.Parameter) authz.ObjectRule {
	location := authz.Location(p.In)
	rule := authz.ObjectRule{Type: kind, In: location, Name: p.Name, Optional: !p.Required && location != authz.InPath}
	style := "simple"
	if location == authz.InQuery {
		style = "form"
	}
	if location == authz.InHeader {
		rule.Name = strings.ToLower(p.Name)
	}
	shape := shapeOf(p.Schema, maxComposition)
	switch {
	case len(p.Content) > 0:
		c.fault(at, fmt.Sprintf("parameter %q has content, which objects are not read from", p.Name), "declare it with a schema")
	case p.Style != "" && p.Style != style:
		c.fault(at, fmt.Sprintf("parameter %q has style %s, which objects are not read from", p.Name, p.Style), "declare it with style "+style)
	case shape.object:
		c.fault(at, fmt.Sprintf("parameter %q may be an object", p.Name), "declare it as a string, an integer or an array of them")
	}
	explodes := location == authz.InQuery && (p.Explode == nil || *p.Explode)
	rule.List = shape.array && !explodes
	return rule
}

// maxComposition bounds how deep schemas are looked into; they may be recursive.
const maxComposition = 8

// shape is what values a schema allows, beside scalars.
type shape struct{ array, object bool }

func shapeOf(schema *openapi3.SchemaRef, depth int) shape {
	if schema == nil || schema.Value == nil || depth == 0 {
		return shape{}
	}
	s := shape{array: schema.Value.Type.Includes("array"), object: schema.Value.Type.Includes("object")}
	for _, part := range slices.Concat(schema.Value.AllOf, schema.Value.AnyOf, schema.Value.OneOf) {
		inner := shapeOf(part, depth-1)
		s.array, s.object = s.array || inner.array, s.object || inner.object
	}
	return s
}

// needed is a text that must be there.
func (c *compiler) needed(at place) string {
	if !at.present() {
		c.fault(at, "is missing", "add it")
	}
	return c.text(at)
}

func (c *compiler) unused(at place, what, fix string) {
	if at.present() {
		c.fault(at, what, fix)
	}
}
