package explain

import (
	"errors"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// telling puts what was kept of one check into words.
type telling struct {
	calls    [stepCount]call
	known    time.Time
	decision *authz.Decision
	facts    *authz.Facts
	hidden   credentials
	said     Said
	// refusing is where the check ended.
	refusing place
}

// place is where a step stands in what is told: all steps, those that are no
// interface among them.
type place uint8

const (
	atPath place = iota
	atOperation
	atCertificate
	atToken
	atRevocation
	atScopes
	atObjects
	atConsent
	atOwnership
	atRegion
	atPolicy
	// nowhere is where an allowed request was refused.
	nowhere
)

// names are the steps as they are told.
var names = [...]string{
	atPath: "path", atOperation: "operation", atCertificate: "certificate", atToken: "token", atRevocation: "revocation", atScopes: "scopes",
	atObjects: "objects", atConsent: "consent", atOwnership: "ownership", atRegion: "region", atPolicy: "policy",
}

func (t *telling) explanation() *Explanation {
	t.refusing = t.refusedAt()
	request := &words{hidden: t.hidden}
	t.request(request)
	e := &Explanation{Decision: *t.decision, Time: t.facts.Time, Request: request.facts, Check: t.check(), Facts: t.facts, hidden: t.hidden}
	for at, tell := range [...]func(*words){
		atPath: t.path, atOperation: t.operation, atCertificate: t.certificate, atToken: t.token, atRevocation: t.revocation, atScopes: t.scopes,
		atObjects: t.objects, atConsent: t.consent, atOwnership: t.ownership, atRegion: t.region, atPolicy: t.policy,
	} {
		e.Steps = append(e.Steps, t.step(place(at), tell))
	}
	return e
}

func (t *telling) step(at place, tell func(*words)) Step {
	step := Step{Name: names[at], Outcome: t.outcome(at)}
	said := &words{hidden: t.hidden}
	switch step.Outcome {
	case NotReached:
		return step
	case Refused:
		said.reason(t.decision.Code(), meaning(t.decision.Reason), t.decision.Detail)
	case Failed: // the operation: of the others none goes on after a fault
		unknown := t.calls[matching].err
		reason := authz.ReasonOf(unknown)
		said.reason(reason.String(), meaning(reason), unknown.Error())
	}
	tell(said)
	step.Facts = said.facts
	return step
}

// meaning is the reason in a sentence; "" where it is the policy's, whose code says more.
func meaning(reason authz.Reason) string {
	if reason == authz.PolicyDenied {
		return ""
	}
	return reason.Title()
}

// refusedAt finds the step that ended the check, which is the last that was taken, in
// the pipeline's order. The path and the scopes are no interface that could be wrapped:
// they refused where the step after them was not begun. So is what the contract asks of
// the certificate, which has reasons of its own.
func (t *telling) refusedAt() place {
	unknown := t.calls[matching].err
	switch {
	case t.decision.Allowed:
		return nowhere
	case !t.calls[matching].begun:
		return atPath
	case !t.calls[matching].ended || errors.Is(unknown, authz.NoContract):
		return atOperation
	case t.calls[reading].faulty():
		return atCertificate
	case t.calls[verifying].faulty() && !t.forgiven():
		return atToken
	case t.decision.Reason == authz.ClientAddress: // the token is good, from elsewhere
		return atToken
	case t.revoked():
		return atRevocation
	case unknown != nil:
		return atOperation
	case t.lacksRole():
		return atCertificate
	case !t.calls[inspecting].begun:
		return atScopes
	case t.calls[inspecting].faulty():
		return atObjects
	case t.calls[consenting].faulty():
		return atConsent
	case !t.calls[deciding].begun:
		return atOwnership
	}
	return atPolicy
}

// lacksRole reports a certificate that could be read, and is not what the contract asks
// for: that was found after the token.
func (t *telling) lacksRole() bool {
	switch t.decision.Reason {
	case authz.CertificateRequired, authz.CertificateExpired, authz.CertificateRole:
		return true
	}
	return false
}

// revoked reports a token that was refused because it is revoked, or because that cannot
// be known.
func (t *telling) revoked() bool {
	return t.decision.Reason == authz.TokenRevoked || t.decision.Reason == authz.RevocationsUnavailable ||
		t.calls[revoking].begun && !t.calls[revoking].ended
}

// forgiven reports that no token was sent, and that the operation takes none: had it
// not been forgiven, it would be the decision's reason.
func (t *telling) forgiven() bool {
	return errors.Is(t.calls[verifying].err, authz.NoCredentials) && t.decision.Reason != authz.NoCredentials
}

func (t *telling) outcome(at place) Outcome {
	switch {
	case at == t.refusing:
		return Refused
	case !t.reached(at):
		return NotReached
	case at == atOperation && t.calls[matching].err != nil:
		return Failed
	case at == atRevocation && !t.calls[revoking].begun, at == atConsent && !t.calls[consenting].begun, at == atOwnership && !t.calls[owning].begun:
		return NotAsked
	}
	return Passed
}

// reached reports a step that was taken. Owners are looked up beside the consent, but
// what they are is not waited for where that fails.
func (t *telling) reached(at place) bool {
	switch at {
	case atPath, atOperation:
		return at == atPath || t.calls[matching].begun
	case atCertificate:
		return t.calls[reading].begun
	case atToken:
		return t.calls[verifying].begun
	case atRevocation:
		return t.calls[verifying].begun && t.refusing != atToken
	case atScopes, atObjects:
		return t.calls[inspecting].begun
	case atConsent:
		return t.calls[inspecting].begun && !t.calls[inspecting].faulty()
	case atOwnership:
		return t.reached(atConsent) && !t.calls[consenting].faulty()
	}
	return t.calls[deciding].begun
}

// words collects facts, without the request's credentials.
type words struct {
	hidden credentials
	facts  []Fact
}

// say adds a fact with the values that are not empty, if there is one.
func (w *words) say(name string, values ...string) {
	var said []string
	for _, value := range values {
		if value != "" {
			said = append(said, w.hidden.hide(value))
		}
	}
	if len(said) > 0 {
		w.facts = append(w.facts, Fact{Name: name, Values: said})
	}
}

// reason tells why. A code is of a form that can hide nothing, and stays as it is.
func (w *words) reason(code, meaning, detail string) {
	w.facts = append(w.facts, Fact{Name: "reason", Values: []string{code}})
	w.say("meaning", meaning)
	w.say("detail", detail)
}

// texts are values of a type of their own as what they are.
func texts[T ~string](values []T) []string {
	plain := make([]string, len(values))
	for i, value := range values {
		plain[i] = string(value)
	}
	return plain
}

// withoutQuery is a target as far as it can be told: a query can hold a token.
func withoutQuery(target string) string {
	if end := strings.IndexAny(target, "?#"); end >= 0 {
		return target[:end]
	}
	return target
}
