package countersign.site_test

import data.countersign.site

payment(amount) := {
	"operation": {"permission": "create_payments"},
	"token": {"claims": {}},
	"parsed_body": {"Data": {"Initiation": {"InstructedAmount": {"Amount": amount, "Currency": "GBP"}}}},
}

test_small_payment_needs_one_signer if {
	every amount in ["0.01", "9.50", "1.234", "10000", "10000.00"] {
		count(site.deny) == 0 with input as payment(amount)
	}
}

test_large_payment_needs_a_second_signer if {
	every amount in ["10000.01", "250000"] {
		site.deny == {"second_signer"} with input as payment(amount)
	}
}

test_second_signer_suffices if {
	signed := object.union(payment("250000"), {"token": {"claims": {"second_signer": true}}})
	count(site.deny) == 0 with input as signed
}

test_second_signer_is_a_boolean if {
	every value in ["true", 1, null, false, [true]] {
		signed := object.union(payment("250000"), {"token": {"claims": {"second_signer": value}}})
		site.deny == {"second_signer"} with input as signed
	}
}

test_unreadable_amount_is_refused if {
	every amount in ["", "-1", "1e9", "0x10", " 5", "5 ", "1,000", 5, null, ["5"], {"a": 1}, "1.", ".5"] {
		site.deny == {"second_signer"} with input as payment(amount)
	}
}

test_absent_amount_is_refused if {
	every path in ["parsed_body", "parsed_body/Data", "parsed_body/Data/Initiation/InstructedAmount/Amount", "token", "token/claims"] {
		taken := json.remove(payment("250000"), [path])
		site.deny == {"second_signer"} with input as taken
	}
}

test_other_operations_need_no_amount if {
	count(site.deny) == 0 with input as {"operation": {"permission": "backoffice_read"}}
}

abroad := {
	"operation": {"id": "CreateInternationalPayments", "audiences": ["https://api.bank.example"]},
	"token": {"authorization_details": [{
		"type": "payment_initiation",
		"actions": ["initiate"],
		"instructedAmount": {"currency": "EUR", "amount": "25.50"},
		"creditorAccount": {"iban": "DE02100100109307118603"},
	}]},
	"parsed_body": {"Data": {"Initiation": {
		"InstructedAmount": {"Amount": "25.5", "Currency": "EUR"},
		"CreditorAccount": {"Identification": "DE02100100109307118603"},
	}}},
}

test_payment_that_was_authorized if {
	count(site.deny) == 0 with input as abroad
}

test_another_payment_is_refused if {
	every change in [
		{"InstructedAmount": {"Amount": "25.51"}},
		{"InstructedAmount": {"Amount": 25.5}},
		{"InstructedAmount": {"Currency": "GBP"}},
		{"CreditorAccount": {"Identification": "FR7630006000011234567890189"}},
	] {
		other := object.union(abroad, {"parsed_body": {"Data": {"Initiation": change}}})
		site.deny == {"other_payment"} with input as other
	}
}

test_payment_is_refused_when_a_fact_is_absent if {
	every path in [
		"token", "token/authorization_details", "token/authorization_details/0/creditorAccount",
		"token/authorization_details/0/instructedAmount/currency", "parsed_body",
		"parsed_body/Data/Initiation/InstructedAmount/Currency", "parsed_body/Data/Initiation/CreditorAccount",
	] {
		taken := json.remove(abroad, [path])
		site.deny == {"other_payment"} with input as taken
	}
}

agent := {
	"operation": {"permission": "backoffice_read"},
	"caller": {"kind": "staff", "subject": "sam", "roles": ["support"]},
}

cases := [{"agent": "sam", "objects": ["account:1"]}, {"agent": "eve", "objects": ["account:2"]}]

test_open_case_waives_its_own_accounts if {
	site.waive == {{"not_owner": "account:1"}} with input as agent with data.open_cases as cases
}

test_nothing_is_waived_without_a_case if {
	count(site.waive) == 0 with input as agent with data.open_cases as []
	other := object.union(agent, {"caller": {"subject": "tom"}})
	count(site.waive) == 0 with input as other with data.open_cases as cases
}

test_nothing_is_waived_for_others if {
	every change in [
		{"caller": {"kind": "customer"}},
		{"caller": {"roles": ["fraud"]}},
		{"caller": {"roles": []}},
		{"operation": {"permission": "backoffice_freeze"}},
	] {
		other := object.union(agent, change)
		count(site.waive) == 0 with input as other with data.open_cases as cases
	}
}

test_nothing_is_waived_when_a_fact_is_absent if {
	every path in ["operation", "operation/permission", "caller", "caller/kind", "caller/subject", "caller/roles"] {
		taken := json.remove(agent, [path])
		count(site.waive) == 0 with input as taken with data.open_cases as cases
	}
}
