//go:build mutants

package integration

// The files that the checks of policy-only APIs stand in.
const (
	peerPolicyGo  = "rego/peerpolicy.go"
	peerKeptGo    = "rego/peerkept.go"
	peerNetworkGo = "rego/peernetwork.go"
	peerTripGo    = "rego/peertrip.go"
	refusalsGo    = "authz/audit/refusals.go"
)

// ofPeers are the checks of policy-only APIs, whose stories are cases of their own.
var ofPeers = []mutation{
	{
		name: "only built-ins that are allowed ask the network",
		edits: []edit{{peerPolicyGo,
			" && slices.Contains(c.Builtins, b.Name))",
			")"}},
		in: "rego", told: "TestPeerRefusesToLoad",
	},
	{
		name: "only hosts that are allowed are asked",
		edits: []edit{{peerPolicyGo,
			"all.AllowNet = c.Hosts;",
			"all.AllowNet = nil;"}},
		in: "rego", told: "TestPeerLooksUpAddresses",
	},
	{
		name: "sockets of the machine are not asked",
		edits: []edit{{peerTripGo,
			"\town.DialContext = common.DialContext\n",
			""}},
		in: "rego", told: "TestPeerAsksNoSocketsOfTheMachine",
	},
	{
		name: "of what was asked no header is kept",
		edits: []edit{{peerNetworkGo,
			"pair{key, ast.StringTerm(a.hash(value.Value))}",
			"pair{key, value}"}},
		in: "rego", told: "TestPeerAsksTheNetwork",
	},
	{
		name: "of what was asked no body is kept",
		edits: []edit{{peerNetworkGo,
			"\t\t\tvalue = ast.StringTerm(a.hash(value.Value))\n",
			""}},
		in: "rego", told: "TestPeerAsksTheNetwork",
	},
	{
		name: "of what was asked no query is kept",
		edits: []edit{{peerNetworkGo,
			`strings.Cut(string(text), "?")`,
			`strings.Cut(string(text), "\x00")`}},
		in: "rego", told: "TestPeerAsksTheNetwork",
	},
	{
		name: "nothing is guessed of what was not asked",
		edits: []edit{{peerKeptGo,
			"if len(asked.lacking) > 0 {",
			"if false {"}},
		in: "rego", told: "TestPeerAsksTheNetwork",
	},
	{
		name: "an answer is bounded",
		edits: []edit{{peerTripGo,
			"left: maxAnswer}",
			"left: maxAnswer << 4}"}},
		in: "rego", told: "TestPeerNetworkFaultsAreThePolicys",
	},
	{
		name: "an answer's header is bounded",
		edits: []edit{{peerTripGo,
			"transport.MaxResponseHeaderBytes = maxAnswerHeader",
			"transport.MaxResponseHeaderBytes = maxAnswerHeader << 4"}},
		in: "rego", told: "TestPeerNetworkFaultsAreThePolicys",
	},
	{
		name: "no credential is kept of a policy-only request",
		edits: []edit{{peerKeptGo,
			"bare, withheld := withoutCredentials(value)",
			"bare, withheld := value, []string(nil)"}},
		in: "rego", told: "TestPeerReplaysWhatIsKept",
	},
	{
		name: "nothing is guessed of a credential",
		edits: []edit{{peerKeptGo,
			"readsWithheld(ref, input.Withheld) || ",
			""}},
		in: "rego", told: "TestPeerReplaysWhatIsKept",
	},
	{
		name: "inputs of refusals do not fill the disk",
		edits: []edit{{refusalsGo,
			"if l.refused.inputs+size > maxRefusedInputs {",
			"if false {"}},
		in: "authz/audit", told: "TestInputsOfRefusalsAreKeptAtABoundedRate",
	},
}
