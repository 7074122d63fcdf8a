# Beside the bank's own rules: payments are made as the customer authorized them. What
# the customer was asked for is in the token, as authorization details (RFC 9396).
package countersign.site

# METADATA
# title: The payment is not the one that was authorized
# custom:
#   reason: payment_not_authorized
deny contains "payment_not_authorized" if {
	input.operation.permission == "create_payments"
	not authorized
}

authorized if {
	initiation := input.parsed_body.Data.Initiation
	some detail in input.token.authorization_details
	detail.type == "payment_initiation"
	detail.instructedAmount.amount == initiation.InstructedAmount.Amount
	detail.instructedAmount.currency == initiation.InstructedAmount.Currency
	detail.creditorAccount == initiation.CreditorAccount.Identification
}
