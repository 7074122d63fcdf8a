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
			"Waived: v.Waived, Limits: v.Limits}",
			"Waived: v.Waived, Limits: v.Limits, Reply: v.Reply}"}},
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
