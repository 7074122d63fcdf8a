package ownershiptest

import (
	"fmt"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Account is what the store knows of one account.
type Account struct {
	ID authz.ObjectID
	// Region is "" where it is not known.
	Region  string
	Parties []Party
}

// Party is one customer's part in an account. A subject means nothing without its
// issuer.
type Party struct {
	Issuer   string
	Subject  authz.Subject
	Relation string
}

const (
	accountType authz.ObjectType = "account"

	bank      = "https://login.bank.example"
	elsewhere = "https://login.elsewhere.example"

	annsAccount   authz.ObjectID = "22289"
	jointAccount  authz.ObjectID = "31820"
	bobsAccount   authz.ObjectID = "40001"
	namesakes     authz.ObjectID = "50001"
	nobodys       authz.ObjectID = "60001"
	nowhere       authz.ObjectID = "70001"
	unicode       authz.ObjectID = "Zażółć-账户-🏦"
	tautology     authz.ObjectID = "' or 1=1 --"
	quoted        authz.ObjectID = `a"b\c<d>&e`
	accountsOfCyd                = 100
)

func ann() authz.Caller { return customer(bank, "ann") }
func bob() authz.Caller { return customer(bank, "bob") }
func cyd() authz.Caller { return customer(bank, "cyd") }

// namesake has Ann's subject, from another issuer.
func namesake() authz.Caller { return customer(elsewhere, "ann") }

func customer(issuer string, subject authz.Subject) authz.Caller {
	return authz.Caller{Kind: authz.Customer, Issuer: issuer, Subject: subject, Client: "acme"}
}

// Accounts are the accounts that Run's store must hold.
func Accounts() []Account {
	anns := Party{bank, "ann", "owner"}
	bobs := Party{bank, "bob", "owner"}
	accounts := []Account{
		{annsAccount, "GB", []Party{anns}},
		{jointAccount, "GB", []Party{{bank, "ann", "joint"}, {bank, "bob", "joint"}}},
		{bobsAccount, "FR", []Party{bobs}},
		{namesakes, "DE", []Party{{elsewhere, "ann", "owner"}}},
		{nobodys, "GB", nil},
		{nowhere, "", []Party{anns}},
		{unicode, "PL", []Party{anns}},
		{tautology, "FR", []Party{bobs}},
		{quoted, "FR", []Party{bobs}},
	}
	for _, id := range cydsAccounts() {
		accounts = append(accounts, Account{id, "GB", []Party{{bank, "cyd", "owner"}}})
	}
	return accounts
}

func cydsAccounts() []authz.ObjectID {
	ids := make([]authz.ObjectID, accountsOfCyd)
	for i := range ids {
		ids[i] = authz.ObjectID(fmt.Sprintf("9%04d", i))
	}
	return ids
}

type ownedObjects = map[authz.Object]authz.Ownership

type question struct {
	name   string
	caller authz.Caller
	ask    []authz.ObjectID
	want   ownedObjects
}

func cases() []question {
	all := make(ownedObjects, accountsOfCyd)
	for _, id := range cydsAccounts() {
		all[authz.Object{Type: accountType, ID: id}] = authz.Ownership{Relation: "owner", Region: "GB"}
	}
	own := func(id authz.ObjectID, relation, region string) ownedObjects {
		return ownedObjects{{Type: accountType, ID: id}: {Relation: relation, Region: region}}
	}
	ask := func(ids ...authz.ObjectID) []authz.ObjectID { return ids }
	return []question{
		{"an owner owns", ann(), ask(annsAccount), own(annsAccount, "owner", "GB")},
		{"a joint owner owns jointly", ann(), ask(jointAccount), own(jointAccount, "joint", "GB")},
		{"the other joint owner too", bob(), ask(jointAccount), own(jointAccount, "joint", "GB")},
		{"another's is not owned", ann(), ask(bobsAccount), ownedObjects{}},
		{"nobody's is not owned", ann(), ask(nobodys), ownedObjects{}},
		{"an unknown one is not owned", ann(), ask("no such account"), ownedObjects{}},
		{"nothing asked, nothing owned", ann(), nil, ownedObjects{}},
		{"asked twice, answered once", ann(), ask(annsAccount, annsAccount), own(annsAccount, "owner", "GB")},
		{"one's own among others'", ann(), ask(bobsAccount, annsAccount, "unknown", nobodys), own(annsAccount, "owner", "GB")},
		{"what was not asked is not told", cyd(), cydsAccounts()[:1], own(cydsAccounts()[0], "owner", "GB")},
		{"a region that is not known", ann(), ask(nowhere), own(nowhere, "owner", "")},
		{"a subject of another issuer owns its own", namesake(), ask(annsAccount, namesakes), own(namesakes, "owner", "DE")},
		{"and what it owns is not its namesake's", ann(), ask(namesakes), ownedObjects{}},
		{"an issuer that is not known", customer("", "ann"), ask(annsAccount, namesakes), ownedObjects{}},
		{"a subject that owns nothing", customer(bank, "dee"), ask(annsAccount, jointAccount), ownedObjects{}},
		{"an id beyond ASCII", ann(), ask(unicode), own(unicode, "owner", "PL")},
		{"an id in quotes of SQL", bob(), ask(tautology), own(tautology, "owner", "FR")},
		{"an id in quotes of JSON", bob(), ask(quoted), own(quoted, "owner", "FR")},
		{"an id in quotes of SQL that is another's", ann(), ask(tautology), ownedObjects{}},
		{"a hundred ids", cyd(), cydsAccounts(), all},
		{"a hundred ids of another's", ann(), cydsAccounts(), ownedObjects{}},
	}
}

type namedID struct {
	name string
	id   authz.ObjectID
}

// nearlyAnns are ids that a store which converts, trims, folds, expands or
// executes what it is asked would take for Ann's account.
func nearlyAnns() []namedID {
	return []namedID{
		{"nothing", ""},
		{"space before", " " + annsAccount},
		{"space after", annsAccount + " "},
		{"newline after", annsAccount + "\n"},
		{"NUL after", annsAccount + "\x00"},
		{"NUL and more after", annsAccount + "\x00x"},
		{"NUL alone", "\x00"},
		{"zero before", "0" + annsAccount},
		{"plus before", "+" + annsAccount},
		{"fraction", annsAccount + ".0"},
		{"exponent", "2.2289e4"},
		{"hexadecimal", "0x5711"},
		{"fullwidth digits", "２２２８９"},
		{"invalid UTF-8", annsAccount + "\xff"},
		{"truncated UTF-8", unicode[:len(unicode)-1]},
		{"upper case", authz.ObjectID(strings.ToUpper(string(unicode)))},
		{"decomposed", authz.ObjectID(strings.ReplaceAll(string(unicode), "ó", "o\u0301"))},
		{"LIKE wildcard", "%"},
		{"LIKE one character", "2228_"},
		{"GLOB wildcard", "*"},
		{"list", "22289,31820"},
		{"JSON list", `["22289"]`},
		{"JSON string", `"22289"`},
		{"end of a JSON string", `x","22289`},
		{"quoted", "'22289'"},
		{"tautology", "x' or '1'='1"},
		{"comment", "22289--"},
		{"union", "x') union select id, 'owner', 'GB' from accounts --"},
		{"second statement", "x'; drop table accounts; --"},
		{"parameter", ":subject"},
		{"long", authz.ObjectID(strings.Repeat("2", 64<<10))},
	}
}

type namedSubject struct {
	name    string
	subject authz.Subject
}

func nearlyAnn() []namedSubject {
	return []namedSubject{
		{"nothing", ""},
		{"another case", "Ann"},
		{"space after", "ann "},
		{"NUL after", "ann\x00"},
		{"invalid UTF-8", "ann\xff"},
		{"LIKE wildcard", "an%"},
		{"GLOB wildcard", "*"},
		{"tautology", "x' or '1'='1"},
		{"comment", "ann' --"},
		{"NULL", "null"},
	}
}
