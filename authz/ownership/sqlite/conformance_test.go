package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/countersign-io/countersign/authz/ownership/ownershiptest"
	"github.com/countersign-io/countersign/authz/ownership/sqlite"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

const accountQuery = `
select a.id, p.relation, a.region
from accounts a join parties p on p.account = a.id
where p.issuer = :issuer and p.subject = :subject
  and a.id in (select value from json_each(:ids))`

func TestConformance(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		ownershiptest.Run(t, func(t *testing.T, accounts []ownershiptest.Account) (ownership.Engine, func()) {
			database, engine := open(t, bank(t, accounts), accountQuery)
			return engine, func() { database.Close() }
		})
	})
	t.Run("table dropped", func(t *testing.T) {
		ownershiptest.Run(t, func(t *testing.T, accounts []ownershiptest.Account) (ownership.Engine, func()) {
			file := bank(t, accounts)
			_, engine := open(t, file, accountQuery)
			return engine, func() { execute(t, file, "drop table parties") }
		})
	})
}

// bank makes a file that holds the accounts.
func bank(t *testing.T, accounts []ownershiptest.Account) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bank.db")
	execute(t, file, `
		create table accounts (id text primary key, region text);
		create table parties (account text, issuer text, subject text, relation text, primary key (account, issuer, subject))`)
	db := writer(t, file)
	for _, account := range accounts {
		if _, err := db.Exec("insert into accounts values (?, nullif(?, ''))", account.ID, account.Region); err != nil {
			t.Fatal(err)
		}
		for _, party := range account.Parties {
			if _, err := db.Exec("insert into parties values (?, ?, ?, ?)", account.ID, party.Issuer, party.Subject, party.Relation); err != nil {
				t.Fatal(err)
			}
		}
	}
	return file
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

func sqlOpen(file, statements string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(statements)
	return db, err
}

func execute(t *testing.T, file, statements string) {
	t.Helper()
	if _, err := writer(t, file).Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// open opens an engine that must open, and closes it with the test.
func open(t *testing.T, file, query string) (*store.Database, *sqlite.Engine) {
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
