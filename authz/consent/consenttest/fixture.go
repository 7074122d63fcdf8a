package consenttest

import (
	"fmt"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Record is what the store knows of one consent. Its id means nothing without its
// issuer: another issuer's may have the same.
type Record struct {
	Issuer string
	authz.Consent
}

const (
	bank      = "https://login.bank.example"
	elsewhere = "https://login.elsewhere.example"

	plain authz.ConsentID = "urn-bank-intent-88379"
	other authz.ConsentID = "Zgoda-ó-同意-🏦"
	// foreign is the id of a consent of elsewhere's alone.
	foreign authz.ConsentID = "urn-elsewhere-intent-1"
)

// naming is a customer whose token, the bank's, names that consent.
func naming(id authz.ConsentID) authz.Caller { return of(bank, id) }

func of(issuer string, id authz.ConsentID) authz.Caller {
	return authz.Caller{Kind: authz.Customer, Issuer: issuer, Subject: "ann", Client: "acme", Consent: id}
}

type named struct {
	name   string
	record Record
}

// statuses are those of the standards: UK Open Banking 3.1 and 4.0, Berlin Group,
// the Consumer Data Right, and one of nobody's.
var statuses = []string{
	"AwaitingAuthorisation", "Authorised", "Rejected", "Revoked", "Consumed",
	"AWAU", "AUTH", "RJCT", "CANC", "EXPD", "COND",
	"received", "valid", "revokedByPsu", "expired", "terminatedByTpp", "partiallyAuthorised",
	"ACTIVE", "REVOKED", "EXPIRED",
	"zażółć 状态",
}

// standing are the records that Run's store holds.
func standing() []named {
	next := time.Date(2027, 2, 28, 23, 59, 59, 0, time.UTC)
	base := func(id authz.ConsentID) Record {
		return Record{bank, authz.Consent{
			ID: id, Status: "AUTH", Client: "acme", Subject: "ann", ExpiresAt: next,
			Permissions: []string{"ReadAccountsBasic", "ReadBalances"},
			Objects:     []authz.Object{{Type: "account", ID: "22289"}},
		}}
	}
	with := func(name string, id authz.ConsentID, change func(*Record)) named {
		record := base(id)
		change(&record)
		return named{name, record}
	}
	list := []named{
		{"plain", base(plain)},
		{"an id beyond ASCII", base(other)},
		{"an id in quotes of SQL", base("' or 1=1 --")},
		{"an id of 256 bytes", base(authz.ConsentID(strings.Repeat("c", 256)))},
		{"an id of digits", base("000123")},
		with("the same id of another issuer", plain, func(r *Record) { r.Issuer, r.Permissions = elsewhere, []string{"ReadStatementsDetail"} }),
		with("an id of another issuer alone", foreign, func(r *Record) { r.Issuer = elsewhere }),
		with("open ended", "open", func(r *Record) { r.ExpiresAt, r.OpenEnded = time.Time{}, true }),
		with("expired long ago", "past", func(r *Record) { r.ExpiresAt = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) }),
		with("until the end of time", "future", func(r *Record) { r.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }),
		with("no permissions", "idle", func(r *Record) { r.Permissions = nil }),
		with("no objects", "empty", func(r *Record) { r.Objects = nil }),
		with("many objects", "many", func(r *Record) {
			for i := range 200 {
				r.Objects = append(r.Objects, authz.Object{Type: "card", ID: authz.ObjectID(fmt.Sprint(i))})
			}
		}),
		with("values in quotes", "quoted", func(r *Record) {
			r.Client, r.Subject, r.Permissions = `a"b\c`, "ann'; --", []string{`"Read"`, "<all>&"}
			r.Objects = []authz.Object{{Type: "account", ID: `"]},{`}, {Type: "account", ID: "账户"}}
		}),
	}
	for i, status := range statuses {
		list = append(list, with("status "+status, authz.ConsentID(fmt.Sprintf("status-%d", i)), func(r *Record) { r.Status = status }))
	}
	return list
}

func records() []Record {
	var list []Record
	for _, test := range standing() {
		list = append(list, test.record)
	}
	return list
}

type question struct {
	name   string
	caller authz.Caller
}

// outside are callers who name a consent that is there, of an issuer that is not theirs.
func outside() []question {
	return []question{
		{"the bank's consent, to another issuer", of(elsewhere, other)},
		{"another issuer's consent, to the bank", of(bank, foreign)},
		{"an issuer that has none", of("https://login.third.example", plain)},
		{"an issuer that is not known", of("", plain)},
		{"an issuer in upper case", of(strings.ToUpper(bank), plain)},
		{"an issuer with a slash after", of(bank+"/", plain)},
		{"an issuer with a space after", of(bank+" ", plain)},
		{"an issuer with NUL after", of(bank+"\x00", plain)},
		{"LIKE wildcard for an issuer", of("%", plain)},
		{"tautology for an issuer", of("x' or '1'='1", plain)},
		{"NULL for an issuer", of("null", plain)},
		{"nobody", authz.Caller{}},
	}
}

type namedID struct {
	name string
	id   authz.ConsentID
}

// nearly are ids that a store which converts, trims, folds, expands or executes
// what it is asked would find something for.
func nearly() []namedID {
	return []namedID{
		{"unknown", "unknown"},
		{"nothing", ""},
		{"a space", " "},
		{"space before", " " + plain},
		{"space after", plain + " "},
		{"newline after", plain + "\n"},
		{"NUL after", plain + "\x00"},
		{"NUL and more after", plain + "\x00x"},
		{"invalid UTF-8", plain + "\xff"},
		{"upper case", authz.ConsentID(strings.ToUpper(string(plain)))},
		{"decomposed", authz.ConsentID(strings.ReplaceAll(string(other), "ó", "o\u0301"))},
		{"zeros dropped", "123"},
		{"fraction", "000123.0"},
		{"LIKE wildcard", "%"},
		{"GLOB wildcard", "*"},
		{"another tautology", "x' or '1'='1"},
		{"comment", plain + "' --"},
		{"union", "x' union select * from consents --"},
		{"second statement", "x'; drop table consents; --"},
		{"parameter", ":id"},
		{"a byte too long", authz.ConsentID(strings.Repeat("c", 257))},
		{"far too long", authz.ConsentID(strings.Repeat("c", 1<<20))},
	}
}
