# METADATA
# title: The roles of the caller, and what they permit
# description: |
#   Roles are those of the token, and those that data.access.grants gives the caller for a
#   time. Each brings the roles that it inherits by data.access.inherits, to whatever depth;
#   a circle adds nothing. What each permits stands in data.roles.
package countersign.standard.roles

import data.countersign.standard.hours

# METADATA
# title: What the caller is permitted, whatever the hour
# custom: {public: true}
permissions contains permission if some permission in permitted(any_hour)

permissions contains permission if some permission in of_client

# METADATA
# title: What the caller is permitted at this hour
# custom: {public: true}
current contains permission if some permission in permitted(in_force)

current contains permission if some permission in of_client

# METADATA
# title: What roles permit
# description: |
#   In whatever form data.roles has it, as requirement "permission" reads it: what the one
#   saw and the other did not would be bound to no hours.
permitted(roles) := {permission |
	some role in roles
	some permission in data.roles[role]
	is_string(permission)
}

# METADATA
# title: What a client by itself is permitted
# description: |
#   As data.access.clients has it, by issuer and client. Nothing of it is a customer's who
#   comes through that client.
of_client := list if {
	input.caller.kind == "client"
	issuer := input.caller.issuer
	is_string(issuer)
	client := input.caller.client
	is_string(client)
	list := data.access.clients[issuer][client]
	is_array(list)
}

# METADATA
# title: The roles that the caller has by name
held contains role if {
	roles := input.caller.roles
	is_array(roles)
	some role in roles
	is_string(role)
}

# A client's subject is nobody, and never taken for somebody of that name.
held contains role if {
	input.caller.kind in {"customer", "staff"}
	issuer := input.caller.issuer
	is_string(issuer)
	subject := input.caller.subject
	is_string(subject)
	grants := data.access.grants[issuer][subject]
	is_array(grants)
	some grant in grants
	hours.within(grant.from, grant.until)
	role := grant.role
	is_string(role)
}

# METADATA
# title: The caller's roles, inherited ones among them, whatever the hour
any_hour := inherited(held, inherits)

# METADATA
# title: The caller's roles that hold at this hour, inherited ones among them
# description: |
#   A role with hours in data.access.hours.roles is not there outside of them: it permits
#   nothing, and nothing is inherited by it.
# custom: {public: true}
in_force := inherited(held - closed, object.remove(inherits, closed)) - closed

# METADATA
# title: The caller's roles that do not hold at this hour
closed contains role if {
	some role in any_hour
	not hours.permit("roles", role)
}

# METADATA
# title: Roles, and all that they inherit
inherited(roles, by) := (roles | through) | {role |
	some heir in through
	list := by[heir]
	is_array(list)
	some role in list
} if {
	through := graph.reachable(by, roles)
}

# METADATA
# title: The table of who inherits what, empty where there is none
default inherits := {}

inherits := data.access.inherits if is_object(data.access.inherits)
