# METADATA
# title: The demo bank's own rules
# description: |
#   What this bank asks beyond the standard policy. A rule under "deny" adds a refusal; a
#   rule under "waive" lifts one requirement, for one object.
package countersign.site

# METADATA
# title: Large payments need a second signer
# description: |
#   Refused unless certainly small, so that an amount that cannot be read is refused too.
# custom:
#   reason: second_signer
deny contains "second_signer" if {
	input.operation.permission == "create_payments"
	not small
	not input.token.claims.second_signer == true
}

small if {
	amount := input.parsed_body.Data.Initiation.InstructedAmount.Amount
	is_string(amount)
	regex.match(`^[0-9]{1,9}(\.[0-9]{1,2})?$`, amount)
	to_number(amount) <= 10000
}

# METADATA
# title: Support may read the accounts of its open cases
# custom:
#   reason: not_owner
waive contains {"not_owner": key} if {
	input.operation.permission == "backoffice_read"
	input.caller.kind == "staff"
	"support" in input.caller.roles
	some case in data.open_cases
	case.agent == input.caller.subject
	some key in case.objects
}
