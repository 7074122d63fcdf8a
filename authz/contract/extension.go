package contract

import (
	"fmt"
	"net/http"
	"slices"

	yaml "go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// extendAll reads the document's x-countersign, which may be absent.
func (c *compiler) extendAll(at place) {
	if !at.present() || !c.known(at, "objects", "certificate", "browsers", "revocation", "observe") {
		return
	}
	c.wide = c.wideRules(at)
	c.wideRoles = c.wideCertificate(at.member("certificate"))
	c.wideBrowsers = c.boolean(at.member("browsers"))
	c.wideRevocations = c.revocation(at.member("revocation"))
	c.wideObserve = c.observe(at.member("observe"))
}

// extend reads an operation's x-countersign, which may be absent, and gives the
// operation the document-wide rules that meet it. It returns the parameters of
// document-wide rules that requests of the operation must not have in their query.
func (c *compiler) extend(of place, operation *authz.Operation, in inputs) []authz.ObjectRule {
	at := of.member(extensionKey)
	objects := at.member("objects")
	operation.PSD2 = c.certificate(at.member("certificate"))
	operation.Browsers = c.wideBrowsers
	if browsers := at.member("browsers"); browsers.present() {
		operation.Browsers = c.boolean(browsers)
	}
	operation.RequireRevocations = c.wideRevocations
	if revocation := at.member("revocation"); revocation.present() {
		operation.RequireRevocations = c.revocation(revocation)
	}
	operation.Observe = c.wideObserve
	if observe := at.member("observe"); observe.present() {
		operation.Observe = c.observe(observe)
	}
	if at.present() {
		c.known(at, "objects", "consent", "permission", "grant", "certificate", "regions", "step_up", "limits", "stream", "authorization_details", "browsers", "revocation", "replay", "observe")
		operation.Consent = c.consent(at.member("consent"))
		operation.Permission = c.text(at.member("permission"))
		operation.Grant = c.grant(at.member("grant"), operation.Security)
		operation.Regions = c.texts(at.member("regions"))
		operation.StepUp = c.stepUp(at.member("step_up"))
		operation.Limits = c.limits(at.member("limits"), operation)
		operation.Stream = c.boolean(at.member("stream"))
		operation.Details = c.details(at.member("authorization_details"), operation)
		operation.BestEffort = c.replay(at.member("replay"), operation.Method)
		operation.Objects = c.objectRules(objects, in)
		c.checkStream(at.member("stream"), operation)
	}
	optsOut := objects.present() && objects.node.Kind == yaml.SequenceNode && len(objects.items()) == 0
	if optsOut {
		return nil
	}
	for _, rule := range c.applyWide(in) {
		if !slices.Contains(operation.Objects, rule) {
			operation.Objects = append(operation.Objects, rule)
		}
	}
	c.checkSpelling(of, operation, in)
	return c.unnamed(in)
}

// consent is a list of lists: of each inner one any permission suffices, and all
// must be met.
func (c *compiler) consent(at place) [][]string {
	var consent [][]string
	for _, item := range c.list(at, "a list of lists of permissions") {
		consent = append(consent, c.texts(item))
	}
	return consent
}

// certificate is what an operation asks of the client's certificate: its own, or, where
// it says nothing, the document's.
func (c *compiler) certificate(at place) [][]string {
	if !at.present() {
		return c.wideRoles
	}
	if !c.known(at, "psd2") {
		return nil
	}
	psd2 := at.member("psd2")
	if !psd2.present() {
		c.fault(at, "asks for nothing", "give psd2; psd2: [] asks for no certificate in so many words")
	}
	if psd2.present() && psd2.node.Kind == yaml.SequenceNode && len(psd2.items()) == 0 {
		return nil
	}
	return c.roles(psd2)
}

// wideCertificate is what the document asks of every client's certificate.
func (c *compiler) wideCertificate(at place) [][]string {
	if !at.present() || !c.known(at, "psd2") {
		return nil
	}
	if !at.member("psd2").present() {
		c.fault(at, "asks for nothing", "give psd2, or leave the key out")
	}
	return c.roles(at.member("psd2"))
}

// roles are a list of roles that must all be carried; one of them may be a list, of
// which any suffices.
func (c *compiler) roles(at place) [][]string {
	var roles [][]string
	for _, item := range c.list(at, "a list of roles") {
		anyOf := []place{item}
		if item.node.Kind == yaml.SequenceNode {
			anyOf = c.list(item, "a list of roles")
		}
		var names []string
		for _, name := range anyOf {
			names = append(names, c.role(name))
		}
		roles = append(roles, names)
	}
	return roles
}

func (c *compiler) role(at place) string {
	name := c.text(at)
	if name != "" && !slices.Contains(authz.PSD2Roles(), name) {
		c.fault(at, fmt.Sprintf("%q is no role of ETSI TS 119 495", name), authz.Suggest(name, authz.PSD2Roles()))
	}
	return name
}

func (c *compiler) grant(at place, security []authz.Requirement) authz.Grant {
	grant := authz.Grant(c.text(at))
	if grant == "" {
		return ""
	}
	if grant != authz.GrantScope {
		c.fault(at, fmt.Sprintf("%q is not a grant", grant), `write "scope", or remove it`)
		return ""
	}
	// A scope that is not asked for cannot grant: the operation would be open to
	// every token.
	unscoped := func(r authz.Requirement) bool { return len(r.Scopes) == 0 }
	if len(security) == 0 || slices.ContainsFunc(security, unscoped) {
		c.fault(at, "lets scopes grant an operation that can be called without any", "name a scope in every alternative of its security")
	}
	return grant
}

// revocation reports that revocations must be known as of now.
func (c *compiler) revocation(at place) bool {
	revocation := c.text(at)
	switch revocation {
	case "", "known":
	case "required":
		return true
	default:
		c.fault(at, fmt.Sprintf("%q does not say what must be known of revocations", revocation), `write "required", or "known", which takes what is known, however old`)
	}
	return false
}

// replay reports that requests which cannot be counted go on. Only those that are safe may.
func (c *compiler) replay(at place, method string) bool {
	replay := c.text(at)
	switch {
	case replay == "":
	case replay != "best_effort":
		c.fault(at, fmt.Sprintf("%q does not say what becomes of requests that cannot be counted", replay), `write "best_effort", or remove it: they are refused`)
	case method != http.MethodGet && method != http.MethodHead:
		c.fault(at, fmt.Sprintf("lets %s go on without knowing whether it was done before", method), "remove it: only get and head can do no harm twice")
	default:
		return true
	}
	return false
}

func (c *compiler) stepUp(at place) *authz.StepUp {
	if !at.present() || !c.known(at, "acr_values", "max_age") {
		return nil
	}
	stepUp := &authz.StepUp{ACRValues: c.texts(at.member("acr_values")), MaxAge: c.duration(at.member("max_age"))}
	if !at.member("acr_values").present() && !at.member("max_age").present() {
		c.fault(at, "asks for nothing", "give acr_values, max_age or both")
	}
	return stepUp
}

func (c *compiler) checkStream(at place, operation *authz.Operation) {
	if operation.Stream && readsBody(operation) {
		c.fault(at, "turns body checks off, and a rule reads the body", "remove either")
	}
}
