# What the tables in data.access require of a request, and what satisfies it. Where there
# is no such data, and the policy does not speak of it, this file is not compiled at all.
package countersign.standard

import data.countersign.standard.break_glass
import data.countersign.standard.callers
import data.countersign.standard.hours
import data.countersign.standard.roles

# METADATA
# title: The caller's roles permit it, inherited and granted ones among them, or the client's own table
# custom: {reason: permission}
satisfied contains "permission" if {
	permission := input.operation.permission
	is_string(permission)
	permission in roles.permissions
}

# ---- Operations of administrators ----

# METADATA
# title: Administration is separate
# description: |
#   Where data.access.admin is there, its operations are those with a permission that
#   begins with "admin_" or that it lists, and those that it lists by id. No site's policy
#   waives this.
required contains "admin" if {
	type_name(data.access.admin)
	not ordinary
}

# METADATA
# title: The operation is none of administrators
ordinary if {
	is_object(data.access.admin)
	ids := object.get(data.access.admin, "operations", [])
	is_array(ids)
	not input.operation.id in ids
	unlisted
}

# METADATA
# title: The operation has a permission
asks_permission if type_name(input.operation.permission)

# METADATA
# title: The operation's permission is none of administrators
unlisted if not asks_permission

unlisted if {
	permission := input.operation.permission
	is_string(permission)
	not startswith(permission, "admin_")
	permissions := object.get(data.access.admin, "permissions", [])
	is_array(permissions)
	not permission in permissions
}

# METADATA
# title: Staff hold a role of administrators at this hour, and that role permits it
# description: |
#   Neither ownership, nor a consent, nor a scope stands in for it, and an operation
#   without a permission is nobody's.
# custom: {reason: admin}
satisfied contains "admin" if {
	input.caller.kind == "staff"
	permission := input.operation.permission
	is_string(permission)
	administrators := data.access.admin.roles
	is_array(administrators)
	some role in roles.in_force
	role in administrators
	permission in roles.permitted({role})
}

# ---- Kinds of callers, and their tenants ----

# METADATA
# title: What each kind of caller may be permitted at all
# description: Required of operations with a permission, where data.access.kinds is there.
required contains "kind" if {
	type_name(data.access.kinds)
	asks_permission
}

# METADATA
# title: Callers of this kind may be permitted it
# custom: {reason: kind}
satisfied contains "kind" if callers.listed(data.access.kinds, input.caller.kind)

# METADATA
# title: What callers of each tenant may be permitted at all
# description: Required of operations with a permission, where data.access.tenants is there.
required contains "tenant" if {
	type_name(data.access.tenants)
	asks_permission
}

# METADATA
# title: Callers of this tenant may be permitted it
# custom: {reason: tenant}
satisfied contains "tenant" if callers.listed(data.access.tenants, input.caller.tenant)

# ---- Delegates ----

# METADATA
# title: What may be done by who acts for another
# description: |
#   Required of tokens with an act claim (RFC 8693), where data.access.actors is there.
required contains "actor" if {
	type_name(data.access.actors)
	type_name(input.caller.actor)
}

# METADATA
# title: Who acts for the caller may be permitted it
# description: By the token's issuer and the actor's subject.
# custom: {reason: actor}
satisfied contains "actor" if {
	issuer := input.caller.issuer
	is_string(issuer)
	callers.listed(data.access.actors[issuer], input.caller.actor)
}

# METADATA
# title: What may be done with an object by what the customer is to it
# description: Required of each object that is the customer's, where data.access.relations is there.
required contains {"relation": name} if {
	type_name(data.access.relations)
	some [name, thing] in objects
	thing.owned == true
}

# METADATA
# title: Who is that to the object may be permitted it
# custom: {reason: relation}
satisfied contains {"relation": name} if {
	some [name, thing] in objects
	callers.listed(data.access.relations, thing.relation)
}

# ---- Hours ----

# METADATA
# title: When it may be done
# description: Required of operations with a permission, where data.access.hours is there.
required contains "hours" if {
	hours.limited
	asks_permission
}

# METADATA
# title: The permission is open at this hour, and so is the role by which the caller has it
# description: Whether the caller has it at all is "permission".
# custom: {reason: hours}
satisfied contains "hours" if {
	permission := input.operation.permission
	is_string(permission)
	hours.permit("permissions", permission)
	held_now(permission)
}

# METADATA
# title: The caller has the permission at this hour, or at none
held_now(permission) if permission in roles.current

held_now(permission) if not permission in roles.permissions

# ---- Breaking the glass ----

# METADATA
# title: Requirements that are lifted in an emergency, each with the ticket
# description: |
#   Only what is not satisfied is lifted so. {"break_glass": "INC-4711"} beside it has the
#   ticket stand in a field of its own in the record.
waived contains lifted if {
	some entry in break_glass.open
	break_glass.covers(entry.objects, {named | some [named, _] in objects})
	some name in unmet
	break_glass.lifts(entry, name)
	some lifted in [name, {"break_glass": entry.ticket}]
}
