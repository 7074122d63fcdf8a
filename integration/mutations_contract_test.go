//go:build mutants

package integration

// ofCertificates are the checks of client certificates that are forwarded.
var ofCertificates = []mutation{
	// Envoy itself keeps such headers, and expired certificates, from stories.
	{
		name: "the hash is that of the certificate beside it",
		edits: []edit{{xfccGo,
			"if read.Thumbprint != e.thumbprint {",
			"if false {"}},
		in: "authz/certificate", told: "TestXFCCThatIsRefused",
	},
	{
		name: "the header has as many elements as there are proxies",
		edits: []edit{{xfccGo,
			"case len(elements) > r.elements:",
			"case false:"}},
		in: "authz/certificate", told: "TestXFCCThatIsRefused",
	},
	{
		name: "roles are a certificate's within its dates",
		edits: []edit{{factsGo,
			"return !at.Before(i.NotBefore) && !at.After(i.NotAfter)",
			"return true"}},
		in: "authz", told: "TestCertificateRoles",
	},
	{
		name: "names are a certificate's within its dates",
		edits: []edit{{factsGo,
			" || !f.Certificate.Identity.standsAt(f.Time) {",
			" {"}},
		in: "rego", told: "TestCertificateSaysNothingOutsideItsDates",
	},
}

// ofContracts are the checks of what a caller may ask for, and of what is named.
var ofContracts = []mutation{
	// From where.
	{
		name: "a client calls from its own addresses",
		edits: []edit{{pipelineGo,
			"if err = atHome(f); err != nil {",
			"if false {"}},
		stories: []string{"123-client-from-elsewhere", "124-client-from-elsewhere-on-an-unknown-path"},
	},

	// What the contract lets such a caller ask for.
	{
		name: "the certificate's roles",
		edits: []edit{{pipelineGo,
			"if err = certified(f); err != nil {",
			"if false {"}},
		stories: []string{"83-role-not-in-certificate", "85-payment-without-certificate"},
	},
	{
		name: "there is a certificate",
		edits: []edit{{rolesGo,
			"return fmt.Errorf(\"certificate: %w\", CertificateRequired)",
			"return nil"}},
		stories: []string{"85-payment-without-certificate"},
	},
	{
		name: "the certificate's role is the one that is asked for",
		edits: []edit{{rolesGo,
			"return slices.Contains(identity.PSD2.Roles, role)",
			"return role != \"\" || slices.Contains(identity.PSD2.Roles, role)"}},
		stories: []string{"83-role-not-in-certificate"},
	},
	{
		name: "scopes",
		edits: []edit{{pipelineGo,
			"if holdsAll(caller.Scopes, requirement.Scopes) {",
			"if true {"}},
		stories: []string{"40-scope-missing"},
	},
	{
		// A client that gets past it has no customer's consent; a customer has the
		// scope, which is all that is asked.
		name: "kinds of caller",
		edits: []edit{{pipelineGo,
			"return r.Kinds == nil || ",
			"return true || "}},
		stories: []string{"41-client-in-place-of-customer", "43-customer-in-place-of-client"},
	},
	{
		name: "a client's own token is the client's, whatever it says",
		edits: []edit{{callerGo,
			"case itself:",
			"case false:"}},
		stories: []string{"74-client-called-customer"},
	},
	{
		// The bank's own rule stands behind it, for payments.
		name: "authorization details",
		edits: []edit{{pipelineGo,
			"if err = detailed(f); err != nil {",
			"if false {"}},
		stories: []string{"109-payment-not-authorized", "110-authorized-in-two-parts", "111-authorized-elsewhere", "112-details-unreadable"},
	},
	{
		name: "authorization details that can be read",
		edits: []edit{{detailsGo,
			"case token != nil && token.DetailsDoubt != \"\":",
			"case false:"}},
		stories: []string{"112-details-unreadable"},
	},
	{
		name: "the actions that are authorized",
		edits: []edit{{detailsGo,
			"holdsAll(d.Actions, r.Actions) && ",
			""}},
		stories: []string{"110-authorized-in-two-parts"},
	},
	{
		name: "where authorization details hold",
		edits: []edit{{detailsGo,
			"d.Type == r.Type && d.holdsAt(audiences) &&",
			"d.Type == r.Type &&"}},
		stories: []string{"111-authorized-elsewhere"},
	},

	// What the request names.
	{
		name: "objects in the path",
		edits: []edit{{inspectGo,
			"err = names.path(rule, match.Parameters)",
			"err = nil"}},
		stories: []string{"02-another-customers-account", "12-unknown-account"},
	},
	{
		name: "objects in the query",
		edits: []edit{{inspectGo,
			"err = names.query(rule, target)",
			"err = nil"}},
		stories: []string{"03-another-account-in-query", "04-two-accounts-in-query"},
	},
	{
		name: "all objects in the query",
		edits: []edit{{inspectGo,
			"for _, value := range values {",
			"for _, value := range values[:1] {"}},
		stories: []string{"04-two-accounts-in-query"},
	},
	{
		name: "names that differ in case only",
		edits: []edit{{inspectGo,
			"if name != rule.Name && ",
			"if false && name != rule.Name && "}, {bodyGo,
			"if other != name && ",
			"if false && other != name && "}},
		stories: []string{"75-account-in-another-case", "76-account-in-another-case-in-body"},
	},
	{
		name: "objects in a header",
		edits: []edit{{inspectGo,
			"err = names.header(rule, request.Headers)",
			"err = nil"}},
		stories: []string{"05-another-account-in-header"},
	},
	{
		// The two make one id, which nobody's account has.
		name: "one object in a header",
		edits: []edit{{inspectGo,
			"|| !rule.List && strings.Contains(value, \",\")",
			""}},
		stories: []string{"77-two-accounts-in-header"},
	},
	{
		name: "objects in the body",
		edits: []edit{{inspectGo,
			"err = names.wholeBody(rule, body)",
			"err = nil"}},
		stories: []string{"06-another-account-in-body"},
	},
	{
		name: "a member stands once in the body",
		edits: []edit{{jsonGo,
			"if _, twice := object[name]; twice {",
			"if false {"}},
		stories: []string{"07-account-twice-in-body"},
	},
	{
		// No body is read then, and the account that it must name is missed.
		name: "the body's format",
		edits: []edit{
			{bodyGo, "case readsBody(n.operation) && ", "case false && "},
			{bodyGo, "case isForm(kind) && ", "case false && "},
		},
		stories: []string{"59-payment-in-another-format"},
	},
	{
		name: "objects that must be named",
		edits: []edit{{inspectGo,
			"if rule.Optional {",
			"if true {"}},
		stories: []string{"10-account-left-out"},
	},
}
