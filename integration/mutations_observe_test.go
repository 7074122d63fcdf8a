//go:build mutants

package integration

// ofObserving are the checks that observing other checks takes nothing from.
var ofObserving = []mutation{
	{
		name: "what is refused beside what is observed",
		edits: []edit{{observeGo,
			"} else if standing == \"\" {",
			"} else if false {"}},
		in: "authz", told: "TestObserved",
	},
	{
		name: "a denial that names nothing is observed only where all is",
		edits: []edit{{observeGo,
			" && !observes(ObserveAll):",
			" && !observes(ObserveAll) && false:"}},
		in: "authz", told: "TestObserved",
	},
	{
		name: "the caller is not told of what is observed",
		edits: []edit{{observeGo,
			"case observes(v.Reason):",
			"case false:"}},
		in: "authz", told: "TestObserved",
	},
	{
		name: "nothing of an observed denial goes out",
		edits: []edit{{observeGo,
			"Limits: v.Limits}",
			"Limits: v.Limits, Reply: v.Reply}"}},
		in: "authz", told: "TestWhatIsAnsweredOfAnObservedDenial",
	},
	{
		name: "broken glass is told beside what is observed",
		edits: []edit{{observeGo,
			"BreakGlass: v.BreakGlass, ",
			""}},
		in: "authz", told: "TestWhatIsAnsweredOfAnObservedDenial",
	},
	{
		name: "what is observed are checks that can be",
		edits: []edit{{"authz/contract/observe.go",
			"return \"is always enforced\"",
			"return \"\""}},
		in: "authz/contract", told: "TestWhatCannotBeObserved",
	},
	{
		name: "administration is never observed",
		edits: []edit{{observeGo,
			"|| code == \"admin\" }",
			"}"}},
		in: "authz", told: "TestObserved",
	},
	{
		name: "that nothing grants is never observed",
		edits: []edit{{observeGo,
			"return code == \"nothing_grants\" ||",
			"return"}},
		in: "authz", told: "TestObserved",
	},
	{
		name: "what grants does not load as observed",
		edits: []edit{{"authz/contract/observe.go",
			"case authz.Granting(code):",
			"case false:"}},
		in: "authz/contract", told: "TestWhatCannotBeObserved",
	},
	{
		name: "what could not be read is nobody's",
		edits: []edit{{inspectGo,
			"	n.unread(rules...)\n	return nil\n",
			"	return nil\n"}},
		in: "integration", told: "TestStoriesWithInspectionObserved",
	},
	{
		name: "a form that is observed may name what the query does",
		edits: []edit{{bodyGo,
			"n.withoutBody(authz.InBody, authz.InQuery)",
			"n.withoutBody(authz.InBody)"}},
		in: "authz/contract", told: "TestObservedFailuresEndNothing",
	},
	{
		name: "what is cut is not taken for the whole",
		edits: []edit{{bodyGo,
			"case cut != nil:",
			"case false:"}},
		in: "authz/contract", told: "TestObservedFailuresEndNothing",
	},
	{
		name: "no store is asked for what could not be read",
		edits: []edit{{"authz/lookup.go",
			"if n.ID != Unread && ",
			"if "}},
		in: "authz", told: "TestUnreadObjectsAreNobodys",
	},
	{
		name: "nothing grants, whatever is observed",
		edits: []edit{{"rego/library/standard.rego",
			"	not granted\n	count((unmet - waived) & granting) == 0",
			"	false"}},
		in: "rego", told: "TestLibraryPassesItsOwnTests",
	},
}

// ofShadows are the bounds of what is tried beside the policy in force.
var ofShadows = []mutation{
	{
		name: "what is not recorded is not tried",
		edits: []edit{{pipelineGo,
			"	facts := &Facts{ID: NewDecisionID(), Time: now(p.Now), Request: request}\n	decision := p.answer(ctx, snapshot, facts)\n",
			"	facts := &Facts{ID: NewDecisionID(), Time: now(p.Now), Request: request}\n	decision := p.answer(ctx, snapshot, facts)\n	p.try(snapshot, &decision, facts)\n"}},
		in: "authz", told: "TestWhatIsTried",
	},
	{
		name: "a policy that is tried is given its own claims",
		edits: []edit{{shadowGo,
			"token.Prepared = nil",
			"token.Uncounted = false"}},
		in: "authz/shadow", told: "TestCandidateGetsItsOwn",
	},
	{
		name: "what waits to be tried is bounded by its size",
		edits: []edit{{shadowGo,
			"> maxHeld {",
			"> 1<<50 {"}},
		in: "authz/shadow", told: "TestTooMuchIsDropped",
	},
	{
		name: "a policy that is tried ends in its time",
		edits: []edit{{shadowGo,
			"	if ctx.Err() != nil {\n		return Failed, nil",
			"	if false {\n		return Failed, nil"}},
		in: "authz/shadow", told: "TestTrialsAreCounted",
	},
	{
		name: "differences of a kind are recorded one by one only as far as a bound",
		edits: []edit{{differencesGo,
			" || d.alike[kind] >= maxAlike {",
			" {"}},
		in: "authz/audit", told: "TestManyDifferencesAreCounted",
	},
	{
		name: "differences take nothing of the reserve",
		edits: []edit{
			{differencesGo, "if l.state.Low || ", "if "},
			{differencesGo, "if l.low() {", "if false {"},
		},
		in: "authz/audit", told: "TestDifferencesTakeNothingOfTheReserve",
	},
	{
		name: "what another policy would have said is no decision",
		edits: []edit{{"authz/audit/history.go",
			"if record.Shadow != nil {",
			"if false {"}},
		in: "cmd/countersign", told: "TestShadowRollout",
	},
	{
		name: "a broken policy that is to be tried does not load",
		edits: []edit{{"cmd/countersign/wire/shadow.go",
			"authz.ProblemsOf(err))",
			"authz.ProblemsOf(err)[:0])"}},
		in: "cmd/countersign", told: "TestBrokenShadowIsRefused",
	},
	{
		name: "a policy that is in force is not tried",
		edits: []edit{{"cmd/countersign/wire/shadow.go",
			"!bytes.Equal(l.Shadow.Digest(), l.Policy.Digest())",
			"!bytes.Equal(nil, l.Policy.Digest())"}},
		in: "cmd/countersign", told: "TestShadowRollout",
	},
}
