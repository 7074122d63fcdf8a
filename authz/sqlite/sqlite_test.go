package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/sqlite"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, file, what string }{
		{"a file that is not there", filepath.Join(dir, "absent.db"), "no such file"},
		{"no file", "", "no such file"},
		{"memory", ":memory:", "no such file"},
		{"options in the path", text + "?mode=rwc", "no such file"},
		{"a folder", dir, "not a regular file"},
		{"a file under a file", filepath.Join(text, "x.db"), "cannot be read"},
		{"what is no database", text, "not a database"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := sqlite.Open(test.file)
			wantProblem(t, err, "database", test.what)
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "absent.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat(absent) = %v: Open made the file", err)
	}
}

func TestOpenTakesOddPaths(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a bank?mode=rwc#100%25&ü.db")
	plain := oneTable(t, "create table t (id, owner); insert into t values ('1', 'ann')")
	if err := os.Rename(plain, file); err != nil {
		t.Fatal(err)
	}
	if got, err := answer(t.Context(), prepare(t, file, "select id from t"+keyed), "ann", "1"); err != nil || len(got) != 1 {
		t.Errorf("Rows() = %v, %v, want one", got, err)
	}
}

func TestCloseClosesEveryQuery(t *testing.T) {
	database := openFile(t, oneTable(t, "create table t (id text, owner text); insert into t values ('1', 'ann')"))
	query, err := database.Prepare("select id from t"+keyed, form)
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := answer(t.Context(), query, "ann", "1")
	wantFault(t, got, err, "closed")
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

// oneTable makes a file with a table "t" of any columns, and rows for it.
func oneTable(t *testing.T, statements string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "one.db")
	execute(t, file, statements)
	return file
}

func execute(t *testing.T, file, statements string) {
	t.Helper()
	if _, err := writer(t, file).Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func writer(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// openFile opens a file that must open, and closes it with the test.
func openFile(t *testing.T, file string) *sqlite.Database {
	t.Helper()
	database, err := sqlite.Open(file)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() { database.Close() })
	return database
}
