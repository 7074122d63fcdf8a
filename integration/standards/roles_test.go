package standards

import (
	"slices"

	"github.com/countersign-io/countersign/authz"
)

// roleProofs are Q: what a PSD2 certificate lets its holder do (ETSI TS 119 495).
func roleProofs() []proofOf {
	information := from(plain, at("/information"), certificate("AI"))
	payment := from(plain, at("/payments"), posting(`{"amount":"1.00"}`), certificate("PI"))
	provider := from(plain, at("/provider"), certificate("provider"))
	return slices.Concat(
		rule("Q1", information,
			bad("no roles", authz.CertificateRole, certificate("no roles")),
			bad("another role's name", authz.CertificateRole, certificate("misnamed")),
			bad("a name of another type of text", authz.CertificateRole, certificate("other text")),
			bad("the right name, and another identifier", authz.CertificateRole, certificate("foreign role")),
			bad("a statement twice", authz.CertificateRole, certificate("twice")),
			bad("no statement", authz.CertificateRole, certificate("acme")),
			bad("no certificate", authz.CertificateRequired, certificate("")),
			bad("it has expired", authz.CertificateExpired, sentAfter(minutes(61)), after("exp", minutes(120))),
		),
		rule("Q2", information,
			bad("no country", authz.CertificateRole, certificate("no authority")),
			bad("small letters", authz.CertificateRole, certificate("small authority")),
			bad("nine letters", authz.CertificateRole, certificate("long authority")),
		),
		rule("Q3", provider,
			bad("of another authority", authz.PolicyDenied, certificate("of another")),
			bad("of another form", authz.PolicyDenied, certificate("of no form")),
			bad("none", authz.PolicyDenied, certificate("PI")),
		),
		rule("Q4", from(information, certificate("website")),
			good("it does not say what it is for", certificate("AI")),
			bad("for seals", authz.CertificateRole, certificate("seal")),
		),
		rule("Q6", information,
			good("an account servicer, where the contract says so", certificate("AS")),
			bad("an initiator of payments", authz.CertificateRole, certificate("PI")),
			bad("an issuer of cards", authz.CertificateRole, certificate("IC")),
		),
		rule("Q6", payment,
			bad("an account servicer", authz.CertificateRole, certificate("AS")),
			bad("an informant", authz.CertificateRole, certificate("AI")),
		),
		rule("Q6", from(plain, at("/funds"), certificate("IC")),
			bad("an informant, for funds", authz.CertificateRole, certificate("AI")),
		),
	)
}
