package explain

import (
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Check is what a step looked at and asked for where it refused.
type Check struct {
	// Step is where it stands, Section the standard that asks for it or the key of a
	// configuration or contract, and Looked what of the request it reads.
	Step, Section, Looked string
	// Expects holds where it is passed, and Change is what there is to do.
	Expects, Change string
	// Saw is what it found, and nothing of a credential.
	Saw []Fact
}

// Advice that several checks share.
const (
	seeStore  = "nothing for the client, who may try again: see why the store does not answer"
	seeRecord = "nothing for the client: the detail says what went wrong"
	fewer     = "ask for less in one request"
)

// native are the checks that Countersign makes beside those of a token, by reason.
var native = map[authz.Reason]Check{
	authz.Internal:         {Section: "-", Looked: "the step itself", Expects: "it comes to an end without a fault of ours", Change: seeRecord},
	authz.RequestTooLarge:  {Step: "path", Section: "RFC 9110 §15.5.14", Looked: "path and query", Expects: "they have at most 8 KiB and 64 segments", Change: fewer},
	authz.PathNotCanonical: {Step: "path", Section: "RFC 3986 §6.2.2", Looked: "the path", Expects: "it has one meaning: no dot segments, //, ; or encoded slash", Change: "send the path as the contract writes it, and have Envoy normalize paths"},
	authz.QueryMalformed:   {Step: "path", Section: "RFC 3986 §3.4", Looked: "the query", Expects: "it can be decoded, to UTF-8", Change: "percent-encode the query"},
	authz.NoContract:       {Step: "operation", Section: "apis", Looked: "context_extensions countersign.api of Envoy's route", Expects: "it names an API that is configured", Change: "name one of apis[] at the route"},
	authz.UnknownPath:      {Step: "operation", Section: "OpenAPI paths", Looked: "the path", Expects: "the contract documents it, to the letter", Change: "call what the contract has, or document the path"},
	authz.UnknownMethod:    {Step: "operation", Section: "RFC 9110 §15.5.6", Looked: "the method", Expects: "the contract documents it for this path", Change: "call one of the known methods, or document this one"},

	authz.CertificateRequired: {Step: "certificate", Section: "x-countersign certificate", Looked: "the client certificate", Expects: "there is one", Change: "connect with the client certificate"},
	authz.CertificateExpired:  {Step: "certificate", Section: "RFC 5280 §4.1.2.5", Looked: "the client certificate's validity", Expects: "the request comes between its two ends", Change: "renew the certificate, and get a token for it"},
	authz.CertificateRole:     {Step: "certificate", Section: "ETSI TS 119 495 §5.1", Looked: "the PSD2 statement of the client certificate", Expects: "it has the roles that the operation needs", Change: "connect with a certificate that was issued for the role"},

	authz.RevocationsUnavailable: {Step: "revocation", Section: "x-countersign revocation", Looked: "what is known of revocations", Expects: "it is known of late, where the operation requires it", Change: seeStore},
	authz.CallerKind:             {Step: "scopes", Section: "OpenAPI security", Looked: "the kind of caller that the token was issued to", Expects: "it is one that the operation is for", Change: "have a token issued to the kind of caller that the operation is for"},
	authz.InsufficientScope:      {Step: "scopes", Section: "RFC 6750 §3.1", Looked: "scope of the token", Expects: "it has all scopes of one of the contract's alternatives", Change: "ask for a token with the scopes that are needed"},
	authz.AuthorizationDetails:   {Step: "scopes", Section: "RFC 9396 §9.1", Looked: "authorization_details of the token", Expects: "one element has all that the operation asks for", Change: "ask for a token that authorizes this"},

	authz.ContentType:          {Step: "objects", Section: "RFC 9110 §15.5.16", Looked: "Content-Type", Expects: "it is one that the operation declares, in UTF-8 and not encoded", Change: "send what the contract declares"},
	authz.BodyTruncated:        {Step: "objects", Section: "RFC 9110 §15.5.14", Looked: "Content-Length, and what Envoy sent of the body", Expects: "all of the body is there", Change: "send a smaller body with its length, or have Envoy send more (with_request_body)"},
	authz.BodyMalformed:        {Step: "objects", Section: "RFC 8259", Looked: "the body", Expects: "it is one JSON value, and no name stands twice", Change: "send well-formed JSON"},
	authz.ObjectMissing:        {Step: "objects", Section: "x-countersign objects", Looked: "where the contract says that the object stands", Expects: "it is named there", Change: "name what the request is about"},
	authz.ObjectMalformed:      {Step: "objects", Section: "x-countersign objects", Looked: "where the contract says that the object stands", Expects: "it is named once, in one way", Change: "name it once, as the contract has it"},
	authz.TooManyObjects:       {Step: "objects", Section: "x-countersign objects", Looked: "the objects that the request names", Expects: "there are not too many", Change: fewer},
	authz.ConsentUnavailable:   {Step: "consent", Section: "consent", Looked: "the store of consents", Expects: "it answers", Change: seeStore},
	authz.OwnershipUnavailable: {Step: "ownership", Section: "ownership", Looked: "the store of owners", Expects: "it answers", Change: seeStore},
	authz.PolicyError:          {Step: "policy", Section: "policy", Looked: "the policy", Expects: "it comes to a decision that can be used", Change: "correct the rule; countersign test FOLDER runs the tests beside the policy, of whichever configuration"},

	authz.DeadlineExceeded:  {Section: "timeout", Looked: "the clock", Expects: "the check ends in its time", Change: seeStore},
	authz.PolicyUnavailable: {Section: "policy.bundles", Looked: "the bundles that are the policy", Expects: "one set of them was downloaded and is right, now or earlier", Change: "nothing for the client, who may try again: see the bundle server, and countersign status"},
	authz.NotRecorded:       {Section: "audit", Looked: "the record", Expects: "it is on disk before the answer", Change: "nothing for the client, who may try again: see the disk"},
	authz.Overloaded:        {Section: "max_concurrent_checks", Looked: "how many checks run at once", Expects: "there is room for one more", Change: "try again later; where it is so often, allow more, or start another process"},
	authz.LimitReached:      {Step: "policy", Section: "RFC 6585 §4", Looked: "what was counted of the caller", Expects: "each limit has something left", Change: "wait as long as Retry-After says"},
	authz.LimitsUnavailable: {Step: "policy", Section: "replay", Looked: "the store of limits", Expects: "it answers", Change: seeStore},
}

// CheckOf is the check that gives a reason; false for those of a token, which package
// checks has, and where the policy decides.
func CheckOf(reason authz.Reason) (Check, bool) {
	check, known := native[reason]
	return check, known
}

// check is what refused, or nil where that is the policy's word.
func (t *telling) check() *Check {
	if t.refusing == nowhere || t.refusing == atPolicy && t.decision.Reason != authz.PolicyError && !t.late() {
		return nil
	}
	check, _ := CheckOf(t.decision.Reason)
	check.Step = names[t.refusing]
	if check.Looked == "" {
		check.Looked = lookedAt(t.refusing, t.decision.Reason)
	}
	saw := &words{hidden: t.hidden}
	t.saw(saw)
	check.Saw = saw.facts
	return &check
}

// late reports a verdict that stands and was not taken.
func (t *telling) late() bool {
	return t.decision.Reason != authz.PolicyDenied && t.decision.Reason != authz.StepUpRequired
}

// lookedAt is what the checks of a token read.
func lookedAt(at place, reason authz.Reason) string {
	switch {
	case at == atCertificate:
		return "the client certificate, as Envoy forwards it"
	case at == atRevocation:
		return "what is revoked"
	case reason == authz.ClientAddress:
		return "the client's address"
	case reason >= authz.ProofMissing && reason <= authz.ReplaysUnavailable:
		return "the proof in the DPoP header"
	}
	return "the token in the Authorization header"
}

// saw tells the values that the reason is about.
func (t *telling) saw(w *words) {
	switch t.refusing {
	case atPath:
		w.say("path", withoutQuery(t.facts.Request.Target))
	case atOperation:
		w.say("api", string(t.facts.Request.API))
		w.say("request", strings.TrimSpace(t.facts.Request.Method+" "+withoutQuery(t.facts.Request.Target)))
		w.say("known methods", t.facts.Match.Allowed...)
	case atCertificate:
		t.sawCertificate(w)
	case atToken:
		t.sawToken(w)
	case atScopes:
		t.scopes(w)
	case atObjects:
		t.sawBody(w)
	}
}

// claimsOf are what of a token a reason is about. Of the others its detail says all.
var claimsOf = map[authz.Reason][]string{
	authz.TokenType: {"typ"}, authz.TokenAlgorithm: {"alg"}, authz.TokenIssuer: {"iss"}, authz.TokenKey: {"iss", "kid"},
	authz.TokenSignature: {"iss", "kid"}, authz.KeysUnavailable: {"iss"}, authz.TokenAudience: {"aud"},
	authz.TokenExpired: {"exp"}, authz.TokenNotYetValid: {"nbf", "iat"}, authz.TokenLifetime: {"iat", "exp"}, authz.TokenAge: {"iat"},
	authz.CertificateMissing: {"x5t#S256"}, authz.CertificateMismatch: {"x5t#S256"}, authz.ProofKey: {"jkt"},
}

func (t *telling) sawToken(w *words) {
	said := &words{hidden: w.hidden}
	t.unverified(said)
	for _, name := range claimsOf[t.decision.Reason] {
		for _, fact := range said.facts {
			if fact.Name == "unverified "+name {
				w.facts = append(w.facts, Fact{Name: name, Values: fact.Values})
			}
		}
	}
	switch operation := t.facts.Match.Operation; {
	case t.decision.Reason == authz.ClientAddress:
		w.say("address", t.facts.Request.Address)
		w.say("expected", networks(t.facts.Token)...)
	case t.decision.Reason == authz.TokenAudience && operation != nil:
		w.say("expected", operation.Audiences...)
	case t.decision.Reason == authz.CertificateMismatch && t.facts.Certificate != nil:
		w.say("presented", thumbprint(t.facts.Certificate))
	}
}

// sawCertificate tells what is needed of a certificate that could be read, and what it has.
func (t *telling) sawCertificate(w *words) {
	if !t.lacksRole() {
		return
	}
	said := &words{hidden: w.hidden}
	t.certificate(said)
	for _, fact := range said.facts {
		switch fact.Name {
		case "needs", "certificate", "identity", "valid from", "valid until", "doubt", "psd2 roles":
			w.facts = append(w.facts, fact)
		}
	}
}

func (t *telling) sawBody(w *words) {
	r := t.facts.Request
	for _, name := range []string{"content-type", "content-length"} {
		value, _ := r.Headers.Value(name)
		w.say(name, value)
	}
	if len(r.Body) > 0 {
		w.say("body", strconv.Itoa(len(r.Body))+" bytes")
	}
}
