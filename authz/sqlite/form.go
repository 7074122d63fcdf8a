package sqlite

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Form is what a query takes and returns. Its texts become those of problems.
type Form struct {
	// Parameters are all that a query may use; there is at least one.
	Parameters []Parameter
	// Columns are all that a query may return, in the order of a row's values.
	Columns []Column
	// Surplus says what to do about any other column.
	Surplus string
}

// Parameter is bound by its name, without the colon.
type Parameter struct {
	Name string
	// Trial is its value while a query is judged; nil is NULL.
	Trial any
	// Missing says what to do about a query that does not use it. Where Missing is
	// "", the query need not.
	Missing string
}

// Column is one of an answer, by its name in lower case.
type Column struct {
	Name string
	// Missing says what to do about a query that does not return it. Where Missing
	// is "", the query need not.
	Missing string
	// Else is the SQL that takes the place of a column that is not returned; "" is
	// NULL.
	Else string
}

// Requiring is the form in which a query must use the parameter of that name; missing
// says what to do about one that does not.
func (f Form) Requiring(name, missing string) Form {
	f.Parameters = slices.Clone(f.Parameters)
	for i := range f.Parameters {
		if f.Parameters[i].Name == name {
			f.Parameters[i].Missing = missing
		}
	}
	return f
}

// trial are the arguments of nobody asking about nothing, but for one parameter
// that is left out; "" leaves out none.
func (f Form) trial(without string) []any {
	var arguments []any
	for _, parameter := range f.Parameters {
		if parameter.Name != without {
			arguments = append(arguments, sql.Named(parameter.Name, parameter.Trial))
		}
	}
	return arguments
}

// statement puts the query's columns in the form's order.
//
// Materialized, all of the query's work is done before the first row, and only
// there does the driver heed a deadline. The unary plus leaves a value as it is
// and takes away its declared type, by which the driver would turn text into
// times. Standing in parentheses, the query cannot be more than one SELECT.
func (f Form) statement(query string, returned []string) string {
	list := make([]string, len(f.Columns))
	for i, column := range f.Columns {
		list[i] = cmp.Or(column.Else, "null")
		if slices.Contains(returned, column.Name) {
			list[i] = "+" + column.Name
		}
	}
	return fmt.Sprintf("with answer as materialized (\n%s\n) select %s from answer", query, strings.Join(list, ", "))
}

func (f Form) checkColumns(returned []string) authz.Problems {
	var problems authz.Problems
	for _, column := range f.Columns {
		if column.Missing != "" && !slices.Contains(returned, column.Name) {
			problems.Add("query", "returns no column "+column.Name, column.Missing)
		}
	}
	for _, name := range returned {
		if !slices.ContainsFunc(f.Columns, func(column Column) bool { return column.Name == name }) {
			problems.Add("query", fmt.Sprintf("returns a column %q", name), f.Surplus)
		}
	}
	return problems
}

// missing is the problem of there being no query.
func (f Form) missing() authz.Problems {
	optional := func(parameter Parameter) bool { return parameter.Missing == "" }
	needed := slices.DeleteFunc(slices.Clone(f.Parameters), optional)
	return problem("query", "is missing", "write a SELECT that takes "+enumerate(needed))
}

// refusal says why a query cannot be used. Nothing has been asked yet, so that
// SQLite's message quotes only what the operator wrote.
func (f Form) refusal(err error) authz.Problems {
	if ofStore(err) {
		return problem("query", "is not one SELECT that SQLite takes: "+err.Error(), "try it in the sqlite3 shell on the same file")
	}
	return problem("query", "cannot be asked: "+err.Error(), "use no "+f.noun()+" but "+enumerate(f.Parameters))
}

// noun is what the form's parameters are called together.
func (f Form) noun() string {
	if len(f.Parameters) == 1 {
		return "parameter"
	}
	return "parameters"
}

// enumerate writes ":a, :b and :c".
func enumerate(parameters []Parameter) string {
	var text strings.Builder
	for i, parameter := range parameters {
		switch {
		case i == 0:
		case i == len(parameters)-1:
			text.WriteString(" and ")
		default:
			text.WriteString(", ")
		}
		text.WriteString(":" + parameter.Name)
	}
	return text.String()
}
