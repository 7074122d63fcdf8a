package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/countersign-io/countersign/authz"
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

// Engine asks one query. It is safe for concurrent use.
type Engine struct{ owned *sql.Stmt }

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
	rows, err := e.owned.QueryContext(ctx, arguments(caller, string(asked))...)
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n == rowsPerID*len(ids) {
			return nil, errRows
		}
		id, ownership, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if before, twice := owned[id]; twice && before != ownership {
			return nil, errTwice
		}
		owned[id] = ownership
	}
	// What was read before a fault is no answer.
	if err := rows.Err(); err != nil {
		return nil, fault(err)
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

// scan reads id, relation and region of a row. It scans into any, since the errors
// of a conversion would quote the value.
func scan(rows *sql.Rows) (authz.ObjectID, authz.Ownership, error) {
	var id, relation, region any
	if err := rows.Scan(&id, &relation, &region); err != nil {
		return "", authz.Ownership{}, fault(err)
	}
	var name authz.ObjectID
	switch value := id.(type) {
	case string:
		name = authz.ObjectID(value)
	case int64:
		name = authz.ObjectID(strconv.FormatInt(value, 10))
	default:
		return "", authz.Ownership{}, errID
	}
	var ownership authz.Ownership
	var ok bool
	if ownership.Relation, ok = relation.(string); !ok || ownership.Relation == "" {
		return "", authz.Ownership{}, errRelation
	}
	if ownership.Region, ok = region.(string); !ok && region != nil {
		return "", authz.Ownership{}, errRegion
	}
	return name, ownership, nil
}
