//go:build mutants

package integration

import "slices"

// The files that checks stand in.
const (
	targetGo       = "authz/target.go"
	answersGo      = "authz/answers.go"
	operationGo    = "authz/operation.go"
	pipelineGo     = "authz/pipeline.go"
	revocationGo   = "authz/revocation.go"
	revocationsGo  = "authz/replay/revocations.go"
	rolesGo        = "authz/certificates.go"
	lookupGo       = "authz/lookup.go"
	factsGo        = "authz/facts.go"
	detailsGo      = "authz/details.go"
	spendGo        = "authz/spend.go"
	certificateGo  = "authz/certificate/certificate.go"
	xfccGo         = "authz/certificate/xfcc.go"
	jsonGo         = "authz/json.go"
	matchGo        = "authz/contract/match.go"
	logGo          = "authz/audit/log.go"
	replayGo       = "authz/replay/replay.go"
	appendGo       = "authz/replay/file/append.go"
	extensionGo    = "authz/contract/extension.go"
	inspectGo      = "authz/contract/inspect.go"
	bodyGo         = "authz/contract/body.go"
	credentialsGo  = "authz/token/credentials.go"
	headerGo       = "authz/token/jose.go"
	joseGo         = "authz/token/jose/jose.go"
	tokenGo        = "authz/token/token.go"
	claimsGo       = "authz/token/claims.go"
	callerGo       = "authz/token/caller.go"
	bindingGo      = "authz/token/binding.go"
	lifecycleGo    = "authz/token/lifecycle.go"
	dpopGo         = "authz/token/dpop/dpop.go"
	proofGo        = "authz/token/dpop/proof.go"
	nonceGo        = "authz/token/dpop/nonce.go"
	keyGo          = "authz/token/jose/key.go"
	weakGo         = "authz/token/jose/weak.go"
	keySetGo       = "authz/token/jwks/set.go"
	ownershipGo    = "authz/ownership/ownership.go"
	allowGo        = "envoy/allow.go"
	revokeGo       = "cmd/countersign/revoke.go"
	standardRego   = "rego/library/standard.rego"
	amountsRego    = "rego/library/amounts.rego"
	tablesRego     = "rego/library/tables.rego"
	rolesRego      = "rego/library/roles.rego"
	callersRego    = "rego/library/callers.rego"
	hoursRego      = "rego/library/hours.rego"
	breakGlassRego = "rego/library/break_glass.rego"
	siteRego       = "examples/openbanking/policy/site.rego"
	bankRego       = "examples/openbanking/policy/openbanking.rego"
	bankYAML       = "examples/openbanking/countersign.yaml.tmpl"
	envoyYAML      = "examples/openbanking/envoy.yaml.tmpl"
	observeGo      = "authz/observe.go"
	shadowGo       = "authz/shadow/shadow.go"
	differencesGo  = "authz/audit/differences.go"
)

// mutations are the checks that stories rely on, in the order in which a request
// meets them. Where several checks stand behind one another, so that one alone is
// not missed, all of them are taken out at once.
var mutations = slices.Concat(ofTargets, ofTokens, ofCertificates, ofContracts, ofObserving, ofShadows, ofPolicies, ofTables, ofAnswers, ofStores, ofPeers)

// ofTargets are those of what is asked for.
var ofTargets = []mutation{
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
}

// ofAnswers are those of what is done with a decision.
var ofAnswers = []mutation{
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

	{
		name: "what cannot be counted is refused, unless the contract says otherwise",
		edits: []edit{{operationGo,
			"if m.Operation == nil || !m.Operation.BestEffort {",
			"if m.Operation == nil {"}},
		in: "authz", told: "TestBestEffort",
	},
	{
		name: "what cannot be counted is safe, or refused",
		edits: []edit{{operationGo,
			"return m.Operation.Method == http.MethodGet || m.Operation.Method == http.MethodHead",
			"return m.Operation.Method != http.MethodConnect"}},
		in: "authz", told: "TestBestEffort",
	},
	{
		name: "a contract lets safe methods alone go on uncounted",
		edits: []edit{{extensionGo,
			"case method != http.MethodGet && method != http.MethodHead:",
			"case method == http.MethodConnect:"}},
		in: "authz/contract", told: "TestProblemsOfDocuments",
	},

	// What every answer has.
	{
		name: "an interaction id is a UUID",
		edits: []edit{{answersGo,
			"if _, err := ParseDecisionID(sent); err == nil {",
			"if sent != \"\" {"}},
		in: "authz", told: "TestInteractionIDIsAUUID",
	},
	{
		name: "answers to callers who are not known tell no operations",
		edits: []edit{{answersGo,
			"if f.Token != nil && f.Match.Operation != nil {",
			"if f.Match.Operation != nil {"}},
		in: "authz", told: "TestBrowsersTellNoOperations",
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
			"if err := record(ctx, p.Recorder, &decision, facts); err != nil {",
			"if err := error(nil); err != nil {"}},
		stories: []string{ordinary, "02-another-customers-account"},
		told:    throughEnvoy,
	},
}
