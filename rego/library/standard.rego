# METADATA
# title: Countersign's standard decision
# description: |
#   A request is allowed when something grants it and every requirement of its
#   operation is satisfied or waived.
#
#   Rules here say what is satisfied, never what is wrong: a fact that is absent,
#   or of another type than it should be, satisfies nothing. Rego orders values of
#   different types ("9" > 5 holds), so what is compared is first asked its type.
#
#   A site adds refusals and lifts requirements in package countersign.site:
#
#     deny contains "reason" if {...}
#     waive contains "permission" if {...}
#     waive contains {"not_owner": "account:22289"} if {...}
#
#   Its data are roles (role -> permissions) and regions (region of service -> the
#   regions that it serves).
package countersign.standard

# METADATA
# title: The decision
# description: Allowed if nothing refuses and something grants.
# custom: {reason: nothing_grants}
decision := {"allowed": true, "waived": waived} if {
	count(refusals) == 0
	granted
} else := {"allowed": false, "reason": "nothing_grants", "refusals": {"nothing_grants"}} if {
	count(refusals) == 0
} else := object.union(
	{"allowed": false, "reason": told, "refusals": refusals, "waived": waived},
	challenge,
)

# METADATA
# title: Every reason to refuse
# description: What is required and neither satisfied nor waived, and what the site denies.
refusals := (unmet - waived) | denied

# METADATA
# title: Requirements that are not satisfied
unmet := union({
	foundations - founded,
	authority_unmet,
	consent_unmet,
	ownership_unmet,
	region_unmet,
})

# METADATA
# title: What the site's policy denies
# description: Nothing waives it.
denied := {reason | some reason in data.countersign.site.deny}

# METADATA
# title: Requirements that the site's policy lifts, each by its own name
# description: What everything rests upon is not among them.
waived := {name | some name in data.countersign.site.waive; name in required}

# METADATA
# title: What the operation requires, and a site may waive
required := union({authority_required, consent_required, ownership_required, region_required})

# METADATA
# title: The refusal that the caller is told
# description: The earliest that stands, the site's own last. The record has them all.
told := array.concat([name | some name in order; name in names], sort(denied))[0]

# METADATA
# title: The order in which refusals are told
order := [
	"operation", "objects", "step_up", "permission",
	"consent", "consent_client", "consent_subject", "consent_status",
	"consent_expiry", "consent_permission", "consent_object",
	"not_owner", "region", "region_caller", "region_object",
]

# METADATA
# title: Refusals by name, without their objects
names contains refusal if {
	some refusal in refusals
	is_string(refusal)
}

names contains name if {
	some refusal in refusals
	some name, _ in refusal
}

default challenge := {}

# METADATA
# title: How the user must authenticate before it is worth trying again
# description: RFC 9470.
challenge := {"step_up": input.operation.step_up} if "step_up" in refusals

# ---- What grants ----

# METADATA
# title: An operation that takes requests without a token
granted if input.operation.public == true

# METADATA
# title: The scopes alone, where the contract says so
# description: Scopes were checked before the policy was asked.
granted if {
	input.operation.grant == "scope"
	input.caller.kind in {"customer", "client", "staff"}
}

# METADATA
# title: A permission of one of the caller's roles
granted if {
	"permission" in authority_required
	not "permission" in authority_unmet
}

# METADATA
# title: A customer's consent that covers all that is asked
granted if {
	count(consent_required) > 0
	count(consent_unmet) == 0
}

# METADATA
# title: A customer's ownership of every object named
granted if {
	count(ownership_required) > 0
	count(ownership_unmet) == 0
}

# METADATA
# title: The site's policy, in lifting what would have granted
# description: That a step-up or a region was lifted grants nothing by itself.
granted if count(waived & ({"permission", "consent"} | ownership_required)) > 0

# ---- What everything rests upon ----

# METADATA
# title: A known operation, and known objects
# description: |
#   Without them nobody could say what is required, so they are required always and
#   never waived.
foundations := {"operation", "objects"}

# METADATA
# title: The operation is known
# custom: {reason: operation}
founded contains "operation" if {
	is_string(input.operation.id)
	input.operation.id != ""
}

# METADATA
# title: The objects named are known, each by type and id
# custom: {reason: objects}
founded contains "objects" if {
	is_array(input.objects)
	count(objects) == count(input.objects)
}

# METADATA
# title: The objects that the request names, with their names, "type:id"
objects := [{"name": concat(":", [thing.type, thing.id]), "facts": thing} |
	some thing in input.objects
	is_string(thing.type)
	thing.type != ""
	not contains(thing.type, ":")
	is_string(thing.id)
	thing.id != ""
]

# ---- Step-up and permission ----

# METADATA
# title: Step-up and permission, where the operation has them
# description: |
#   type_name is defined for whatever there is, null and false among it. A declaration
#   of the wrong type stays required and is never satisfied.
authority_required contains "step_up" if type_name(input.operation.step_up)

authority_required contains "permission" if type_name(input.operation.permission)

default authority_unmet := set()

# METADATA
# title: What of them is not satisfied
authority_unmet := authority_required - authority_satisfied if count(authority_required) > 0

# METADATA
# title: The user authenticated strongly and recently enough
# description: A step-up that asks for neither is a mistake, and is not satisfied.
# custom: {reason: step_up}
authority_satisfied contains "step_up" if {
	count(asked) > 0
	strong_enough
	recent_enough
}

