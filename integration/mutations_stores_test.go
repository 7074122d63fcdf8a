//go:build mutants

package integration

// ofStores are those of what no story can reach: stores that fail, files that others
// wrote, and keys that nobody should have.
var ofStores = []mutation{
	{
		name: "nothing is known before it was read",
		edits: []edit{{revocationGo,
			"case p.Revocations != nil && asOf.IsZero():",
			"case required && asOf.IsZero():"}},
		in: "authz", told: "TestNothingWasEverKnown",
	},
	{
		name: "limits go uncounted only where the store does not answer",
		edits: []edit{{spendGo,
			"if errors.Is(err, ErrNoAnswer) && f",
			"if err != nil && errors.Is(ErrNoAnswer, ErrNoAnswer) && f"}},
		in: "authz", told: "TestBestEffort",
	},
	{
		name: "proofs go uncounted only where the store does not answer",
		edits: []edit{{tokenGo,
			" && errors.Is(err, authz.ErrNoAnswer)",
			""}},
		in: "authz/token", told: "TestBestEffortTakesWhatCannotBeCounted",
	},
	{
		name: "refusals of stolen tokens fill no disk",
		edits: []edit{{logGo,
			"authz.ClientAddress:\n\t\treturn false",
			"authz.ClientAddress:\n\t\treturn true"}},
		in: "authz/audit", told: "TestWhatIsDurableBeforeTheAnswer",
	},
	{
		name: "a line that is none hides no other",
		edits: []edit{{revocationsGo,
			"r.strange = err\n\t\t\tcontinue",
			"r.strange = err\n\t\t\tbreak"}},
		in: "authz/replay", told: "TestWhatIsNoRevocationHidesNone",
	},
	{
		name: "what cannot be read is not known",
		edits: []edit{{revocationsGo,
			"if ended && r.strange != nil {",
			"if ended && r.strange != nil && r.pass > 9 {"}},
		in: "authz/replay", told: "TestWhatIsNoRevocationHidesNone",
	},
	{
		name: "a revocation is read back",
		edits: []edit{{replayGo,
			"return s.confirm(ctx, entry)",
			"return nil"}},
		in: "authz/replay", told: "TestRevokeIsAnErrorWhereItCannotBeRead",
	},
	{
		name: "the file of revocations has one name",
		edits: []edit{{appendGo,
			" || linked(status)",
			""}},
		in: "authz/replay/file", told: "TestOthersFilesAreRefused",
	},
	{
		name: "what is cut off was written here",
		edits: []edit{{appendGo,
			" || !torn.Match(tail[end:])",
			""}},
		in: "authz/replay/file", told: "TestAnotherFileIsAnError",
	},
	{
		name: "keys of small order are refused",
		edits: []edit{{keyGo,
			" || !isSoundEd25519(x)",
			""}},
		in: "authz/token/jose", told: "TestKeysUnderWhichAnybodySigns",
	},
	{
		name: "moduli with small factors are refused",
		edits: []edit{{keyGo,
			"!hasSmallFactor(modulus) && ",
			""}},
		in: "authz/token/jose", told: "TestModuliWithSmallFactors",
	},
	{
		name: "a key has one encoding",
		edits: []edit{{weakGo,
			"y.Cmp(edwardsField) >= 0 || ",
			""}},
		in: "authz/token/jose", told: "TestEd25519HasOneEncoding",
	},
	{
		name: "the work of a proof is bounded",
		edits: []edit{{dpopGo,
			" || isCostly(p.key.Public)",
			""}},
		in: "authz/token/dpop", told: "TestWorkOfAProofIsBounded",
	},
	{
		name: "what is issued before now is so by whichever clock",
		edits: []edit{{revokeGo,
			"return r.now.Add(issuer.Tolerance() + time.Second)",
			"return r.now"}},
		in: "cmd/countersign", told: "TestNowIsByWhicheverClock",
	},
}
