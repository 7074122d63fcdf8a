//go:build mutants

package integration

// The files that checks stand in.
const (
	targetGo      = "authz/target.go"
	pipelineGo    = "authz/pipeline.go"
	revocationGo  = "authz/revocation.go"
	revocationsGo = "authz/replay/revocations.go"
	rolesGo       = "authz/certificates.go"
	lookupGo      = "authz/lookup.go"
	factsGo       = "authz/facts.go"
	detailsGo     = "authz/details.go"
	spendGo       = "authz/spend.go"
	certificateGo = "authz/certificate/certificate.go"
	xfccGo        = "authz/certificate/xfcc.go"
	jsonGo        = "authz/json.go"
	matchGo       = "authz/contract/match.go"
	inspectGo     = "authz/contract/inspect.go"
	bodyGo        = "authz/contract/body.go"
	credentialsGo = "authz/token/credentials.go"
	headerGo      = "authz/token/jose.go"
	joseGo        = "authz/token/jose/jose.go"
	tokenGo       = "authz/token/token.go"
	claimsGo      = "authz/token/claims.go"
	callerGo      = "authz/token/caller.go"
	bindingGo     = "authz/token/binding.go"
	lifecycleGo   = "authz/token/lifecycle.go"
	dpopGo        = "authz/token/dpop/dpop.go"
	proofGo       = "authz/token/dpop/proof.go"
	nonceGo       = "authz/token/dpop/nonce.go"
	keySetGo      = "authz/token/jwks/set.go"
	ownershipGo   = "authz/ownership/ownership.go"
	allowGo       = "envoy/allow.go"
	standardRego  = "rego/library/standard.rego"
	amountsRego   = "rego/library/amounts.rego"
	siteRego      = "examples/openbanking/policy/site.rego"
	bankRego      = "examples/openbanking/policy/openbanking.rego"
	bankYAML      = "examples/openbanking/countersign.yaml.tmpl"
	envoyYAML     = "examples/openbanking/envoy.yaml.tmpl"
)

