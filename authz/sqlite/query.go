package sqlite

import (
	"context"
	"database/sql"
	"iter"
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Query is one SELECT of a form. It is safe for concurrent use.
type Query struct {
	statement *sql.Stmt
	columns   int
}

// Prepare prepares a query: one SELECT (or WITH … SELECT) that takes the form's
// parameters and returns its columns, by name and in any order. Its error is
// authz.Problems of the key "query".
func (d *Database) Prepare(query string, form Form) (*Query, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	// A semicolon at the end is harmless, and what many people write.
	query = strings.TrimRight(query, "; \t\r\n")
	if query == "" {
		return nil, form.missing()
	}
	columns, err := d.columns(ctx, query, form.trial(""))
	if err != nil {
		return nil, form.refusal(err)
	}
	problems := form.checkColumns(columns)
	problems = append(problems, d.checkParameters(ctx, query, form)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	statement, err := d.db.PrepareContext(ctx, form.statement(query, columns))
	if err != nil {
		return nil, form.refusal(err)
	}
	return &Query{statement: statement, columns: len(form.Columns)}, nil
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

// checkParameters finds out what SQLite has found in the query, comments and
// strings aside: a parameter is used if it cannot be left out.
func (d *Database) checkParameters(ctx context.Context, query string, form Form) authz.Problems {
	var problems authz.Problems
	if strings.Contains(query, "?") {
		problems.Add("query", "holds a question mark", "name its "+form.noun()+", and write char(63) for a question mark in a string")
	}
	for _, parameter := range form.Parameters {
		if parameter.Missing == "" {
			continue
		}
		switch _, err := d.columns(ctx, query, form.trial(parameter.Name)); {
		case err == nil:
			problems.Add("query", "does not use :"+parameter.Name, parameter.Missing)
		case ofStore(err):
			problems = append(problems, form.refusal(err)...)
		}
	}
	return problems
}

// Rows asks the query. The arguments are one sql.NamedArg for each of the form's
// parameters. A row's values are in the order of the form's columns, each a
// string, int64, float64, []byte or nil, and the caller's to keep.
//
// An error comes last, and makes what came before it no answer. Its text holds
// nothing of the arguments and the rows.
func (q *Query) Rows(ctx context.Context, arguments ...any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		rows, err := q.statement.QueryContext(ctx, arguments...)
		if err != nil {
			yield(nil, fault(err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			row, err := q.scan(rows)
			if err != nil {
				yield(nil, fault(err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, fault(err))
		}
	}
}

// scan reads a row. It scans into any, since the errors of a conversion would
// quote the value.
func (q *Query) scan(rows *sql.Rows) ([]any, error) {
	row := make([]any, q.columns)
	into := make([]any, q.columns)
	for i := range row {
		into[i] = &row[i]
	}
	return row, rows.Scan(into...)
}

// Name reads a value that names something: text, or an integer key.
func Name(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}
