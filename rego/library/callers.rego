# METADATA
# title: Who calls, and for whom
# description: Questions that tables of data.access ask of a caller, for a site's own rules too.
package countersign.standard.callers

# METADATA
# title: A table lists the operation's permission under the key
# description: |
#   A table is an object of lists, such as {"delegate": ["read_accounts"]}; in place of a
#   list, "all" is everything. A key that it does not have is permitted nothing.
# custom: {public: true}
listed(table, key) if {
	is_string(key)
	permission := input.operation.permission
	is_string(permission)
	list := table[key]
	is_array(list)
	permission in list
}

listed(table, key) if {
	is_string(key)
	table[key] == "all"
}

# METADATA
# title: The caller belongs to the tenant
# description: For what names its tenant, as a parameter of the path does.
# custom: {public: true}
of_tenant(tenant) if {
	is_string(tenant)
	tenant != ""
	input.caller.tenant == tenant
}

# METADATA
# title: The caller is a person, and none of those who had a hand in it before
# description: |
#   makers is one subject of the caller's issuer, or a list of them, from where the caller
#   cannot write it: a claim, or data. The body is the client's own. Nobody is told apart
#   from an unknown maker, and who acts for another must not be the maker either.
# custom: {public: true}
four_eyes(makers) if {
	is_string(makers)
	apart(makers)
}

four_eyes(makers) if {
	is_array(makers)
	count(makers) > 0
	every maker in makers { apart(maker) }
}

# METADATA
# title: The caller is a person, and another than this one
apart(maker) if {
	is_string(maker)
	maker != ""
	input.caller.kind in {"customer", "staff"}
	subject := input.caller.subject
	is_string(subject)
	subject != ""
	subject != maker
	not input.caller.actor == maker
}