# METADATA
# title: What the step-up asks for
asked contains key if {
	some key in ["acr_values", "max_age"]
	type_name(input.operation.step_up[key])
}

# METADATA
# title: The authentication is as strong as is asked
strong_enough if not "acr_values" in asked

strong_enough if {
	is_string(input.token.acr)
	is_array(input.operation.step_up.acr_values)
	input.token.acr in input.operation.step_up.acr_values
}

# METADATA
# title: The authentication is as recent as is asked, and not in the future
recent_enough if not "max_age" in asked

recent_enough if {
	is_number(input.token.auth_time)
	is_number(input.request.time)
	is_number(input.operation.step_up.max_age)
	age := input.request.time - input.token.auth_time
	age >= 0
	age <= input.operation.step_up.max_age
}

# METADATA
# title: One of the caller's roles has the operation's permission
# custom: {reason: permission}
authority_satisfied contains "permission" if {
	is_string(input.operation.permission)
	is_array(input.caller.roles)
	some role in input.caller.roles
	input.operation.permission in data.roles[role]
}

# ---- Consent ----

default consent_required := set()

# METADATA
# title: What is required of a consent
# description: Of the record itself, and of each object that the request names.
consent_required := {
	"consent", "consent_client", "consent_subject", "consent_status",
	"consent_expiry", "consent_permission",
} | {{"consent_object": named.name} | some named in objects} if input.operation.consent != []

default consent_unmet := set()

# METADATA
# title: What of it is not satisfied
consent_unmet := consent_required - consent_satisfied if count(consent_required) > 0

# METADATA
# title: There is a consent
# custom: {reason: consent}
consent_satisfied contains "consent" if {
	is_string(input.consent.id)
	input.consent.id != ""
}

# METADATA
# title: The consent is for this client
# custom: {reason: consent_client}
consent_satisfied contains "consent_client" if {
	is_string(input.consent.client)
	input.consent.client != ""
	input.consent.client == input.caller.client
}

# METADATA
# title: The consent is this customer's own
# custom: {reason: consent_subject}
consent_satisfied contains "consent_subject" if {
	input.caller.kind == "customer"
	is_string(input.consent.subject)
	input.consent.subject != ""
	input.consent.subject == input.caller.subject
}

# METADATA
# title: The customer has authorised the consent, and it still stands
# description: As Open Banking UK writes it from version 4, and before.
# custom: {reason: consent_status}
consent_satisfied contains "consent_status" if input.consent.status in {"AUTH", "Authorised"}

# METADATA
# title: The consent has not run out
# custom: {reason: consent_expiry}
consent_satisfied contains "consent_expiry" if input.consent.open_ended == true

consent_satisfied contains "consent_expiry" if {
	is_number(input.consent.expires_at)
	is_number(input.request.time)
	input.consent.expires_at > input.request.time
}

# METADATA
# title: The consent has one permission of every list that the operation asks for
# custom: {reason: consent_permission}
consent_satisfied contains "consent_permission" if {
	is_array(input.operation.consent)
	is_array(input.consent.permissions)
	every alternatives in input.operation.consent {
		is_array(alternatives)
		some permission in alternatives
		is_string(permission)
		permission in input.consent.permissions
	}
}

# METADATA
# title: The consent covers the object
# custom: {reason: consent_object}
consent_satisfied contains {"consent_object": named.name} if {
	is_array(input.consent.objects)
	some named in objects
	{"type": named.facts.type, "id": named.facts.id} in input.consent.objects
}

# ---- Ownership ----

# METADATA
# title: That each object named is the caller's
ownership_required := {{"not_owner": named.name} | some named in objects}

default ownership_unmet := set()

# METADATA
# title: Which are not
ownership_unmet := ownership_required - ownership_satisfied if count(ownership_required) > 0

# METADATA
# title: The object is the customer's
# description: A client by itself and staff own nothing.
# custom: {reason: not_owner}
ownership_satisfied contains {"not_owner": named.name} if {
	input.caller.kind == "customer"
	some named in objects
	named.facts.owned == true
}

# ---- Region ----

default region_required := set()

# METADATA
# title: That service, caller and objects are where they may be
region_required := {
	"region",
	"region_caller",
} | {{"region_object": named.name} | some named in objects} if input.operation.regions != []

default region_unmet := set()

# METADATA
# title: What of it is not satisfied
region_unmet := region_required - region_satisfied if count(region_required) > 0

# METADATA
# title: The operation may be served from here
# custom: {reason: region}
region_satisfied contains "region" if {
	is_string(input.region.service)
	is_array(input.operation.regions)
	input.region.service in input.operation.regions
}

# METADATA
# title: The caller is from a region that is served from here
# custom: {reason: region_caller}
region_satisfied contains "region_caller" if {
	is_string(input.region.caller)
	input.region.caller in served
}

# METADATA
# title: The object is kept in a region that is served from here
# custom: {reason: region_object}
region_satisfied contains {"region_object": named.name} if {
	some named in objects
	is_string(named.facts.region)
	named.facts.region in served
}

# METADATA
# title: The regions that are served from here
# description: As data.regions has it; without such a table, the service's own region alone.
served := {region | some region in data.regions[input.region.service]} if {
	type_name(data.regions)
} else := {input.region.service}
