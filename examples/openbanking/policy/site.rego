# METADATA
# title: The demo bank's own rules
# description: |
#   What this bank asks beyond the standard policy. A rule under "deny" adds a refusal; a
#   rule under "waive" lifts one requirement, for one object.
package countersign.site

import data.countersign.standard.amounts
import data.countersign.standard.details

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

small if amounts.at_most(input.parsed_body.Data.Initiation.InstructedAmount.Amount, "10000")

# METADATA
# title: A payment abroad is the one that was authorized
# description: |
#   One element of the token's authorization details must be of this payment: what two of
#   them say is not put together.
# custom:
#   reason: other_payment
deny contains "other_payment" if {
	input.operation.id == "CreateInternationalPayments"
	not authorized
}

authorized if {
	asked := input.parsed_body.Data.Initiation
	some detail in details.granting({"type": "payment_initiation", "actions": ["initiate"]})
	is_string(detail.creditorAccount.iban)
	detail.creditorAccount.iban == asked.CreditorAccount.Identification
	is_string(detail.instructedAmount.currency)
	detail.instructedAmount.currency == asked.InstructedAmount.Currency
	amounts.same(detail.instructedAmount.amount, asked.InstructedAmount.Amount)
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