// mutations are the checks that stories rely on, in the order in which a request
// meets them. Where several checks stand behind one another, so that one alone is
// not missed, all of them are taken out at once.
var mutations = []mutation{
	// What is asked for.
	{
		name: "a path has one meaning",
		edits: []edit{{targetGo,
			"strings.ContainsAny(segment, `;\\#`)",
			"strings.ContainsAny(segment, `\\#`)"}},
		stories: []string{"66-ambiguous-path"},
	},
	{
		name: "unknown paths are told to callers with a token only",
		edits: []edit{{pipelineGo,
			"errors.Is(unknown, NoContract) {",
			"unknown != nil {"}},
		stories: []string{"62-unknown-path"},
	},
	{
		// Without it the pipeline panics for lack of an operation, and denies.
		name: "unknown paths and methods are refused",
		edits: []edit{{pipelineGo,
			"if unknown != nil {",
			"if false {"}},
		stories: []string{"63-unknown-path-with-token", "64-wrong-method"},
	},
	{
		name: "a path is known with some methods only",
		edits: []edit{{matchGo,
			"operation, ok := found.operations[request.Method]\n",
			"operation, ok := found.operations[request.Method]\nif !ok {\noperation, ok = found.operations[\"GET\"]\n}\n"}},
		stories: []string{"64-wrong-method"},
	},

	// Who asks: the token.
	{
		name: "a bad token is refused where none is needed",
		edits: []edit{{pipelineGo,
			"if errors.Is(err, NoCredentials) && operation != nil",
			"if operation != nil"}},
		stories: []string{"61-public-with-bad-token"},
	},
	{
		name: "operations take a token unless they are public",
		edits: []edit{{pipelineGo,
			"operation != nil && operation.TakesAnonymous()",
			"operation != nil"}},
		stories: []string{"39-no-token"},
	},
	{
		name: "no credentials are not bad credentials",
		edits: []edit{{credentialsGo,
			"case count == 0:",
			"case false:"}},
		stories: []string{"39-no-token", "62-unknown-path"},
	},
	{
		name: "one credential at a time",
		edits: []edit{{credentialsGo,
			"case count > 1 || joined(value):",
			"case false:"}},
		stories: []string{"37-two-tokens"},
	},
	{
		name: "the credentials' scheme",
		edits: []edit{{credentialsGo,
			"case !isOurs(scheme):",
			"case false:"}},
		stories: []string{"68-password"},
	},
	{
		name: "no token in the query",
		edits: []edit{{credentialsGo,
			"queried := tokenInQuery(request.Target)",
			"queried := false"}},
		stories: []string{"69-token-in-query"},
	},
	{
		name: "no token in a form",
		edits: []edit{{credentialsGo,
			"posted := tokenInForm(request)",
			"posted := false"}},
		stories: []string{"115-token-in-form"},
	},
	{
		// Each part is decoded on its own.
		name: "a token is a token",
		edits: []edit{
			{joseGo,
				"data, err := Decode(part)\n",
				"data, err := Decode(part)\nif err != nil {\nreturn map[string]any{}, nil\n}\n"},
			{joseGo,
				"parsed.Signature, err = Decode(parts[2]); err != nil",
				"parsed.Signature, _ = Decode(parts[2]); false"},
		},
		stories: []string{"36-not-a-token"},
	},
	{
		name: "the token's type",
		edits: []edit{{headerGo,
			"if !typed && !(i.untyped && parsed.Type == \"\") {",
			"if false && !typed {"}},
		stories: []string{"35-id-token"},
	},
	{
		// No key fits such an algorithm, so the token is refused for that.
		name: "algorithms that are accepted",
		edits: []edit{{headerGo,
			"if !slices.Contains(i.algorithms, parsed.Algorithm) {",
			"if false {"}},
		stories: []string{"30-token-unsigned", "31-token-signed-with-public-key"},
	},
	{
		name: "the issuer",
		edits: []edit{{tokenGo,
			"issuer, known := v.issuers[name]",
			"issuer, known := v.issuers[\"https://auth.bank.example\"]"}},
		stories: []string{"29-token-of-another-issuer"},
	},
	{
		// Another key is taken, and the signature is not of that.
		name: "the key's id",
		edits: []edit{{keySetGo,
			"kid != \"\" && key.ID != kid || !key.Fits(algorithm)",
			"!key.Fits(algorithm)"}},
		stories: []string{"32-token-of-unknown-key"},
	},
	{
		name: "the signature",
		edits: []edit{{headerGo,
			"if err := parsed.Verify(key.Public); err != nil {",
			"if false {"}},
		stories: []string{"33-token-forged", "34-token-changed"},
	},
	{
		// What has no end has ended long ago.
		name: "claims that a token must have",
		edits: []edit{{claimsGo,
			"r.need(\"exp\", ",
			"r.need("}},
		stories: []string{"70-token-without-end"},
	},
	{
		name: "the audience",
		edits: []edit{{tokenGo,
			"if !slices.ContainsFunc(k.claims.audiences,",
			"if false && !slices.ContainsFunc(k.claims.audiences,"}},
		stories: []string{"28-token-for-another-audience"},
	},
	{
		name: "exp",
		edits: []edit{{tokenGo,
			"case !at.Before(k.claims.expiresAt.Add(k.issuer.skew)):",
			"case false:"}},
		stories: []string{"26-token-expired", "61-public-with-bad-token"},
	},
	{
		name: "nbf",
		edits: []edit{{tokenGo,
			"case k.claims.notBefore.After(latest):",
			"case false:"}},
		stories: []string{"27-token-not-yet-valid"},
	},
	{
		name: "iat",
		edits: []edit{{tokenGo,
			"case k.claims.issuedAt.After(latest):",
			"case false:"}},
		stories: []string{"71-token-from-the-future"},
	},
	{
		name: "a login is before its token",
		edits: []edit{{claimsGo,
			"if c.authTime.After(c.issuedAt.Add(issuer.skew)) {",
			"if false {"}},
		stories: []string{"72-login-to-come"},
	},

	{
		name: "a chain of actors is short",
		edits: []edit{{callerGo,
			"r.fault(\"act\", \"names too many actors\")",
			""}},
		stories: []string{"114-too-many-actors"},
	},
	{
		name: "the longest that a token may be issued for",
		edits: []edit{{lifecycleGo,
			"case l.maxLifetime > 0 && c.expiresAt",
			"case false && c.expiresAt"}},
		stories: []string{"119-token-for-too-long"},
	},
	{
		name: "the longest that a token is taken",
		edits: []edit{{lifecycleGo,
			"case l.maxAge > 0 && at",
			"case false && at"}},
		stories: []string{"120-token-too-old"},
	},
	{
		name: "the environment",
		edits: []edit{{lifecycleGo,
			"if l.claim != \"\" && claimed != l.environment {",
			"if false {"}},
		stories: []string{"121-token-of-the-test-system", "122-token-of-no-environment"},
	},
	{
		name: "an environment that is not told is not ours",
		edits: []edit{{lifecycleGo,
			"if l.claim != \"\" && claimed != l.environment {",
			"if claimed != \"\" && claimed != l.environment {"}},
		stories: []string{"122-token-of-no-environment"},
	},
	{
		name: "each issuer has keys of its own",
		edits: []edit{{tokenGo,
			"key, err := issuer.keys.Key(ctx, parsed.KeyID, parsed.Algorithm)\n",
			"key, err := issuer.keys.Key(ctx, parsed.KeyID, parsed.Algorithm)\n" +
				"for _, other := range v.issuers {\nif found, fault := other.keys.Key(ctx, parsed.KeyID, parsed.Algorithm); fault == nil && parsed.Verify(found.Public) == nil {\nkey = found\n}\n}\n"}},
		stories: []string{"126-staff-token-of-another-issuer"},
	},
	{
		name: "a kind of caller that is not the issuer's to tell",
		edits: []edit{{callerGo,
			"r.fault(kinds.claim, \"names no kind of caller\")",
			"return authz.Staff"}},
		stories: []string{"125-staff-at-the-customers-issuer"},
	},

	// Who asks: what the token is bound to.
	{
		name: "a token is bound where the profile asks for it",
		edits: []edit{{tokenGo,
			"if err := k.checkBound(); err != nil {",
			"if err := k.checkBound(); false && err != nil {"}},
		stories: []string{"118-token-bound-to-nothing"},
	},
	{
		name: "a bound token comes with a certificate",
		edits: []edit{{bindingGo,
			"return fmt.Errorf(\"binding: %w\", authz.CertificateMissing)",
			"return nil"}},
		stories: []string{"22-stolen-token", "24-listener-without-certificates", "25-forged-certificate-header", "87-proof-without-certificate"},
	},
	{
		name: "a bound token comes with its own certificate",
		edits: []edit{{bindingGo,
			"return fmt.Errorf(\"binding: %w\", authz.CertificateMismatch)",
			"return nil"}},
		stories: []string{"23-stolen-token-of-another-client"},
	},
	{
		name: "a binding that is not understood is not satisfied",
		// The profile asks for one that is.
		edits: []edit{
			{bindingGo,
				"return \"\", fmt.Errorf(\"binding: %w\", authz.BindingUnsupported)",
				"return \"\", nil"},
			{tokenGo,
				"if err := k.checkBound(); err != nil {",
				"if err := k.checkBound(); false && err != nil {"},
		},
		stories: []string{"73-token-bound-otherwise"},
	},

	// Who asks: the proof of a key.
	{
		name: "a bound key is proven",
		edits: []edit{{bindingGo,
			"return s.proofs.Verify(ctx, call)",
			"_ = call\nreturn \"\", nil"}},
		stories: []string{"88-proof-replayed", "89-proof-for-another-method", "90-proof-for-another-url", "91-proof-of-another-key",
			"92-proof-for-another-token", "93-proof-too-old", "94-proof-without-nonce", "95-proof-missing", "97-proof-forged", "99-proof-malformed"},
	},
	{
		name: "a token that is bound to a key is not sent as another",
		edits: []edit{{bindingGo,
			"return \"\", fmt.Errorf(\"binding: %w\", authz.ProofDowngraded)",
			"return \"\", nil"}},
		stories: []string{"96-proof-downgraded"},
	},
	{
		name: "a token that is bound to no key is not sent as if it were",
		edits: []edit{{bindingGo,
			"return \"\", fmt.Errorf(\"binding: %w\", authz.ProofUnbound)",
			"return \"\", nil"}},
		stories: []string{"98-proof-of-nothing"},
	},
	{
		// What is not there is malformed.
		name: "a proof that is missing is told so",
		edits: []edit{{dpopGo,
			"return \"\", fmt.Errorf(\"proof: %w\", authz.ProofMissing)",
			"return \"\", nil"}},
		stories: []string{"95-proof-missing"},
	},
	{
		name: "the proof's type",
		edits: []edit{{proofGo,
			"if !parsed.IsType(\"dpop+jwt\") {",
			"if false {"}},
		stories: []string{"99-proof-malformed"},
	},
	{
		name: "the proof's signature",
		edits: []edit{{dpopGo,
			"if err := p.Verify(p.key.Public); err != nil {",
			"if false {"}},
		stories: []string{"97-proof-forged"},
	},
	{
		name: "the proof's method",
		edits: []edit{{dpopGo,
			"if p.method != request.Method {",
			"if false {"}},
		stories: []string{"89-proof-for-another-method"},
	},
	{
		name: "the proof's URL",
		edits: []edit{{dpopGo,
			"if !ok || !slices.ContainsFunc(v.origins, func(origin string) bool { return url == origin+path }) {",
			"if !ok || path == \"\" {"}},
		stories: []string{"90-proof-for-another-url"},
	},
	{
		name: "a nonce is demanded",
		edits: []edit{{nonceGo,
			"return \"\", fmt.Errorf(\"proof: %w: there is none\", authz.ProofNonce)",
			"return \"\", nil"}},
		stories: []string{"94-proof-without-nonce"},
	},
	{
		name: "a proof is young",
		edits: []edit{{dpopGo,
			"case p.issuedAt.Before(at.Add(-v.maxAge)):",
			"case false:"}},
		stories: []string{"93-proof-too-old"},
	},
	{
		name: "the proof's token",
		edits: []edit{{dpopGo,
			"if subtle.ConstantTimeCompare(p.token, digest[:]) != 1 {",
			"if len(digest) == 0 {"}},
		stories: []string{"92-proof-for-another-token"},
	},
	{
		name: "the proof's key",
		edits: []edit{{dpopGo,
			"if subtle.ConstantTimeCompare(p.key.Thumbprint[:], call.Key[:]) != 1 {",
			"if false {"}},
		stories: []string{"91-proof-of-another-key"},
	},
	{
		name: "a proof is good once",
		edits: []edit{{dpopGo,
			"case !fresh:",
			"case !fresh && p.id == \"\":"}},
		stories: []string{"88-proof-replayed"},
	},
	{
		// The operator says so, or the header is the client's own word.
		name: "no certificate is read from a header",
		edits: []edit{{certificateGo,
			"if cfg.From == FromXFCC {",
			"if true {"}},
		stories: []string{"84-certificate-in-a-header"},
	},

	{
		name: "revoked tokens are refused",
		edits: []edit{{pipelineGo,
			"if err = p.stands(f); err != nil {",
			"if false {"}},
		stories: []string{"127-token-revoked"},
	},
	{
		name: "what is revoked is revoked",
		edits: []edit{{revocationGo,
			"case revoked:",
			"case revoked && required:"}},
		stories: []string{"127-token-revoked"},
	},
	{
		name: "what was revoked before the start is known",
		edits: []edit{{revocationsGo,
			"if known, ok := r.revoked[name]; ok && ",
			"if known, ok := r.revoked[name]; ok && r.pass > 0 && "}},
		stories: []string{"127-token-revoked"},
	},

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
			"err = names.body(rule, body, rule.Pointer, \"body\")",
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
			{bodyGo, "case readsBody(operation) && ", "case false && "},
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
				"asksOwners := len(f.Inspection.Objects) > 0 && caller.Kind == Customer",
				"asksOwners := len(f.Inspection.Objects) > 0"},
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
				"some name in data.countersign.site.waive; name in required}",
				"some name in data.countersign.site.waive}"},
			{standardRego,
				"refusals := (unmet - waived) | denied",
				"refusals := {refusal | some refusal in unmet; count(waived) == 0} | denied"},
		},
		stories: []string{"48-case-for-another-account"},
	},

	// How often.
	{
		name: "limits",
		edits: []edit{{pipelineGo,
			"return v, p.spend(ctx, f, &v)",
			"return v, nil"}},
		stories: []string{"101-limit-reached", "102-limit-of-the-bank"},
	},
	{
		name: "limits of the contract",
		edits: []edit{{spendGo,
			"range f.Match.Operation.Limits {",
			"range f.Match.Operation.Limits[:0] {"}},
		stories: []string{"101-limit-reached"},
	},
	{
		name: "limits of the bank",
		edits: []edit{{bankRego,
			"{\"limits\": limits}",
			"{\"limits\": {limit | some limit in limits; limit.max > 2}}"}},
		stories: []string{"102-limit-of-the-bank"},
	},

	// What only Envoy's own requests show.
	{
		name:    "clients cannot say who calls",
		edits:   []edit{{allowGo, "if isOwn(field.Name)", "if false"}},
		stories: []string{"65-spoofed-identity"},
		told:    throughEnvoy,
	},
	{
		name:    "the upstream is told no other method or path",
		edits:   []edit{{allowGo, " || overrides(field.Name)", ""}},
		stories: []string{"81-another-method-in-a-header"},
		told:    throughEnvoy,
	},
	{
		name:    "traces begin at Envoy",
		edits:   []edit{{envoyYAML, "- remove: traceparent", "- remove: x-traceparent"}},
		stories: []string{"67-spoofed-trace"},
		told:    throughEnvoy,
	},
	{
		// Every story misses its record then.
		name: "decisions are recorded",
		edits: []edit{{pipelineGo,
			"if err := p.record(ctx, &decision, facts); err != nil {",
			"if err := error(nil); err != nil {"}},
		stories: []string{ordinary, "02-another-customers-account"},
		told:    throughEnvoy,
	},
}
