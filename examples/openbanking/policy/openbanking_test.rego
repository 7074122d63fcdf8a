package openbanking_test

import data.openbanking

payment(amount) := {
	"operation": {"permission": "create_payments"},
	"caller": {"issuer": "https://auth.bank.example", "subject": "ann"},
	"parsed_body": {"Data": {"Initiation": {"InstructedAmount": {"Amount": amount}}}},
}

test_large_payments_are_limited_for_each_customer if {
	openbanking.limits == {{
		"name": "large_payments",
		"key": `["https://auth.bank.example","ann"]`,
		"max": 2,
		"window": 86400000000000,
	}} with input as payment("10001")
}

test_small_payments_are_not if {
	count(openbanking.limits) == 0 with input as payment("10000")
}

test_decision_is_the_standard_one_with_limits if {
	decision := openbanking.decision with input as payment("10001")
	not decision.allowed
	count(decision.limits) == 1
}
