# METADATA
# title: Amounts of money, compared exactly
# description: |
#   An amount is decimal text, as in ISO 20022: one to 18 digits and, after a point, one
#   to 18 more. "123.5", "123.50" and "0123.5" are the same. What is not of this form, a
#   JSON number too, is the same as nothing, and neither more nor less than anything:
#   numbers lose digits on the way. Currencies are for the rule to compare.
package countersign.standard.amounts

# METADATA
# title: Two texts are the same amount
# custom: {public: true}
same(a, b) if fixed(a) == fixed(b)

# METADATA
# title: One amount is not more than another
# custom: {public: true}
at_most(a, b) if fixed(a) <= fixed(b)

# METADATA
# title: The amount with all 36 digits
# description: Texts of one length stand in the order of what they mean.
fixed(amount) := concat("", [substring(whole, count(whole) - 18, 18), substring(fraction, 0, 18)]) if {
	is_string(amount)
	regex.match(`^[0-9]{1,18}(\.[0-9]{1,18})?$`, amount)
	parts := split(concat("", [amount, "."]), ".")
	whole := concat("", [zeros, parts[0]])
	fraction := concat("", [parts[1], zeros])
}

# METADATA
# title: As many zeros as digits are looked at
zeros := "000000000000000000"
