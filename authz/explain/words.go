package explain

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

func (t *telling) request(w *words) {
	r := t.facts.Request
	w.say("request", strings.TrimSpace(r.Method+" "+withoutQuery(r.Target)))
	w.say("host", r.Host)
	w.say("client's address", r.Address)
}

func (t *telling) path(w *words) {
	if t.refusing == atPath {
		return // what was asked for stands above, and cannot be read in one way only
	}
	w.say("path", t.facts.Target.Path)
	w.say("query names", slices.Sorted(maps.Keys(t.facts.Target.Query))...)
}

func (t *telling) operation(w *words) {
	match := t.facts.Match
	w.say("api", string(match.API))
	w.say("known methods", match.Allowed...)
	operation := match.Operation
	if operation == nil {
		return
	}
	w.say("id", operation.ID)
	w.say("template", operation.Method+" "+operation.Path)
	w.say("parameters", slices.Sorted(maps.Keys(match.Parameters))...)
	w.say("permission", operation.Permission)
	w.say("grant", string(operation.Grant))
	w.say("step up", asked(operation.StepUp)...)
	for _, rule := range operation.Limits {
		w.say("limit", fmt.Sprintf("%d in %s per %s", rule.Max, rule.Window, rule.Per))
	}
}

// asked is what is asked of the user's authentication.
func asked(s *authz.StepUp) []string {
	if s == nil {
		return nil
	}
	values := []string{strings.Join(s.ACRValues, " or ")}
	if s.MaxAge > 0 {
		values = append(values, "at most "+s.MaxAge.String()+" ago")
	}
	return values
}

func (t *telling) certificate(w *words) {
	if operation := t.facts.Match.Operation; operation != nil {
		for _, anyOf := range operation.PSD2 {
			w.say("needs", strings.Join(anyOf, " or "))
		}
	}
	certificate := t.facts.Certificate
	switch {
	case t.refusing == atCertificate && !t.lacksRole():
		return
	case certificate == nil:
		w.say("certificate", "none was presented")
		return
	}
	w.say("thumbprint", thumbprint(certificate))
	if certificate.Identity == nil {
		w.say("identity", "not known: only the thumbprint was forwarded")
		return
	}
	t.identity(w, certificate.Identity)
}

func thumbprint(c *authz.Certificate) string {
	return base64.RawURLEncoding.EncodeToString(c.Thumbprint[:])
}

func (t *telling) identity(w *words, i *authz.Identity) {
	w.say("subject", i.Subject)
	w.say("uris", i.URIs...)
	w.say("dns", i.DNS...)
	if i.NotBefore.After(t.facts.Time) {
		w.say("valid from", t.when(i.NotBefore)...)
	}
	w.say("valid until", t.when(i.NotAfter)...)
	w.say("doubt", i.Doubt)
	if i.PSD2 != nil {
		w.say("psd2 roles", i.PSD2.Roles...)
		w.say("psd2 by", i.PSD2.Authority)
		w.say("psd2 id", i.PSD2.ID)
	}
}

func (t *telling) token(w *words) {
	token := t.facts.Token
	switch {
	case t.refusing == atToken && token == nil:
		t.unverified(w)
		return
	case token == nil:
		w.say("token", "none was sent; none is needed")
		return
	}
	caller := token.Caller
	w.say("issuer", token.Issuer)
	w.say("kind", caller.Kind.String())
	w.say("subject", string(caller.Subject))
	w.say("actor", string(caller.Actor))
	w.say("client", string(caller.Client))
	w.say("tenant", string(caller.Tenant))
	w.say("roles", caller.Roles...)
	w.say("scopes", caller.Scopes...)
	w.say("consent", string(caller.Consent))
	w.say("binding", bindings(token)...)
	for _, detail := range token.Details {
		w.say("authorizes", authorized(detail)...)
	}
	w.say("authenticated", t.when(token.AuthTime)...)
	w.say("acr", token.ACR)
	w.say("amr", token.AMR...)
	w.say("expires", t.when(token.ExpiresAt)...)
	w.say("environment", token.Environment)
	w.say("good from", networks(token)...)
}

func networks(token *authz.Token) []string {
	names := make([]string, len(token.Addresses))
	for i, network := range token.Addresses {
		names[i] = network.String()
	}
	return names
}

// authorized is an element of the token's authorization details, as far as its members
// are common to all types.
func authorized(d authz.Detail) []string {
	values := []string{d.Type, strings.Join(d.Actions, " and "), strings.Join(d.DataTypes, " and "), strings.Join(d.Privileges, " and "), d.Identifier}
	if d.Locations != nil {
		values = append(values, "at "+strings.Join(d.Locations, " or "))
	}
	return values
}

func (t *telling) revocation(w *words) {
	if operation := t.facts.Match.Operation; operation != nil && operation.RequireRevocations {
		w.say("needs", "required")
	}
	switch {
	case t.facts.Token == nil:
		w.say("because", "there is no token to be revoked")
	case !t.calls[revoking].begun:
		w.say("because", "nothing is followed that could revoke it")
	case t.known.IsZero():
		w.say("known", "nothing: what is revoked could not be read")
	default:
		w.say("known", "as of now")
	}
}

func bindings(token *authz.Token) []string {
	if len(token.Bindings) == 0 {
		return []string{"none"}
	}
	return texts(token.Bindings)
}

// when is a time, and how far it is from the request's; nothing of the zero time.
func (t *telling) when(at time.Time) []string { return when(at, t.facts.Time) }

