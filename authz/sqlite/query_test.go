package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/sqlite"
	"github.com/google/go-cmp/cmp"
)

// form is that of a query with everything a form can have.
var form = sqlite.Form{
	Parameters: []sqlite.Parameter{
		{Name: "owner", Missing: "compare the owner"},
		{Name: "place"},
		{Name: "ids", Trial: "[]", Missing: "keep to the ids"},
	},
	Columns: []sqlite.Column{
		{Name: "id", Missing: "name the id"},
		{Name: "kind", Else: "'plain'"},
		{Name: "note"},
	},
	Surplus: "return id, kind and note",
}

const keyed = " where owner = :owner and id in (select value from json_each(:ids))"

func TestPrepareRefuses(t *testing.T) {
	database := openFile(t, oneTable(t, "create table t (id text, owner text, kind text, note text)"))
	for _, test := range []struct{ name, query, what string }{
		{"no query", "", "query: is missing; write a SELECT that takes :owner and :ids"},
		{"nothing but a semicolon", " ;\n", "is missing"},
		{"what is no SQL", "who owns it", "is not one SELECT"},
		{"a table that is not there", "select id from nowhere" + keyed, "no such table"},
		{"a column that is not there", "select id, nowhere as note from t" + keyed, "no such column"},
		{"a mistyped column in double quotes", `select id, "noet" as note from t` + keyed, "no such column"},
		{"two statements", "select id from t" + keyed + "; select 1", "is not one SELECT"},
		{"two statements behind a comment", "select id from t" + keyed + " --\n; select 1", "is not one SELECT"},
		{"an open comment", "select id from t" + keyed + " /*", "is not one SELECT"},
		{"a way out of the parentheses", "select id from t" + keyed + "); delete from t; select (1", "is not one SELECT"},
		{"a statement that writes", "delete from t where id in (select value from json_each(:ids)) and owner = :owner returning id", "is not one SELECT"},
		{"a pragma", "pragma user_version", "is not one SELECT"},
		{"another file", "attach 'x.db' as x", "is not one SELECT"},
		{"no column that must be there", "select kind from t" + keyed, "query: returns no column id; name the id"},
		{"a column twice", "select id, id from t" + keyed, "returns a column"},
		{"a column of another name", "select id, owner from t" + keyed, `query: returns a column "owner"; return id, kind and note`},
		{"every column", "select * from t" + keyed, `returns a column "owner"`},
		{"no parameter that must be used", "select id from t where id in (select value from json_each(:ids))", "query: does not use :owner; compare the owner"},
		{"a parameter in a comment", "select id from t where id in (select value from json_each(:ids)) -- :owner", "does not use :owner"},
		{"a parameter in a string", "select id from t where owner = ':owner' and id in (select value from json_each(:ids))", "does not use :owner"},
		{"another that must be used", "select id from t where owner = :owner", "query: does not use :ids; keep to the ids"},
		{"a parameter of another name", "select id from t" + keyed + " and note = :note", "; use no parameters but :owner, :place and :ids"},
		{"a parameter that has no value", "select id from t" + keyed + " and note = :note", "query: cannot be asked: "},
		{"a parameter without a name", "select id from t" + keyed + " and note = ?", "query: holds a question mark; name its parameters, and write char(63)"},
		{"a parameter with a number", "select id from t" + keyed + " and note = ?1", "question mark"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := database.Prepare(test.query, form)
			wantProblem(t, err, "query", test.what)
		})
	}
}

func TestPrepareTellsAllProblemsInOneGo(t *testing.T) {
	database := openFile(t, oneTable(t, "create table t (id text, owner text)"))
	_, err := database.Prepare("select owner, '?' as note from t", form)
	for _, what := range []string{"returns no column id", `returns a column "owner"`, "holds a question mark", "does not use :owner", "does not use :ids"} {
		wantProblem(t, err, "query", what)
	}
}

func TestPrepareOfOneParameter(t *testing.T) {
	database := openFile(t, oneTable(t, "create table t (id text)"))
	one := sqlite.Form{
		Parameters: []sqlite.Parameter{{Name: "id", Trial: "", Missing: "ask for one"}},
		Columns:    []sqlite.Column{{Name: "id", Missing: "name it"}},
		Surplus:    "return only id",
	}
	for _, test := range []struct{ name, query, what string }{
		{"no query", "", "query: is missing; write a SELECT that takes :id"},
		{"a parameter of another name", "select id from t where id = :id and :other", "; use no parameter but :id"},
		{"a parameter without a name", "select id from t where id = ?", "name its parameter, and"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := database.Prepare(test.query, one)
			wantProblem(t, err, "query", test.what)
		})
	}
}

