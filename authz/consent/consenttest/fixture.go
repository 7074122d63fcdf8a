package consenttest

import (
	"fmt"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const (
	plain authz.ConsentID = "urn-bank-intent-88379"
	other authz.ConsentID = "Zgoda-ó-同意-🏦"
)

type named struct {
	name   string
	record authz.Consent
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
	base := func(id authz.ConsentID) authz.Consent {
		return authz.Consent{
			ID: id, Status: "AUTH", Client: "acme", Subject: "ann", ExpiresAt: next,
			Permissions: []string{"ReadAccountsBasic", "ReadBalances"},
			Objects:     []authz.Object{{Type: "account", ID: "22289"}},
		}
	}
	of := func(name string, id authz.ConsentID, change func(*authz.Consent)) named {
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
		of("open ended", "open", func(c *authz.Consent) { c.ExpiresAt, c.OpenEnded = time.Time{}, true }),
		of("expired long ago", "past", func(c *authz.Consent) { c.ExpiresAt = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) }),
		of("until the end of time", "future", func(c *authz.Consent) { c.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }),
		of("no permissions", "idle", func(c *authz.Consent) { c.Permissions = nil }),
		of("no objects", "empty", func(c *authz.Consent) { c.Objects = nil }),
		of("many objects", "many", func(c *authz.Consent) {
			for i := range 200 {
				c.Objects = append(c.Objects, authz.Object{Type: "card", ID: authz.ObjectID(fmt.Sprint(i))})
			}
		}),
		of("values in quotes", "quoted", func(c *authz.Consent) {
			c.Client, c.Subject, c.Permissions = `a"b\c`, "ann'; --", []string{`"Read"`, "<all>&"}
			c.Objects = []authz.Object{{Type: "account", ID: `"]},{`}, {Type: "account", ID: "账户"}}
		}),
	}
	for i, status := range statuses {
		list = append(list, of("status "+status, authz.ConsentID(fmt.Sprintf("status-%d", i)), func(c *authz.Consent) { c.Status = status }))
	}
	return list
}

func records() []authz.Consent {
	var list []authz.Consent
	for _, test := range standing() {
		list = append(list, test.record)
	}
	return list
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