func when(at, now time.Time) []string {
	if at.IsZero() {
		return nil
	}
	distance, side := at.Sub(now), " after the request"
	if distance < 0 {
		distance, side = -distance, " before the request"
	}
	return []string{at.UTC().Format(time.RFC3339), length(distance) + side}
}

// length is a duration as people say it: in days where it is long.
func length(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.Round(time.Second).String()
}

func (t *telling) scopes(w *words) {
	operation := t.facts.Match.Operation
	if operation.Public() {
		w.say("needs", "nothing: the operation is public")
		return
	}
	var needs []string
	for _, requirement := range operation.Security {
		needs = append(needs, needed(requirement))
	}
	w.say("needs", strings.Join(needs, "; or "))
	for _, rule := range operation.Details {
		w.say("needs in detail", authorized(authz.Detail{Type: rule.Type, Actions: rule.Actions, DataTypes: rule.DataTypes, Privileges: rule.Privileges})...)
	}
	caller := t.facts.Caller()
	w.say("caller", caller.Kind.String())
	w.say("scopes", caller.Scopes...)
}

// needed is one of a contract's alternatives in words.
func needed(r authz.Requirement) string {
	if r.Anonymous {
		return "no token"
	}
	text := "a token"
	if len(r.Scopes) > 0 {
		text += " with " + strings.Join(r.Scopes, " and ")
	}
	if r.Kinds != nil {
		kinds := make([]string, len(r.Kinds))
		for i, kind := range r.Kinds {
			kinds[i] = kind.String()
		}
		text += " of a " + strings.Join(kinds, " or ")
	}
	return text
}

func (t *telling) objects(w *words) {
	if t.refusing == atObjects {
		return // what was found before the fault is not told
	}
	for _, named := range t.facts.Inspection.Objects {
		w.say(string(named.Type), idOf(named.Object), "in "+named.Where)
	}
	for _, err := range t.facts.Inspection.Observed {
		w.say("observed", err.Error())
	}
	if len(t.facts.Inspection.Objects) == 0 {
		w.say("objects", "none are named")
	}
}

func idOf(object authz.Object) string {
	if object.ID == authz.Unread {
		return "could not be read"
	}
	return string(object.ID)
}

func (t *telling) consent(w *words) {
	operation, named, found := t.facts.Match.Operation, t.facts.Caller().Consent, t.facts.Consent
	for _, anyOf := range operation.Consent {
		w.say("needs", strings.Join(anyOf, " or "))
	}
	switch {
	case len(operation.Consent) == 0:
		w.say("because", "the operation asks for none")
	case named == "":
		w.say("because", "the token names none")
	case t.refusing == atConsent:
		w.say("id", string(named))
	case found == nil:
		w.say("id", string(named), "there is no such consent of this issuer")
	default:
		t.foundConsent(w, found)
	}
}

func (t *telling) foundConsent(w *words, c *authz.Consent) {
	w.say("id", string(c.ID))
	w.say("status", c.Status)
	w.say("client", string(c.Client))
	w.say("subject", string(c.Subject))
	w.say("permissions", c.Permissions...)
	var covered []string
	for _, object := range c.Objects {
		covered = append(covered, string(object.Type)+" "+string(object.ID))
	}
	w.say("covers", covered...)
	if c.OpenEnded {
		w.say("expires", "never")
	}
	w.say("expires", t.when(c.ExpiresAt)...)
}

func (t *telling) ownership(w *words) {
	objects := t.facts.Inspection.Objects
	switch {
	case len(objects) == 0:
		w.say("because", "no objects are named")
		return
	case !t.calls[owning].begun && t.facts.Caller().Kind == authz.Customer:
		w.say("because", "none that is named could be read")
		return
	case !t.calls[owning].begun:
		w.say("because", "only customers own things")
		return
	case t.refusing == atOwnership:
		return
	}
	told := map[authz.Object]bool{}
	for _, named := range objects {
		if !told[named.Object] {
			told[named.Object] = true
			w.say(string(named.Type), t.owned(named.Object)...)
		}
	}
}

func (t *telling) owned(object authz.Object) []string {
	ownership, owned := t.facts.Owned[object]
	if !owned {
		return []string{idOf(object), "not the caller's"}
	}
	values := []string{string(object.ID), "the caller's", ownership.Relation}
	if ownership.Region != "" {
		values = append(values, "kept in "+ownership.Region)
	}
	return values
}

func (t *telling) region(w *words) {
	w.say("service", known(t.facts.Region.Service))
	w.say("caller", known(t.facts.Region.Caller))
	w.say("served in", t.facts.Match.Operation.Regions...)
}

func known(region string) string {
	if region == "" {
		return "not known"
	}
	return region
}

// policy tells the verdict. Where it stands but was not taken, its reason is the
// decision's: it came too late, or could not be sent as it was.
func (t *telling) policy(w *words) {
	verdict := t.decision.Verdict
	if t.refusing != atPolicy {
		w.say("decision", "allowed")
		w.say("detail", verdict.Detail)
	}
	w.say("refusals", verdict.Refusals...)
	w.say("waived", verdict.Waived...)
	w.say("break glass", verdict.BreakGlass...)
	w.say("observed", t.facts.Lifted...)
	w.say("step up", asked(verdict.StepUp)...)
	for _, limit := range verdict.Limits {
		w.say("limit", fmt.Sprintf("%s: %d in %s", limit.Name, limit.Max, limit.Window))
	}
	if len(t.decision.Spending.Left) > 0 {
		w.say("limits", "not counted here: serve refuses where one is spent")
	}
}
