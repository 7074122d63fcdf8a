package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	modernc "modernc.org/sqlite"
)

// Engine prepares a query: one SELECT (or WITH … SELECT). Its error is
// authz.Problems of the key "query".
//
// The verified caller goes in, the owned ids come out. Parameters, by name:
//
//	:subject  the caller's subject; must be used, for an id alone proves nothing
//	:ids      the ids asked about, a JSON array of strings for json_each; must be used
//	:issuer   whose subject it is; a query that leaves it out holds only where
//	          tokens of one issuer are accepted
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
func (d *Database) Engine(query string) (*Engine, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	// A semicolon at the end is harmless, and what many people write.
	query = strings.TrimRight(query, "; \t\r\n")
	if query == "" {
		return nil, problem("query", "is missing", "write a SELECT that takes :subject and :ids")
	}
	columns, err := d.columns(ctx, query, nothingAsked())
	if err != nil {
		return nil, refusal(err)
	}
	problems := checkColumns(columns)
	problems = append(problems, d.checkParameters(ctx, query)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	owned, err := d.db.PrepareContext(ctx, statement(query, columns))
	if err != nil {
		return nil, refusal(err)
	}
	return &Engine{owned: owned}, nil
}

// statement puts the query's columns in the order in which scan reads them.
//
// Materialized, all of the query's work is done before the first row, and only
// there does the driver heed a deadline. The unary plus leaves a value as it is
// and takes away its declared type, by which the driver would turn text into
// times. Standing in parentheses, the query cannot be more than one SELECT.
func statement(query string, columns []string) string {
	relation, region := "'owner'", "null"
	if slices.Contains(columns, "relation") {
		relation = "+relation"
	}
	if slices.Contains(columns, "region") {
		region = "+region"
	}
	return fmt.Sprintf("with answer as materialized (\n%s\n) select +id, %s, %s from answer", query, relation, region)
}

// columns returns the names of the query's columns, in lower case, without
// reading a row.
func (d *Database) columns(ctx context.Context, query string, arguments []any) ([]string, error) {
	rows, err := d.db.QueryContext(ctx, "select * from (\n"+query+"\n) limit 0", arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for i := range columns {
		columns[i] = strings.ToLower(columns[i])
	}
	return columns, rows.Err()
}

func checkColumns(columns []string) authz.Problems {
	var problems authz.Problems
	if !slices.Contains(columns, "id") {
		problems.Add("query", "returns no column id", `name the object's column: "select a.number as id, …"`)
	}
	for _, column := range columns {
		if column != "id" && column != "relation" && column != "region" {
			problems.Add("query", fmt.Sprintf("returns a column %q", column), "return id and, where they are known, relation and region, each once")
		}
	}
	return problems
}

// checkParameters finds out what SQLite has found in the query, comments and
// strings aside: a parameter is used if it cannot be left out.
func (d *Database) checkParameters(ctx context.Context, query string) authz.Problems {
	var problems authz.Problems
	if strings.Contains(query, "?") {
		problems.Add("query", "holds a question mark", "name its parameters, and write char(63) for a question mark in a string")
	}
	for _, must := range []struct{ name, fix string }{
		{"subject", "compare the owner with :subject, or everybody owns everything"},
		{"ids", `keep to the ids asked about: "… and a.id in (select value from json_each(:ids))"`},
	} {
		others := slices.DeleteFunc(nothingAsked(), func(argument any) bool {
			return argument.(sql.NamedArg).Name == must.name
		})
		switch _, err := d.columns(ctx, query, others); {
		case err == nil:
			problems.Add("query", "does not use :"+must.name, must.fix)
		case ofStore(err):
			problems = append(problems, refusal(err)...)
		}
	}
	return problems
}

// nothingAsked are the arguments of nobody asking about nothing.
func nothingAsked() []any { return arguments(authz.Caller{}, "[]") }

// refusal says why a query cannot be used. Nothing has been asked yet, so that
// SQLite's message quotes only what the operator wrote.
func refusal(err error) authz.Problems {
	if ofStore(err) {
		return problem("query", "is not one SELECT that SQLite takes: "+err.Error(), "try it in the sqlite3 shell on the same file")
	}
	return problem("query", "cannot be asked: "+err.Error(), "use no parameters but :subject, :issuer, :client, :tenant, :actor and :ids")
}

// ofStore reports an error of SQLite or of time, and not of the driver, which is
// who misses an argument.
func ofStore(err error) bool {
	var refused *modernc.Error
	return errors.As(err, &refused) || errors.Is(err, context.DeadlineExceeded)
}
