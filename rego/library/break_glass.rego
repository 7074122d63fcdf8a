# METADATA
# title: Breaking the glass
# description: |
#   Staff lift requirements in an emergency where data.access.break_glass says so in
#   advance, by issuer and subject: for which ticket, from when until when, for which
#   permissions, which requirements and which objects. Nothing that a caller sends breaks
#   the glass by itself, and what was lifted stands in the record with its ticket.
package countersign.standard.break_glass

import data.countersign.standard.hours

# METADATA
# title: The requirements that can be lifted so
# description: |
#   Who the caller is, and how strongly that is known, is asked of everybody at any time.
liftable := {
	"permission", "hours", "consent", "consent_client", "consent_subject", "consent_status",
	"consent_expiry", "consent_permission", "consent_object", "not_owner", "relation",
	"region", "region_caller", "region_object",
}

# METADATA
# title: The entries that are for this caller, this operation, and now
# description: Who acts for another, by a token's act claim, breaks no glass.
open contains entry if {
	input.caller.kind == "staff"
	not acted
	issuer := input.caller.issuer
	is_string(issuer)
	subject := input.caller.subject
	is_string(subject)
	entries := data.access.break_glass[issuer][subject]
	is_array(entries)
	some entry in entries
	ticket(entry.ticket)
	hours.within(entry.from, entry.until)
	permission := input.operation.permission
	is_string(permission)
	is_array(entry.permissions)
	permission in entry.permissions
}

# METADATA
# title: Somebody acts for the caller
acted if type_name(input.caller.actor)

# METADATA
# title: The ticket can stand in a record
# description: It is the name of a case, never of a person.
ticket(name) if {
	is_string(name)
	regex.match(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`, name)
}

# METADATA
# title: An object could not be read, which the contract only observes
# description: It is nobody's, and U+FFFD stands for what no entry was written for.
unread if {
	some thing in input.objects
	thing.id == "\ufffd"
}

# METADATA
# title: An entry is for every object of those names
covers(objects, named) if {
	not unread
	is_array(objects)
	every name in named { name in objects }
}

covers("all", _) if not unread

# METADATA
# title: An entry lifts the requirement
# description: By its name, "not_owner", where it is of an object, too.
lifts(entry, requirement) if {
	is_array(entry.requirements)
	some name in (names(requirement) & liftable)
	name in entry.requirements
}

# METADATA
# title: The name of a requirement
names(requirement) := {requirement} if is_string(requirement)

names(requirement) := object.keys(requirement) if is_object(requirement)
