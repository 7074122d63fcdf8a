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
#   All that is required is one set, and all that is satisfied another. Every request
#   pays for what stands here, and a reference to a rule costs as much as two
#   comparisons, its value known or not.
#
#   A site adds refusals and lifts requirements in package countersign.site:
#
#     deny contains "reason" if {...}
#     waive contains "permission" if {...}
#     waive contains {"not_owner": "account:22289"} if {...}
#
#   Its data are roles (role -> permissions) and regions (region of service -> the
#   regions that it serves). What the tables in data.access ask for stands in tables.rego.
package countersign.standard

# METADATA
# title: The decision
# description: Allowed if nothing refuses and something grants.
# custom: {reason: nothing_grants}
decision := {"allowed": true, "waived": waived} if {
	refusals == set()
	granted
} else := {"allowed": false, "reason": "nothing_grants", "refusals": {"nothing_grants"}} if {
	refusals == set()
} else := object.union(
	{"allowed": false, "reason": told, "refusals": (refusals | ungranted), "waived": waived},
	challenge,
)

# METADATA
# title: Every reason to refuse
# description: What is required and neither satisfied nor waived, and what the site denies.
refusals := (unmet - waived) | denied

# METADATA
# title: That nothing would grant, were all that refuses lifted
# description: |
#   A contract may only observe what refuses. What grants by being satisfied grants by
#   being lifted, too; where none of that is unmet, something else would have to grant.
# custom: {reason: nothing_grants}
ungranted contains "nothing_grants" if {
	not granted
	count((unmet - waived) & granting) == 0
}

# METADATA
# title: Requirements that grant by being satisfied
granting contains "permission"

granting contains name if some name in consent_required

granting contains name if some name in ownership_required

# METADATA
# title: Requirements that are not satisfied
# description: |
#   Without a known operation and known objects nobody could say what is required, so
#   these are required always and never waived.
unmet := ({"operation", "objects"} | required) - satisfied

# METADATA
# title: What the site's policy denies
# description: Nothing waives it.
denied := {reason | some reason in data.countersign.site.deny}

# METADATA
# title: Requirements that the site's policy lifts, each by its own name
# description: That operations of administrators are theirs alone is not the site's to lift.
waived contains name if {
	some name in data.countersign.site.waive
	name in required
	name != "admin"
}

# METADATA
# title: The refusal that the caller is told
# description: The earliest that stands, the site's own last. The record has them all.
told := min({[object.get(order, name, 99), name] | some name in names})[1]

# METADATA
# title: The order in which refusals are told
order := {
	"operation": 1,
	"objects": 2,
	"step_up": 3,
	"permission": 4,
	"admin": 5,
	"kind": 6,
	"tenant": 7,
	"actor": 8,
	"hours": 9,
	"consent": 10,
	"consent_client": 11,
	"consent_subject": 12,
	"consent_status": 13,
	"consent_expiry": 14,
	"consent_permission": 15,
	"consent_object": 16,
	"not_owner": 17,
	"relation": 18,
	"region": 19,
	"region_caller": 20,
	"region_object": 21,
}

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
	type_name(input.operation.permission)
	not "permission" in unmet
}

# METADATA
# title: A customer's consent that covers all that is asked
granted if {
	count(consent_required) > 0
	count(consent_required - satisfied) == 0
}

# METADATA
# title: A customer's ownership of every object named
granted if {
	count(ownership_required) > 0
	count(ownership_required - satisfied) == 0
}

# METADATA
# title: What was lifted would have granted
# description: That a step-up or a region was lifted grants nothing by itself.
granted if count(waived & ({"permission", "consent"} | ownership_required)) > 0

# ---- What is required ----

# METADATA
# title: What the operation requires, and a site may waive
# description: |
#   type_name is defined for whatever there is, null and false among it. A declaration
#   of the wrong type stays required and is never satisfied.
required contains "step_up" if type_name(input.operation.step_up)

required contains "permission" if type_name(input.operation.permission)

required contains name if some name in consent_required

required contains name if some name in ownership_required

required contains name if {
	input.operation.regions != []
	some name in {"region", "region_caller"}
}

required contains {"region_object": name} if {
	input.operation.regions != []
	some [name, _] in objects
}

# METADATA
# title: What is required of a consent
# description: Of the record itself, and of each object that the request names.
consent_required := {
	"consent", "consent_client", "consent_subject", "consent_status",
	"consent_expiry", "consent_permission",
} | {{"consent_object": name} | some [name, _] in objects} if input.operation.consent != []

# METADATA
# title: That each object named is the caller's
ownership_required := {{"not_owner": name} | some [name, _] in objects}

# ---- What everything rests upon ----

# METADATA
# title: The operation is known
# custom: {reason: operation}
satisfied contains "operation" if {
	id := input.operation.id
	is_string(id)
	id != ""
}

