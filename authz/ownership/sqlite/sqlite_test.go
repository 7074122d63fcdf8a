package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/ownership/sqlite"
	store "github.com/countersign-io/countersign/authz/sqlite"
	"github.com/google/go-cmp/cmp"
)

var ann = authz.Caller{Kind: authz.Customer, Issuer: "https://login.bank.example", Subject: "ann", Client: "acme", Actor: "helper"}

const keyed = " where subject = :subject and id in (select value from json_each(:ids))"

// oneTable makes a file with a table "t" of any columns, and rows for it.
func oneTable(t *testing.T, statements string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "one.db")
	execute(t, file, statements)
	return file
}

func TestNewRefuses(t *testing.T) {
	file := oneTable(t, "create table t (id text, subject text, relation text, region text)")
	database, err := store.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	for _, test := range []struct{ name, query, what string }{
		{"no query", "", "is missing"},
		{"nothing but a semicolon", " ;\n", "is missing"},
		{"what is no SQL", "who owns it", "is not one SELECT"},
		{"a statement that writes", "delete from t where id in (select value from json_each(:ids)) and subject = :subject returning id", "is not one SELECT"},
		{"no column id", "select relation from t" + keyed, "returns no column id"},
		{"the id twice", "select id, id from t" + keyed, "returns a column"},
		{"a column of another name", "select id, subject from t" + keyed, `returns a column "subject"`},
		{"every column", "select * from t" + keyed, `returns a column "subject"`},
		{"no subject", "select id from t where id in (select value from json_each(:ids))", "does not use :subject"},
		{"a subject in a comment", "select id from t where id in (select value from json_each(:ids)) -- :subject", "does not use :subject"},
		{"a subject in a string", "select id from t where subject = ':subject' and id in (select value from json_each(:ids))", "does not use :subject"},
		{"no ids", "select id from t where subject = :subject", "does not use :ids"},
		{"another parameter", "select id from t" + keyed + " and region = :region", "cannot be asked"},
		{"a parameter without a name", "select id from t" + keyed + " and region = ?", "question mark"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := sqlite.New(database, test.query, 1)
			wantProblem(t, err, "query", test.what)
		})
	}
	if _, err := sqlite.New(database, "with mine as (select * from t where subject = :subject)\nselect ID, Region from mine where id in (select value from json_each(:ids)) -- all\n;\n", 1); err != nil {
		t.Errorf("New() = %v, want a WITH, capitals, a comment and a last semicolon taken", err)
	}
	if _, err := sqlite.New(database, "select id from t"+keyed+" and :issuer is not null and :client is not null and :tenant is null and :actor is not null", 1); err != nil {
		t.Errorf("New() = %v, want every parameter taken", err)
	}
	for _, query := range []string{"select id from t" + keyed, "select id from t" + keyed + " -- :issuer"} {
		_, err := sqlite.New(database, query, 2)
		wantProblem(t, err, "query", "does not use :issuer")
	}
	if _, err := sqlite.New(database, "select id from t"+keyed+" and region = :issuer", 2); err != nil {
		t.Errorf("New() of several issuers = %v, want :issuer to do", err)
	}
}

func wantProblem(t *testing.T, err error, key, what string) {
	t.Helper()
	var problems authz.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error = %v, want authz.Problems", err)
	}
	for _, problem := range problems {
		if problem.Key != key || problem.Fix == "" {
			t.Errorf("problem %+v, want the key %q and a fix", problem, key)
		}
	}
	if !strings.Contains(problems.Error(), what) {
		t.Errorf("problems = %q, want %q among them", problems, what)
	}
}