func TestRequiring(t *testing.T) {
	database := openFile(t, oneTable(t, "create table t (id text, owner text, note text)"))
	placed := form.Requiring("place", "compare the place")
	_, err := database.Prepare("select id from t"+keyed, placed)
	wantProblem(t, err, "query", "query: does not use :place; compare the place")
	_, err = database.Prepare("select id from t"+keyed+" -- :place", placed)
	wantProblem(t, err, "query", "does not use :place")
	for query, form := range map[string]sqlite.Form{"select id from t" + keyed + " and note = :place": placed, "select id from t" + keyed: form} {
		if _, err := database.Prepare(query, form); err != nil {
			t.Errorf("Prepare(%q) = %v", query, err)
		}
	}
}

func TestPrepareTakes(t *testing.T) {
	database := openFile(t, oneTable(t, "create table t (id text, owner text, note text)"))
	for _, test := range []struct{ name, query string }{
		{"a WITH, capitals, a comment and a last semicolon", "with mine as (select * from t where owner = :owner)\nselect ID, Note from mine where id in (select value from json_each(:ids)) -- all\n;\n"},
		{"every parameter", "select id from t" + keyed + " and :place is null"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := database.Prepare(test.query, form); err != nil {
				t.Errorf("Prepare() = %v", err)
			}
		})
	}
}