# METADATA
# title: The objects named are known, each by type and id
# custom: {reason: objects}
satisfied contains "objects" if {
	things := input.objects
	is_array(things)
	count(objects) == count(things)
}

# METADATA
# title: The objects that the request names, each after its name, "type:id"
objects := [[concat(":", [kind, id]), thing] |
	some thing in input.objects
	kind := thing.type
	is_string(kind)
	kind != ""
	not contains(kind, ":")
	id := thing.id
	is_string(id)
	id != ""
]

# ---- Step-up and permission ----

# METADATA
# title: The user authenticated strongly and recently enough
# description: A step-up that asks for neither is a mistake, and is not satisfied.
# custom: {reason: step_up}
satisfied contains "step_up" if {
	is_object(input.operation.step_up)
	count(asked) > 0
	count(asked - answered) == 0
}

# METADATA
# title: What the step-up asks for
asked contains "acr_values" if type_name(input.operation.step_up.acr_values)

asked contains "max_age" if type_name(input.operation.step_up.max_age)

# METADATA
# title: The authentication is as strong as is asked
answered contains "acr_values" if {
	acr := input.token.acr
	is_string(acr)
	accepted := input.operation.step_up.acr_values
	is_array(accepted)
	acr in accepted
}

# METADATA
# title: The authentication is as recent as is asked, and not in the future
answered contains "max_age" if {
	since := input.token.auth_time
	is_number(since)
	now := input.request.time
	is_number(now)
	oldest := input.operation.step_up.max_age
	is_number(oldest)
	age := now - since
	age >= 0
	age <= oldest
}

# METADATA
# title: One of the caller's roles has the operation's permission
# custom: {reason: permission}
satisfied contains "permission" if {
	permission := input.operation.permission
	is_string(permission)
	roles := input.caller.roles
	is_array(roles)
	some role in roles
	permission in data.roles[role]
}

# ---- Consent ----

# METADATA
# title: There is a consent
# custom: {reason: consent}
satisfied contains "consent" if {
	id := input.consent.id
	is_string(id)
	id != ""
}

# METADATA
# title: The consent is for this client
# custom: {reason: consent_client}
satisfied contains "consent_client" if {
	client := input.consent.client
	is_string(client)
	client != ""
	client == input.caller.client
}

# METADATA
# title: The consent is this customer's own
# custom: {reason: consent_subject}
satisfied contains "consent_subject" if {
	input.caller.kind == "customer"
	subject := input.consent.subject
	is_string(subject)
	subject != ""
	subject == input.caller.subject
}

# METADATA
# title: The customer has authorised the consent, and it still stands
# description: As Open Banking UK writes it from version 4, and before.
# custom: {reason: consent_status}
satisfied contains "consent_status" if input.consent.status in {"AUTH", "Authorised"}

# METADATA
# title: The consent has not run out
# custom: {reason: consent_expiry}
satisfied contains "consent_expiry" if input.consent.open_ended == true

satisfied contains "consent_expiry" if {
	expiry := input.consent.expires_at
	is_number(expiry)
	now := input.request.time
	is_number(now)
	expiry > now
}

# METADATA
# title: The consent has one permission of every list that the operation asks for
# custom: {reason: consent_permission}
satisfied contains "consent_permission" if {
	lists := input.operation.consent
	is_array(lists)
	held := input.consent.permissions
	is_array(held)
	every alternatives in lists {
		is_array(alternatives)
		some permission in alternatives
		is_string(permission)
		permission in held
	}
}

# METADATA
# title: The consent covers the object
# custom: {reason: consent_object}
satisfied contains {"consent_object": name} if {
	covered := input.consent.objects
	is_array(covered)
	some [name, thing] in objects
	{"type": thing.type, "id": thing.id} in covered
}

# ---- Ownership ----

# METADATA
# title: The object is the customer's
# description: A client by itself and staff own nothing.
# custom: {reason: not_owner}
satisfied contains {"not_owner": name} if {
	input.caller.kind == "customer"
	some [name, thing] in objects
	thing.owned == true
}

# ---- Region ----

# METADATA
# title: The operation may be served from here
# custom: {reason: region}
satisfied contains "region" if {
	service := input.region.service
	is_string(service)
	regions := input.operation.regions
	is_array(regions)
	service in regions
}

# METADATA
# title: The caller is from a region that is served from here
# custom: {reason: region_caller}
satisfied contains "region_caller" if {
	input.operation.regions != []
	caller := input.region.caller
	is_string(caller)
	caller in served
}

# METADATA
# title: The object is kept in a region that is served from here
# custom: {reason: region_object}
satisfied contains {"region_object": name} if {
	input.operation.regions != []
	some [name, thing] in objects
	region := thing.region
	is_string(region)
	region in served
}

# METADATA
# title: The regions that are served from here
# description: As data.regions has it; without such a table, the service's own region alone.
served := {region | some region in data.regions[input.region.service]} if {
	type_name(data.regions)
} else := {input.region.service}
