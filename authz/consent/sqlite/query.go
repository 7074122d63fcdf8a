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

// columns are what a query may return, in the order in which scan reads them.
var columns = [...]struct {
	name     string
	optional bool
}{
	{name: "id"},
	{name: "status"},
	{name: "client"},
	{name: "subject"},
	{name: "expires_at"},
	{name: "permissions", optional: true},
	{name: "objects", optional: true},
}

func prepare(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	// A semicolon at the end is harmless, and what many people write.
	query = strings.TrimRight(query, "; \t\r\n")
	if query == "" {
		return nil, problem("query", "is missing", "write a SELECT that takes :id")
	}
	returned, err := returnedBy(ctx, db, query, sql.Named("id", ""))
	if err != nil {
		return nil, refusal(err)
	}
	problems := checkColumns(returned)
	if strings.Contains(query, "?") {
		problems.Add("query", "holds a question mark", "name its parameter, and write char(63) for a question mark in a string")
	}
	// SQLite knows whether a parameter is used, comments and strings aside: it is
	// if it cannot be left out.
	switch _, err := returnedBy(ctx, db, query); {
	case err == nil:
		problems.Add("query", "does not use :id", `ask for one consent: "… where id = :id"`)
	case ofStore(err):
		problems = append(problems, refusal(err)...)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	record, err := db.PrepareContext(ctx, statement(query, returned))
	if err != nil {
		return nil, refusal(err)
	}
	return record, nil
}

// statement puts the query's columns in order.
//
// Materialized, all of the query's work is done before the first row, and only
// there does the driver heed a deadline. The unary plus leaves a value as it is
// and takes away its declared type, by which the driver would turn text that is
// not RFC 3339 into times. Standing in parentheses, the query cannot be more than
// one SELECT.
func statement(query string, returned []string) string {
	list := make([]string, len(columns))
	for i, column := range columns {
		list[i] = "null"
		if slices.Contains(returned, column.name) {
			list[i] = "+" + column.name
		}
	}
	return fmt.Sprintf("with answer as materialized (\n%s\n) select %s from answer", query, strings.Join(list, ", "))
}

// returnedBy returns the names of the query's columns, in lower case, without
// reading a row.
func returnedBy(ctx context.Context, db *sql.DB, query string, arguments ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, "select * from (\n"+query+"\n) limit 0", arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names, rows.Err()
}

func checkColumns(returned []string) authz.Problems {
	var problems authz.Problems
	known := make([]string, len(columns))
	for i, column := range columns {
		known[i] = column.name
		if !column.optional && !slices.Contains(returned, column.name) {
			problems.Add("query", "returns no column "+column.name, fmt.Sprintf("name it: %q", "… as "+column.name))
		}
	}
	for _, name := range returned {
		if !slices.Contains(known, name) {
			problems.Add("query", fmt.Sprintf("returns a column %q", name), "return only "+strings.Join(known, ", ")+", each once")
		}
	}
	return problems
}

// refusal says why a query cannot be used. Nothing has been asked yet, so that
// SQLite's message quotes only what the operator wrote.
func refusal(err error) authz.Problems {
	if ofStore(err) {
		return problem("query", "is not one SELECT that SQLite takes: "+err.Error(), "try it in the sqlite3 shell on the same file")
	}
	return problem("query", "cannot be asked: "+err.Error(), "use no parameter but :id")
}

// ofStore reports an error of SQLite or of time, and not of the driver, which is
// who misses an argument.
func ofStore(err error) bool {
	var refused *modernc.Error
	return errors.As(err, &refused) || errors.Is(err, context.DeadlineExceeded)
}
