// Package sqlite reads consent records from a SQLite file, by a query of the
// operator's own.
//
// How a file is read, and never written, is authz/sqlite's to say. Here is what a
// query takes and what its row means: a row that cannot be understood is an error.
package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/countersign-io/countersign/authz"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

// errTwo is a query that does not name one consent.
var errTwo = errors.New("sqlite: the query returns more than one row for one id")

// form names what a query takes and, in read's order, what it may return.
var form = store.Form{
	Parameters: []store.Parameter{
		{Name: "id", Trial: "", Missing: `ask for one consent: "… where id = :id"`},
		{Name: "issuer"},
	},
	Columns: []store.Column{
		{Name: "id", Missing: `name it: "… as id"`},
		{Name: "status", Missing: `name it: "… as status"`},
		{Name: "client", Missing: `name it: "… as client"`},
		{Name: "subject", Missing: `name it: "… as subject"`},
		{Name: "expires_at", Missing: `name it: "… as expires_at"`},
		{Name: "permissions"},
		{Name: "objects"},
	},
	Surplus: "return only id, status, client, subject, expires_at, permissions, objects, each once",
}

// Engine asks one query. It is safe for concurrent use.
type Engine struct{ record *store.Query }

var _ authz.Consents = (*Engine)(nil)

// New prepares a query on a database, which stays the caller's to close. The query
// is one SELECT (or WITH … SELECT). New's error is authz.Problems of the key "query".
//
// Parameters, by name:
//
//	:id      the consent's id; must be used
//	:issuer  whose consent it is, NULL where that is not known; must be used if
//	         issuers, of how many tokens are taken, is more than one
//
// Columns, by name, in any order:
//
//	id, client, subject  text or integer; must be there, never NULL
//	status               text; must be there, never NULL
//	expires_at           must be there: RFC 3339 text, or whole seconds since 1970;
//	                     NULL is a consent that is open ended
//	permissions          a JSON array of strings
//	objects              a JSON array of {"type": "account", "id": "22289"}
//
// Where permissions or objects are NULL or no column, the consent has none.
func New(database *store.Database, query string, issuers int) (*Engine, error) {
	asked := form
	if issuers > 1 {
		asked = form.Requiring("issuer", "there are several issuers: compare the consent's with :issuer, or one issuer's tokens pass on what another's allow")
	}
	record, err := database.Prepare(query, asked)
	if err != nil {
		return nil, err
	}
	return &Engine{record: record}, nil
}

// Consent returns the record that the caller's token names, or nil where the query
// returns no row.
func (e *Engine) Consent(ctx context.Context, caller authz.Caller) (*authz.Consent, error) {
	var found *authz.Consent
	for row, err := range e.record.Rows(ctx, arguments(caller)...) {
		if err != nil {
			return nil, err
		}
		if found != nil {
			return nil, errTwo
		}
		if found, err = read(row); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// arguments are all that a query may use. An issuer that is not known is NULL, which
// equals nothing, not even another unknown.
func arguments(caller authz.Caller) []any {
	issuer := sql.NullString{String: caller.Issuer, Valid: caller.Issuer != ""}
	return []any{sql.Named("id", string(caller.Consent)), sql.Named("issuer", issuer)}
}
