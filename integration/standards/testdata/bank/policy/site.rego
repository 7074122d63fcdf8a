package countersign.site

import data.countersign.standard.amounts
import data.countersign.standard.details

# METADATA
# title: Nobody acts for the customer but the agent
# custom: {reason: not_delegated}
deny contains "not_delegated" if {
	input.operation.id == "GetDelegated"
	not input.caller.actor == "agent"
}

# METADATA
# title: The provider is the one that the authority registered
# custom: {reason: not_registered}
deny contains "not_registered" if {
	input.operation.id == "GetProvider"
	not input.certificate.psd2.id == "PSDGB-FCA-123456"
}

# METADATA
# title: The amount is the one that was authorized
# custom: {reason: other_amount}
deny contains "other_amount" if {
	input.operation.id == "CreateTransfers"
	not authorized
}

authorized if {
	some detail in details.granting({"type": "payment_initiation", "actions": ["initiate"]})
	amounts.same(detail.amount, input.parsed_body.amount)
}
