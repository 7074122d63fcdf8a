//go:build mutants

package integration

// ofPolicies are the checks of the library and of the bank's own rules.
var ofPolicies = []mutation{
	// What the policy asks of the consent.
	{
		// All else that is asked of a consent is not satisfied without one.
		name: "there is a consent",
		edits: []edit{{standardRego,
			"\tid := input.consent.id\n\tis_string(id)\n\tid != \"\"\n",
			"\ttrue\n"}},
		stories: []string{"19-consent-unknown"},
	},
	{
		name: "the consent's client",
		edits: []edit{{standardRego,
			"\tclient == input.caller.client\n",
			""}},
		stories: []string{"16-consent-of-another-client"},
	},
	{
		name: "the consent's subject",
		edits: []edit{{standardRego,
			"\tsubject == input.caller.subject\n",
			""}},
		stories: []string{"17-consent-of-another-customer"},
	},
	{
		name: "the consent's status",
		edits: []edit{{standardRego,
			"if input.consent.status in {\"AUTH\", \"Authorised\"}",
			"if input.consent.status"}},
		stories: []string{"15-consent-revoked"},
	},
	{
		name: "the consent's expiry",
		edits: []edit{{standardRego,
			"\texpiry > now\n",
			""}},
		stories: []string{"14-consent-expired"},
	},
	{
		name: "the consent's permissions",
		edits: []edit{{standardRego,
			"\t\tpermission in held\n",
			""}},
		stories: []string{"13-consent-without-permission"},
	},
	{
		name: "the consent's objects",
		edits: []edit{{standardRego,
			"\t{\"type\": thing.type, \"id\": thing.id} in covered\n",
			""}},
		stories: []string{"18-consent-for-another-account", "12-unknown-account"},
	},

	// Whose things are, and where they are.
	{
		name: "ownership",
		edits: []edit{{standardRego,
			"\tthing.owned == true\n",
			""}},
		stories: []string{"02-another-customers-account", "03-another-account-in-query", "04-two-accounts-in-query",
			"05-another-account-in-header", "06-another-account-in-body"},
	},
	{
		name: "the bank's own word on ownership",
		edits: []edit{{bankYAML,
			"and customers.subject = :subject",
			"and :subject = :subject"}},
		stories: []string{"02-another-customers-account", "06-another-account-in-body"},
	},
	{
		// The pipeline does not ask about them, the lookup does not answer, the policy does
		// not believe it, and a name of one issuer's is nobody of another's.
		name: "clients and staff own nothing",
		edits: []edit{
			{lookupGo,
				"if caller.Kind == Customer {",
				"if true {"},
			{ownershipGo,
				"if caller.Kind != authz.Customer || ",
				"if "},
			{standardRego,
				"\tinput.caller.kind == \"customer\"\n\tsome [name, thing] in objects\n",
				"\tsome [name, thing] in objects\n"},
			{bankYAML,
				"where customers.issuer = :issuer\n",
				"where :issuer = :issuer\n"},
		},
		stories: []string{"78-own-account-as-staff"},
	},
	{
		name: "the service's region",
		edits: []edit{{standardRego,
			"\tservice in regions\n",
			""}},
		stories: []string{"82-served-from-elsewhere"},
	},
	{
		name: "the caller's region",
		edits: []edit{{standardRego,
			"\tcaller in served\n",
			""}},
		stories: []string{"51-caller-from-abroad"},
	},
	{
		name: "the object's region",
		edits: []edit{{standardRego,
			"\tregion in served\n",
			""}},
		stories: []string{"52-account-kept-abroad"},
	},

	// What else the policy asks of the caller, and the bank's own rules.
	{
		name: "a permission is of the caller's own role",
		edits: []edit{{standardRego,
			"\tsome role in roles\n",
			"\tsome role, _ in data.roles\n"}},
		stories: []string{"45-role-not-held", "49-customer-in-back-office"},
	},
	{
		name: "how long ago the user authenticated",
		edits: []edit{{standardRego,
			"\tage <= oldest\n",
			""}},
		stories: []string{"54-payment-without-step-up"},
	},
	{
		name: "how the user authenticated",
		edits: []edit{{standardRego,
			"\tacr in accepted\n",
			""}},
		stories: []string{"103-step-up-to-a-stronger-login"},
	},
	{
		name: "all that a step-up asks for",
		edits: []edit{{standardRego,
			"\tcount(asked - answered) == 0\n",
			""}},
		stories: []string{"54-payment-without-step-up", "103-step-up-to-a-stronger-login", "104-login-untold", "105-step-up-with-a-proof"},
	},
	{
		name: "what the site denies",
		edits: []edit{{standardRego,
			"refusals := (unmet - waived) | denied",
			"refusals := unmet - waived"}},
		stories: []string{"55-large-payment", "57-unreadable-payment", "58-payment-of-a-number"},
	},
	{
		name: "the site's limit on payments",
		edits: []edit{{siteRego,
			"small if amounts.at_most(input.parsed_body.Data.Initiation.InstructedAmount.Amount, \"10000\")",
			"small if amounts.fixed(input.parsed_body.Data.Initiation.InstructedAmount.Amount)"}},
		stories: []string{"55-large-payment"},
	},
	{
		// What is no text cannot be read any further, which is an error.
		name: "amounts are text",
		edits: []edit{{amountsRego,
			"\tis_string(amount)\n",
			""}},
		stories: []string{"58-payment-of-a-number"},
	},
	{
		name: "amounts are in one notation",
		edits: []edit{{amountsRego,
			"\tregex.match(`^[0-9]{1,18}(\\.[0-9]{1,18})?$`, amount)\n",
			""}},
		stories: []string{"79-small-payment-unreadable"},
	},
	{
		name: "a payment is of the amount that was authorized",
		edits: []edit{{siteRego,
			"amounts.same(detail.instructedAmount.amount, asked.InstructedAmount.Amount)",
			"amounts.same(asked.InstructedAmount.Amount, asked.InstructedAmount.Amount)"}},
		stories: []string{"107-payment-of-more", "108-payment-of-two-authorizations"},
	},
	{
		name: "a payment is for whom it was authorized",
		edits: []edit{{siteRego,
			"\tdetail.creditorAccount.iban == asked.CreditorAccount.Identification\n",
			""}},
		stories: []string{"108-payment-of-two-authorizations"},
	},
	{
		name: "a case is about some accounts",
		edits: []edit{{siteRego,
			"\tsome key in case.objects\n",
			"\tsome named in input.objects\n\tkey := concat(\":\", [named.type, named.id])\n"}},
		stories: []string{"48-case-for-another-account"},
	},
	{
		name: "a case is somebody's",
		edits: []edit{{siteRego,
			"\tcase.agent == input.caller.subject\n",
			""}},
		stories: []string{"47-no-open-case"},
	},
	{
		name: "a case is for support",
		edits: []edit{{siteRego,
			"\t\"support\" in input.caller.roles\n",
			""}},
		stories: []string{"80-case-without-role"},
	},
	{
		// One of what is not required is left out, and what is left in is taken away
		// from the refusals one by one.
		name: "a waiver lifts what it names alone",
		edits: []edit{
			{standardRego,
				"\tsome name in data.countersign.site.waive\n\tname in required\n",
				"\tsome name in data.countersign.site.waive\n"},
			{standardRego,
				"refusals := (unmet - waived) | denied",
				"refusals := {refusal | some refusal in unmet; count(waived) == 0} | denied"},
		},
		stories: []string{"48-case-for-another-account"},
	},
}
