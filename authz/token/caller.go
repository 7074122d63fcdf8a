package token

import (
	"slices"

	"github.com/countersign-io/countersign/authz"
)

// kinds tells an issuer's callers apart: all are of one kind, or a claim says which.
type kinds struct {
	all    authz.Kind
	claim  string
	values map[string]authz.Kind
}

// caller reads who calls. Roles, scopes and the like are the token's word only;
// headers are never asked.
func (r *reader) caller(issuer *issuer) authz.Caller {
	subject, client := r.text("sub"), r.text("client_id")
	return authz.Caller{
		Kind:    r.kind(issuer.kinds, subject == client),
		Issuer:  issuer.name,
		Subject: authz.Subject(subject),
		Client:  authz.ClientID(client),
		Tenant:  authz.Tenant(r.mapped(issuer.names.Tenant)),
		Roles:   r.roles(issuer.names.Roles),
		Scopes:  r.scopes(issuer),
		Actor:   r.actor(),
		Region:  r.mapped(issuer.names.Region),
		Consent: authz.ConsentID(r.mapped(issuer.names.Consent)),
	}
}

// kind is the caller's. A token whose subject is its client is the client's own,
// whatever else it says (RFC 9068 §5): the subject must not be taken for a customer.
func (r *reader) kind(kinds kinds, itself bool) authz.Kind {
	switch {
	case itself:
		return authz.Client
	case kinds.claim == "":
		return kinds.all
	}
	value, _ := r.claims[kinds.claim].(string)
	kind, known := kinds.values[value]
	if !known {
		r.fault(kinds.claim, "names no kind of caller")
	}
	return kind
}

// mapped is a claim under an issuer's own name for it, or "" where there is none.
func (r *reader) mapped(name string) string {
	if name == "" {
		return ""
	}
	return r.text(name)
}

// roles are an array of strings or a space-delimited string.
func (r *reader) roles(name string) []string {
	if name == "" {
		return nil
	}
	var roles []string
	if _, ok := r.claims[name].(string); ok {
		roles = r.words(name)
	} else {
		roles = r.array(name)
	}
	if slices.ContainsFunc(roles, func(role string) bool { return !isText(role) }) {
		r.fault(name, "holds what is not 1 to 256 printable ASCII characters")
	}
	return roles
}

// scopes are those of scope, one string (RFC 9068 §2.2.3), or, of an issuer that is known
// to have none, of an array scp.
func (r *reader) scopes(issuer *issuer) []string {
	name, scopes := "scope", r.words("scope")
	if _, there := r.claims["scope"]; !there && issuer.scopeArray {
		name, scopes = "scp", r.array("scp")
	}
	if slices.ContainsFunc(scopes, func(scope string) bool { return !isScope(scope) }) {
		r.fault(name, "is malformed")
	}
	return scopes
}

// isScope reports a scope-token: 1*( %x21 / %x23-5B / %x5D-7E ) (RFC 6749 §3.3).
func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// maxActors bounds who acts for whom: the actor, and those before it.
const maxActors = 4

// actor is the subject of the outermost act; those nested in it are history, and all
// else that it holds (exp, aud and the like) says nothing here (RFC 8693 §4.1). may_act
// is for the authorization server (§4.4), and is not read.
func (r *reader) actor() authz.Subject {
	value, there := r.claims["act"]
	if !there {
		return ""
	}
	act, _ := value.(map[string]any)
	subject, ok := act["sub"].(string)
	if !ok || !isText(subject) {
		r.fault("act", "names no subject")
	}
	r.history(act)
	return authz.Subject(subject)
}

// history bounds what is nested in an act, of which nothing is used.
func (r *reader) history(act map[string]any) {
	for range maxActors {
		earlier, there := act["act"]
		if !there {
			return
		}
		nested, ok := earlier.(map[string]any)
		if !ok {
			r.fault("act", "holds an act that is no object")
		}
		act = nested
	}
	r.fault("act", "names too many actors")
}
