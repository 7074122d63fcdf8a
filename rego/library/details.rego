# METADATA
# title: What a token authorizes in detail
# description: |
#   The elements of authorization_details (RFC 9396), for a site's own rules. What an
#   element allows it allows as a whole: rules go on with one element at a time, and
#   never read a member of one beside a member of another. Texts are compared as they
#   stand, and a type that nobody asks for allows nothing.
package countersign.standard.details

# METADATA
# title: The elements that allow all that is asked for, each by itself
# description: |
#   What is asked for is an object with a type, and any of identifier, actions,
#   datatypes and privileges; of these three an element must have all that are listed.
#   Anything else in it is a mistake, and is allowed by none.
# custom: {public: true}
granting(asked) := [detail |
	is_array(input.token.authorization_details)
	some detail in input.token.authorization_details
	is_string(asked.type)
	every name, value in asked {
		says(detail, name, value)
	}
	holds_here(detail)
]

# METADATA
# title: The element says what is asked for
says(detail, name, value) if {
	name in {"type", "identifier"}
	is_string(value)
	value != ""
	detail[name] == value
}

says(detail, name, value) if {
	name in {"actions", "datatypes", "privileges"}
	is_array(value)
	count(value) > 0
	held := detail[name]
	is_array(held)
	every item in value {
		is_string(item)
		item in held
	}
}

# METADATA
# title: The element is for this API, or does not say for which
holds_here(detail) if not "locations" in object.keys(detail)

holds_here(detail) if {
	is_array(detail.locations)
	audiences := input.operation.audiences
	is_array(audiences)
	some location in detail.locations
	is_string(location)
	location in audiences
}
