package sqlite_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/consent/consenttest"
	"github.com/countersign-io/countersign/authz/consent/sqlite"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

const (
	consentTable = "create table consents (issuer text, id text, status text, client text, subject text, permissions text, objects text, expires_at, primary key (issuer, id))"
	consentQuery = "select id, status, client, subject, permissions, objects, expires_at from consents where id = :id and issuer = :issuer"
)

func TestConformance(t *testing.T) {
	t.Run("expiry in text, closed", func(t *testing.T) {
		consenttest.Run(t, func(t *testing.T, records []consenttest.Record) (authz.Consents, func()) {
			database, engine := openFile(t, bank(t, records, func(at time.Time) any { return at.Format(time.RFC3339) }), consentQuery)
			return engine, func() { database.Close() }
		})
	})
	t.Run("expiry in seconds, table dropped", func(t *testing.T) {
		consenttest.Run(t, func(t *testing.T, records []consenttest.Record) (authz.Consents, func()) {
			file := bank(t, records, func(at time.Time) any { return at.Unix() })
			return open(t, file, consentQuery), func() { execute(t, file, "drop table consents") }
		})
	})
}

// bank makes a file that holds the records, expiry written as expires does.
func bank(t *testing.T, records []consenttest.Record, expires func(time.Time) any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bank.db")
	execute(t, file, consentTable)
	db := writer(t, file)
	for _, record := range records {
		objects := make([]map[string]string, len(record.Objects))
		for i, object := range record.Objects {
			objects[i] = map[string]string{"type": string(object.Type), "id": string(object.ID)}
		}
		var expiresAt any
		if !record.OpenEnded {
			expiresAt = expires(record.ExpiresAt)
		}
		if _, err := db.Exec("insert into consents values (?, ?, ?, ?, ?, ?, ?, ?)", record.Issuer, record.ID, record.Status, record.Client, record.Subject,
			text(t, record.Permissions), text(t, objects), expiresAt); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// text is a list in JSON, and NULL for none.
func text[E any](t *testing.T, list []E) any {
	t.Helper()
	if len(list) == 0 {
		return nil
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
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

func execute(t *testing.T, file, statements string) {
	t.Helper()
	if _, err := writer(t, file).Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// open opens an engine that must open, and closes it with the test.
func open(t *testing.T, file, query string) *sqlite.Engine {
	t.Helper()
	_, engine := openFile(t, file, query)
	return engine
}

func openFile(t *testing.T, file, query string) (*store.Database, *sqlite.Engine) {
	t.Helper()
	database, err := store.Open(file)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() { database.Close() })
	engine, err := sqlite.New(database, query, 1)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	return database, engine
}