func TestRows(t *testing.T) {
	for _, test := range []struct {
		name, columns string
		want          [][]any
		fault         string
	}{
		{name: "columns that are not there", columns: "id", want: [][]any{{"secret", "plain", nil}}},
		{name: "columns in any order", columns: "note, id, kind", want: [][]any{{"secret", "thing", "1"}}},
		{name: "columns in capitals", columns: "ID, Kind", want: [][]any{{"secret", "thing", nil}}},
		{name: "a value that is NULL", columns: "id, null as kind", want: [][]any{{"secret", nil, nil}}},
		{name: "numbers and a blob", columns: "7 as id, 1.5 as kind, x'00' as note", want: [][]any{{int64(7), 1.5, []byte{0}}}},
		{name: "a date keeps its text", columns: "id, dated as note", want: [][]any{{"secret", "plain", "2026-01-02"}}},
		{name: "a truth keeps its number", columns: "id, open as note", want: [][]any{{"secret", "plain", int64(1)}}},
		{name: "a function that fails on a value", columns: "id, json_extract('{}', :owner) as note", fault: "result code 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := oneTable(t, `create table t (id text, owner text, kind text, note text, dated datetime default '2026-01-02', open boolean default 1);
				insert into t (id, owner, kind, note) values ('secret', 'ann', 'thing', '1')`)
			query := prepare(t, file, "select "+test.columns+" from t where t.owner = :owner and t.id in (select value from json_each(:ids))")
			got, err := answer(t.Context(), query, "ann", "secret")
			if test.fault != "" {
				wantFault(t, got, err, test.fault)
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("Rows() error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestARowThatFailsBehindAGoodOne(t *testing.T) {
	file := oneTable(t, "create table t (id text, owner text, note text); insert into t values ('secret', 'ann', '1'), ('secret', 'ann', 'no JSON')")
	got, err := answer(t.Context(), prepare(t, file, "select id, json(note) as note from t"+keyed), "ann", "secret")
	wantFault(t, got, err, "result code 1")
}

func TestAnAnswerCutShortIsAnError(t *testing.T) {
	// The end of the context is noticed somewhere, long before the last row.
	file := oneTable(t, "create table t (id text, owner text); insert into t values ('1', 'ann')")
	query := prepare(t, file, "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select t.id from t join n"+keyed)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range query.Rows(ctx, arguments("ann", "1")...) {
		last = err
		cancel()
		runtime.Gosched()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("Rows() ends with %v, want context.Canceled", last)
	}
}

func TestRowsAreTheCallersToKeepAndToLeave(t *testing.T) {
	file := oneTable(t, "create table t (id text, owner text); insert into t values ('1', 'ann'), ('2', 'ann')")
	query := prepare(t, file, "select id from t"+keyed+" order by id")
	// More often than there are connections: what is left must not hold one.
	for range 20 {
		var first []any
		for row, err := range query.Rows(t.Context(), arguments("ann", "1", "2")...) {
			if err != nil {
				t.Fatal(err)
			}
			first = row
			break
		}
		if diff := cmp.Diff([]any{"1", "plain", nil}, first); diff != "" {
			t.Fatalf("Rows() (-want +got):\n%s", diff)
		}
	}
	got, err := answer(t.Context(), query, "ann", "1", "2")
	if diff := cmp.Diff([][]any{{"1", "plain", nil}, {"2", "plain", nil}}, got); err != nil || diff != "" {
		t.Errorf("Rows() error %v (-want +got):\n%s", err, diff)
	}
}

func TestRowsEndWithTheirTime(t *testing.T) {
	file := oneTable(t, "create table t (id text primary key, owner text); insert into t values ('1', 'ann')")
	const endless = "with recursive n(i) as (select 1 union all select i + 1 from n) "
	for _, test := range []struct{ name, query string }{
		{"no row ever comes", endless + "select t.id from t join n" + keyed + " and n.i = -1"},
		{"a first row comes", endless + "select t.id from t" + keyed + " union all select t.id from t join n" + keyed + " and n.i = -1"},
		{"rows without end come", endless + "select t.id from t join n" + keyed},
	} {
		t.Run(test.name, func(t *testing.T) {
			query := prepare(t, file, test.query)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			got, err := answer(ctx, query, "ann", "1")
			if !errors.Is(err, context.DeadlineExceeded) || got != nil {
				t.Errorf("Rows() = %v, %v, want context.DeadlineExceeded", got, err)
			}
		})
	}
}

func TestALockedFileIsAnError(t *testing.T) {
	file := oneTable(t, "create table t (id text, owner text); insert into t values ('1', 'ann')")
	query := prepare(t, file, "select id from t"+keyed)
	conn, err := writer(t, file).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "begin exclusive"); err != nil {
		t.Fatal(err)
	}
	got, err := answer(t.Context(), query, "ann", "1")
	wantFault(t, got, err, "SQLITE_BUSY")
	if _, err := conn.ExecContext(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	if got, err := answer(t.Context(), query, "ann", "1"); err != nil || len(got) != 1 {
		t.Errorf("once unlocked: Rows() = %v, %v, want one", got, err)
	}
}

func TestWhatIsWrittenIsSeen(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run("journal mode "+mode, func(t *testing.T) {
			file := oneTable(t, "pragma journal_mode = "+mode+"; create table t (id text, owner text); insert into t values ('1', 'ann')")
			query := prepare(t, file, "select id from t"+keyed)
			for _, step := range []struct {
				statement string
				want      int
			}{
				{"select 1", 1},
				{"update t set owner = 'bob'", 0},
				{"alter table t add column note text", 0},
				{"update t set owner = 'ann'", 1},
			} {
				execute(t, file, step.statement)
				got, err := answer(t.Context(), query, "ann", "1")
				if err != nil || len(got) != step.want {
					t.Errorf("after %q: Rows() = %v, %v, want %d", step.statement, got, err, step.want)
				}
			}
		})
	}
}

func TestName(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
		ok    bool
	}{
		{"a", "a", true},
		{"", "", true},
		{int64(22289), "22289", true},
		{int64(-1), "-1", true},
		{nil, "", false},
		{1.5, "", false},
		{[]byte("a"), "", false},
	} {
		if got, ok := sqlite.Name(test.value); got != test.want || ok != test.ok {
			t.Errorf("Name(%v) = %q, %t, want %q, %t", test.value, got, ok, test.want, test.ok)
		}
	}
}

// prepare prepares a query that must be taken.
func prepare(t *testing.T, file, text string) *sqlite.Query {
	t.Helper()
	query, err := openFile(t, file).Prepare(text, form)
	if err != nil {
		t.Fatalf("Prepare() = %v", err)
	}
	return query
}

// answer reads all rows of an answer, or none.
func answer(ctx context.Context, query *sqlite.Query, owner string, ids ...string) ([][]any, error) {
	var rows [][]any
	for row, err := range query.Rows(ctx, arguments(owner, ids...)...) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func arguments(owner string, ids ...string) []any {
	return []any{
		sql.Named("owner", owner),
		sql.Named("place", nil),
		sql.Named("ids", `["`+strings.Join(ids, `","`)+`"]`),
	}
}

func wantFault(t *testing.T, got [][]any, err error, text string) {
	t.Helper()
	if err == nil || got != nil {
		t.Fatalf("Rows() = %d rows, %v, want an error and nothing else", len(got), err)
	}
	if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ann") {
		t.Errorf("Rows() = %q, want %q in it and no value", err, text)
	}
}