func TestRows(t *testing.T) {
	for _, test := range []struct {
		name, rows, columns string
		want                map[authz.ObjectID]authz.Ownership
		fault               string
	}{
		{name: "an owner by default", rows: "('secret', 'ann', 'x', 'GB')", columns: "id",
			want: map[authz.ObjectID]authz.Ownership{"secret": {Relation: "owner"}}},
		{name: "columns in any order", rows: "('secret', 'ann', 'joint', 'GB')", columns: "region, relation, id",
			want: map[authz.ObjectID]authz.Ownership{"secret": {Relation: "joint", Region: "GB"}}},
		{name: "a region that is NULL", rows: "('secret', 'ann', 'joint', null)", columns: "id, relation, region",
			want: map[authz.ObjectID]authz.Ownership{"secret": {Relation: "joint"}}},
		{name: "the same row twice", rows: "('secret', 'ann', 'joint', 'GB'), ('secret', 'ann', 'joint', 'GB')", columns: "id, relation",
			want: map[authz.ObjectID]authz.Ownership{"secret": {Relation: "joint"}}},
		{name: "a date keeps its text", rows: "('secret', 'ann', 'x', 'GB')", columns: "id, dated as region",
			want: map[authz.ObjectID]authz.Ownership{"secret": {Relation: "owner", Region: "2026-01-02"}}},
		{name: "two relations", rows: "('secret', 'ann', 'joint', 'GB'), ('secret', 'ann', 'owner', 'GB')", columns: "id, relation", fault: "differ"},
		{name: "two regions", rows: "('secret', 'ann', 'joint', 'GB'), ('secret', 'ann', 'joint', 'FR')", columns: "id, region", fault: "differ"},
		{name: "a relation that is NULL", rows: "('secret', 'ann', null, 'GB')", columns: "id, relation", fault: "relation"},
		{name: "a relation that is empty", rows: "('secret', 'ann', '', 'GB')", columns: "id, relation", fault: "relation"},
		{name: "a relation that is a number", rows: "('secret', 'ann', 1, 'GB')", columns: "id, length(relation) as relation", fault: "relation"},
		{name: "a region that is a number", rows: "('secret', 'ann', 'x', 'GB')", columns: "id, length(region) as region", fault: "region"},
		{name: "an id that is NULL", rows: "('secret', 'ann', 'x', 'GB')", columns: "null as id", fault: "id is neither"},
		{name: "an id that is a blob", rows: "('secret', 'ann', 'x', 'GB')", columns: "cast(id as blob) as id", fault: "id is neither"},
		{name: "an id that is a fraction", rows: "('secret', 'ann', 'x', 'GB')", columns: "1.5 as id", fault: "id is neither"},
		{name: "a row that fails behind a good one", rows: "('secret', 'ann', 'x', '1'), ('secret', 'ann', 'x', 'no JSON')", columns: "id, json(region) as region", fault: "result code 1"},
		{name: "a function that fails on a value", rows: "('secret', 'ann', 'x', 'GB')", columns: "id, json_extract('{}', :subject) as region", fault: "result code 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := oneTable(t, "create table t (id text, subject text, relation text, region text, dated datetime default '2026-01-02'); insert into t (id, subject, relation, region) values "+test.rows)
			_, engine := open(t, file, "select "+test.columns+" from t where t.subject = :subject and t.id in (select value from json_each(:ids))")
			got, err := engine.Owned(t.Context(), ann, "account", []authz.ObjectID{"secret"})
			if test.fault != "" {
				wantFault(t, got, err, test.fault)
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("Owned() error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func wantFault(t *testing.T, got map[authz.ObjectID]authz.Ownership, err error, text string) {
	t.Helper()
	if err == nil || got != nil {
		t.Fatalf("Owned() = %d objects, %v, want an error and nothing else", len(got), err)
	}
	if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ann") {
		t.Errorf("Owned() = %q, want %q in it and no value", err, text)
	}
}

func TestIntegerKeys(t *testing.T) {
	file := oneTable(t, "create table t (id integer primary key, subject text); insert into t values (22289, 'ann'), (7, 'bob')")
	_, engine := open(t, file, "select id from t"+keyed)
	got, err := engine.Owned(t.Context(), ann, "account", []authz.ObjectID{"22289", "7", "x"})
	if diff := cmp.Diff(map[authz.ObjectID]authz.Ownership{"22289": {Relation: "owner"}}, got); err != nil || diff != "" {
		t.Errorf("Owned() error %v (-want +got):\n%s", err, diff)
	}
	// SQLite takes these for the integer; its row tells the key as it is stored,
	// which is not what was asked.
	for _, id := range []authz.ObjectID{"022289", " 22289", "22289.0", "2.2289e4"} {
		got, err := engine.Owned(t.Context(), ann, "account", []authz.ObjectID{id})
		if _, found := got[id]; found || err != nil {
			t.Errorf("Owned() finds an id in another form, error %v", err)
		}
	}
}

func TestAnUnknownOfTheCallerEqualsNothing(t *testing.T) {
	file := oneTable(t, "create table t (id text, subject text, tenant text); insert into t values ('1', 'ann', ''), ('2', 'ann', null), ('3', 'ann', 'north'), ('4', '', 'north')")
	_, engine := open(t, file, "select id from t"+keyed+" and tenant = :tenant")
	ids := []authz.ObjectID{"1", "2", "3", "4"}
	if got, err := engine.Owned(t.Context(), ann, "account", ids); err != nil || len(got) != 0 {
		t.Errorf("Owned() without a tenant = %v, %v, want nothing", got, err)
	}
	north := ann
	north.Tenant = "north"
	got, err := engine.Owned(t.Context(), north, "account", ids)
	if diff := cmp.Diff(map[authz.ObjectID]authz.Ownership{"3": {Relation: "owner"}}, got); err != nil || diff != "" {
		t.Errorf("Owned() with a tenant: error %v (-want +got):\n%s", err, diff)
	}
	if got, err := engine.Owned(t.Context(), authz.Caller{Tenant: "north"}, "account", ids); err != nil || len(got) != 0 {
		t.Errorf("Owned() without a subject = %v, %v, want nothing", got, err)
	}
}

func TestAQueryThatDoesNotKeepToTheIDs(t *testing.T) {
	file := oneTable(t, `create table t (id text, subject text);
		insert into t select value, 'ann' from json_each('["1","2","3","4","5","6","7","8","9"]')`)
	_, engine := open(t, file, "select id from t where subject = :subject and :ids <> ''")
	got, err := engine.Owned(t.Context(), ann, "account", []authz.ObjectID{"1"})
	wantFault(t, got, err, "far more rows")
}

func TestOwnedEndsWithItsTime(t *testing.T) {
	file := oneTable(t, "create table t (id text primary key, subject text); insert into t values ('1', 'ann')")
	_, engine := open(t, file, "with recursive n(i) as (select 1 union all select i + 1 from n) select t.id from t join n"+keyed)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got, err := engine.Owned(ctx, ann, "account", []authz.ObjectID{"1"})
	if !errors.Is(err, context.DeadlineExceeded) || got != nil {
		t.Errorf("Owned() = %v, %v, want context.DeadlineExceeded", got, err)
	}
}

func TestEnginesShareAFile(t *testing.T) {
	file := oneTable(t, "create table t (id text, subject text); insert into t values ('1', 'ann')")
	database, accounts := open(t, file, "select id from t"+keyed)
	cards, err := sqlite.New(database, "select id, 'holder' as relation from t"+keyed, 1)
	if err != nil {
		t.Fatal(err)
	}
	for relation, engine := range map[string]*sqlite.Engine{"owner": accounts, "holder": cards} {
		got, err := engine.Owned(t.Context(), ann, "any", []authz.ObjectID{"1"})
		if diff := cmp.Diff(map[authz.ObjectID]authz.Ownership{"1": {Relation: relation}}, got); err != nil || diff != "" {
			t.Errorf("Owned() error %v (-want +got):\n%s", err, diff)
		}
	}
}

func FuzzOwned(f *testing.F) {
	file := filepath.Join(f.TempDir(), "fuzz.db")
	db, err := sqlOpen(file, "create table t (id text, subject text); insert into t values ('1', 'ann'), ('2', 'bob')")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	database, err := store.Open(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { database.Close() })
	engine, err := sqlite.New(database, "select id from t"+keyed, 1)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][2]string{{"ann", "1"}, {"ann", "2"}, {"bob", "' or 1=1 --"}, {"\x00", "\xff"}, {"", `["1"]`}, {"ann", "\u2028"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, subject, id string) {
		caller := authz.Caller{Kind: authz.Customer, Subject: authz.Subject(subject)}
		got, err := engine.Owned(t.Context(), caller, "account", []authz.ObjectID{authz.ObjectID(id)})
		if err != nil {
			t.Fatalf("Owned() = %v: a request made the store fail", err)
		}
		_, owned := got[authz.ObjectID(id)]
		if want := subject == "ann" && id == "1" || subject == "bob" && id == "2"; owned != want {
			t.Errorf("owned = %v, want %v", owned, want)
		}
	})
}
