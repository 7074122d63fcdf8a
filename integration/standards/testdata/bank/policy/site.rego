package countersign.site

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
