package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	yaml "go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// checkSecurity faults what is not a list of security requirements, each of them a
// mapping of schemes to lists of scopes: what is left blank must not be taken for
// what is said to be empty.
func (d *document) checkSecurity(list place) {
	if list.node.Kind != yaml.SequenceNode {
		d.fault(list, "is not a list", "say security: [] if it is public")
	}
	for _, requirement := range list.items() {
		if requirement.node.Kind != yaml.MappingNode {
			d.fault(requirement, "is not a security requirement", "write {scheme: [scopes]}")
		}
		for _, name := range requirement.names() {
			scheme := requirement.member(name)
			if scheme.node.Kind != yaml.SequenceNode {
				d.fault(scheme, "is not a list of scopes", "write [] where no scope is needed")
			}
			for _, scope := range scheme.items() {
				d.text(scope)
			}
		}
	}
}

// checkSecurities does so for the document and all its operations.
func (d *document) checkSecurities() {
	lists := []place{d.root.member("security")}
	paths := d.root.member("paths")
	for _, template := range paths.names() {
		for _, method := range methods {
			lists = append(lists, paths.member(template).member(method).member("security"))
		}
	}
	for _, list := range lists {
		if list.present() {
			d.checkSecurity(list)
		}
	}
}

// securityOf is the operation's security, or the document's where it has none of
// its own. An operation that has neither is a fault: public must be said.
func (c *compiler) securityOf(operation place) []authz.Requirement {
	own := operation.member("security")
	if own.present() {
		return c.requirements(own)
	}
	if !c.secured {
		c.fault(own, "is missing, here and in the document", "add the schemes and scopes; say security: [] if it is public")
	}
	return c.security
}

// requirements reads a security list (OpenAPI 3.1 §4.8.30): any one of it suffices,
// and an empty one means public. An absent list has none.
func (c *compiler) requirements(list place) []authz.Requirement {
	if list.present() {
		c.checkSecurity(list)
	}
	var requirements []authz.Requirement
	for _, item := range list.items() {
		requirements = append(requirements, c.requirement(item))
	}
	return requirements
}

// requirement is one alternative. Where it names several schemes, one token must
// do for all of them: scopes add up, and kinds are those that every scheme allows.
func (c *compiler) requirement(at place) authz.Requirement {
	requirement := authz.Requirement{Anonymous: len(at.names()) == 0}
	for _, name := range at.names() {
		scheme := at.member(name)
		kinds, ok := c.kinds(scheme, name)
		if !ok {
			continue
		}
		requirement.Kinds = intersect(requirement.Kinds, kinds)
		if requirement.Kinds != nil && len(requirement.Kinds) == 0 {
			c.fault(scheme, "asks for a kind of caller that the schemes beside it exclude", "make alternatives of them")
		}
		for _, scope := range scheme.items() {
			if !slices.Contains(requirement.Scopes, scope.value()) {
				requirement.Scopes = append(requirement.Scopes, scope.value())
			}
		}
	}
	return requirement
}

// kinds are those that a scheme's flows can issue tokens to, nil where it does not
// tell. A scheme that carries no token is refused, mutualTLS beside a token too:
// a requirement that is written down and not enforced would be believed.
func (c *compiler) kinds(at place, name string) ([]authz.Kind, bool) {
	scheme := c.scheme(name)
	if scheme == nil {
		c.fault(at, fmt.Sprintf("names the scheme %q, which the document does not have", name), authz.Suggest(name, c.schemeNames()))
		return nil, false
	}
	switch {
	case scheme.Type == "oauth2":
		return flowKinds(scheme.Flows), true
	case scheme.Type == "openIdConnect", scheme.Type == "http" && strings.EqualFold(scheme.Scheme, "bearer"):
		return nil, true
	case scheme.Type == "mutualTLS":
		c.fault(at, fmt.Sprintf("scheme %q is mutualTLS, which carries no access token", name), "remove it here: a token that is bound to a certificate (RFC 8705) is always held to it")
	default:
		c.fault(at, fmt.Sprintf("scheme %q (%s) carries no access token", name, strings.TrimSpace(scheme.Type+" "+scheme.Scheme)),
			"use an oauth2, openIdConnect or http bearer scheme, or leave the operation out of the contract")
	}
	return nil, false
}

func (c *compiler) scheme(name string) *openapi3.SecurityScheme {
	if c.model.Components == nil || c.model.Components.SecuritySchemes[name] == nil {
		return nil
	}
	return c.model.Components.SecuritySchemes[name].Value
}

func (c *compiler) schemeNames() []string {
	return c.root.member("components").member("securitySchemes").names()
}

// flowKinds tells callers apart by how they get a token: clients by themselves with
// client credentials, people by every other flow.
func flowKinds(flows *openapi3.OAuthFlows) []authz.Kind {
	if flows == nil {
		return nil
	}
	for name := range flows.Extensions {
		if !strings.HasPrefix(name, "x-") {
			return nil
		}
	}
	people := flows.AuthorizationCode != nil || flows.Implicit != nil || flows.Password != nil
	clients := flows.ClientCredentials != nil
	switch {
	case clients && !people:
		return []authz.Kind{authz.Client}
	case people && !clients:
		return []authz.Kind{authz.Customer, authz.Staff}
	}
	return nil
}

// intersect takes nil for every kind.
func intersect(a, b []authz.Kind) []authz.Kind {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	common := []authz.Kind{}
	for _, kind := range a {
		if slices.Contains(b, kind) {
			common = append(common, kind)
		}
	}
	return common
}
