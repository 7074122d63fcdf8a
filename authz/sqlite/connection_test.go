package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAConnectionOnlyReads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.db")
	writer, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.Exec("create table t (id text)"); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, file)
	for _, statement := range []string{
		"insert into t values ('1')",
		// Without its pragma, the file is still open for reading alone.
		"pragma query_only = 0; insert into t values ('1')",
	} {
		if _, err := conn.Exec(statement); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%q: %v, want it refused as read-only", statement, err)
		}
	}
	var wait int
	if err := conn.QueryRow("pragma busy_timeout").Scan(&wait); err != nil || wait != 100 {
		t.Errorf("busy_timeout = %d, %v, want 100 milliseconds", wait, err)
	}
}

func TestAConnectionMakesNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "absent.db")
	if err := connect(t, file).Ping(); err == nil {
		t.Error("Ping() = nil, want an error")
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat() = %v, want no file", err)
	}
}

func connect(t *testing.T, file string) *sql.DB {
	t.Helper()
	source, err := dataSource(file)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}
