// Package sqlite tells owners from a SQLite file, by a query of the operator's own.
//
// How a file is read, and never written, is authz/sqlite's to say. Here is what a
// query takes and what its rows mean: a row that cannot be understood is an error,
// not a row less.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/countersign-io/countersign/authz"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

// rowsPerID is how many rows a query may return for each id asked about. A query
// that does not keep to :ids would read all that the caller has.
const rowsPerID = 8

// Faults of what a query returns. Their texts hold nothing of the rows.
var (
	errRows     = errors.New("sqlite: the query returns far more rows than ids were asked about")
	errID       = errors.New("sqlite: a row's id is neither text nor an integer")
	errRelation = errors.New("sqlite: a row's relation is not text, or empty")
	errRegion   = errors.New("sqlite: a row's region is not text")
	errTwice    = errors.New("sqlite: two rows of one id differ in relation or region")
)

// form names what arguments binds and, in its order, what read reads.
var form = store.Form{
	Parameters: []store.Parameter{
		{Name: "subject", Missing: "compare the owner with :subject, or everybody owns everything"},
		{Name: "issuer"},
		{Name: "client"},
		{Name: "tenant"},
		{Name: "actor"},
		{Name: "ids", Trial: "[]", Missing: `keep to the ids asked about: "… and a.id in (select value from json_each(:ids))"`},
	},
	Columns: []store.Column{
		{Name: "id", Missing: `name the object's column: "select a.number as id, …"`},
		{Name: "relation", Else: "'owner'"},
		{Name: "region"},
	},
	Surplus: "return id and, where they are known, relation and region, each once",
}

// Engine asks one query. It is safe for concurrent use.
type Engine struct{ owned *store.Query }

// New prepares a query on a database, which stays the caller's to close. The query
// is one SELECT (or WITH … SELECT). New's error is authz.Problems of the key "query".
//
// The verified caller goes in, the owned ids come out. Parameters, by name:
//
//	:subject  the caller's subject; must be used, for an id alone proves nothing
//	:ids      the ids asked about, a JSON array of strings for json_each; must be used
//	:issuer   whose subject it is; must be used if issuers, of how many tokens are
//	          taken, is more than one
//	:client :tenant :actor
//
// What is not known of a caller is NULL. Columns, by name, in any order:
//
//	id        text or integer; must be there
//	relation  text, never NULL; where the column is absent, it is "owner"
//	region    text; NULL means not known
//
// An id may come back more than once only in rows that are the same. Ids that were
// not asked about are dropped.
func New(database *store.Database, query string, issuers int) (*Engine, error) {
	asked := form
	if issuers > 1 {
		asked = form.Requiring("issuer", "there are several issuers: compare the owner's with :issuer, or one issuer's subjects own what another's do")
	}
	owned, err := database.Prepare(query, asked)
	if err != nil {
		return nil, err
	}
	return &Engine{owned: owned}, nil
}

// Owned returns what the query says of the ids, and perhaps of others.
func (e *Engine) Owned(ctx context.Context, caller authz.Caller, _ authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
	owned := make(map[authz.ObjectID]authz.Ownership, len(ids))
	if len(ids) == 0 {
		return owned, nil
	}
	asked, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("sqlite: ids: %w", err)
	}
	n := 0
	for row, err := range e.owned.Rows(ctx, arguments(caller, string(asked))...) {
		if err != nil {
			return nil, err
		}
		if n++; n > rowsPerID*len(ids) {
			return nil, errRows
		}
		id, ownership, err := read(row)
		if err != nil {
			return nil, err
		}
		if before, twice := owned[id]; twice && before != ownership {
			return nil, errTwice
		}
		owned[id] = ownership
	}
	return owned, nil
}

// arguments are all that a query may use. What is not known of a caller is NULL,
// which equals nothing, not even another unknown.
func arguments(caller authz.Caller, ids string) []any {
	return []any{
		sql.Named("subject", orNull(caller.Subject)),
		sql.Named("issuer", orNull(caller.Issuer)),
		sql.Named("client", orNull(caller.Client)),
		sql.Named("tenant", orNull(caller.Tenant)),
		sql.Named("actor", orNull(caller.Actor)),
		sql.Named("ids", ids),
	}
}

func orNull[S ~string](text S) any {
	if text == "" {
		return nil
	}
	return string(text)
}

// read reads id, relation and region of a row.
func read(row []any) (authz.ObjectID, authz.Ownership, error) {
	id, ok := store.Name(row[0])
	if !ok {
		return "", authz.Ownership{}, errID
	}
	var ownership authz.Ownership
	if ownership.Relation, ok = row[1].(string); !ok || ownership.Relation == "" {
		return "", authz.Ownership{}, errRelation
	}
	if ownership.Region, ok = row[2].(string); !ok && row[2] != nil {
		return "", authz.Ownership{}, errRegion
	}
	return authz.ObjectID(id), ownership, nil
}
