package main

import (
	"cmp"
	"slices"
	"time"

	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// groupsOf are a record's facts in the order of the steps. People stand in it as
// pseudonyms, and so they do here.
func groupsOf(d *decisionv1.Decision) []group {
	certificate, consent, region := group{About: "certificate"}, group{About: "consent"}, group{About: "region"}
	certificate.say("thumbprint", d.CertificateThumbprint)
	consent.say("id", pseudonym(d.Consent.GetIdPseudonym()))
	consent.say("status", d.Consent.GetStatus())
	region.say("service", d.Region.GetService())
	region.say("caller", d.Region.GetCaller())
	all := []group{operationOf(d), certificate, callerOf(d), objectsOf(d), consent, region, decisionOf(d), keysOf(d)}
	return slices.DeleteFunc(all, func(g group) bool { return len(g.Facts) == 0 })
}

// say adds a fact, unless it has no value.
func (g *group) say(name string, values ...string) {
	values = slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
	if len(values) > 0 {
		g.Facts = append(g.Facts, fact{name, values})
	}
}

func pseudonym(value string) string {
	if value == "" {
		return ""
	}
	return "pseudonym " + value
}

func operationOf(d *decisionv1.Decision) group {
	g := group{About: "operation"}
	g.say("api", d.Api)
	g.say("id", d.Operation)
	if d.Path != "" {
		g.say("template", d.Method+" "+d.Path)
	} else {
		g.say("method", d.Method)
	}
	return g
}

func callerOf(d *decisionv1.Decision) group {
	g, c := group{About: "caller"}, d.Caller
	g.say("issuer", c.GetIssuer())
	g.say("kind", c.GetKind())
	g.say("subject", pseudonym(c.GetSubjectPseudonym()))
	g.say("actor", pseudonym(c.GetActorPseudonym()))
	g.say("client", c.GetClient())
	g.say("tenant", c.GetTenant())
	g.say("roles", c.GetRoles()...)
	g.say("scopes", c.GetScopes()...)
	g.say("consent", pseudonym(c.GetConsentPseudonym()))
	g.say("binding", d.Binding...)
	return g
}

func objectsOf(d *decisionv1.Decision) group {
	g := group{About: "objects"}
	for _, o := range d.Objects {
		owned, kept := "", ""
		switch {
		case o.Owned == nil:
		case *o.Owned:
			owned = "the caller's"
		default:
			owned = "not the caller's"
		}
		if o.Region != "" {
			kept = "kept in " + o.Region
		}
		id := cmp.Or(pseudonym(o.IdPseudonym), "could not be read")
		g.say(o.Type, id, "in "+o.Where, owned, o.Relation, kept)
	}
	return g
}

func decisionOf(d *decisionv1.Decision) group {
	g := group{About: "decision"}
	g.say("reason", d.Reason)
	g.say("policy's reason", d.PolicyReason)
	g.say("refusals", d.Refusals...)
	g.say("waived", d.Waived...)
	g.say("break glass", d.BreakGlass...)
	g.say("limits reached", d.LimitsReached...)
	g.say("unchecked", d.Unchecked...)
	g.say("observed", d.Observed...)
	g.say("asked", d.Asked...)
	g.say("detail", d.Detail)
	g.say("took", (time.Duration(d.ElapsedUs) * time.Microsecond).String())
	g.say("trace", d.TraceId)
	g.say("interaction", d.InteractionId)
	return g
}

// keysOf names the keys by which whoever holds them can tell people.
func keysOf(d *decisionv1.Decision) group {
	g := group{About: "keys"}
	g.say("pseudonyms", d.PseudonymKeyId)
	g.say("input", d.InputKeyId)
	return g
}
