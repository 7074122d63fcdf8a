package ownership_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/google/go-cmp/cmp"
)

const accountQuery = "select id from accounts where subject = :subject and id in (select value from json_each(:ids))"

func bankFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bank.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table accounts (id text, subject text); insert into accounts values ('1', 'ann')"); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpen(t *testing.T) {
	file := bankFile(t)
	owners, err := ownership.Open(ownership.Config{
		"account": {Engine: "sqlite", Database: file, Query: accountQuery},
		"card":    {Engine: "sqlite", Database: file, Query: accountQuery + " and 1 = 0"},
	}, 1)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	objects := []authz.Object{{Type: "account", ID: "1"}, {Type: "card", ID: "1"}}
	got, err := owners.Owned(t.Context(), ann, objects)
	want := map[authz.Object]authz.Ownership{{Type: "account", ID: "1"}: {Relation: "owner"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Owned() error %v (-want +got):\n%s", err, diff)
	}
	if err := owners.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if got, err := owners.Owned(t.Context(), ann, objects); err == nil {
		t.Errorf("after Close: Owned() = %v, want an error", got)
	}
}

func TestOpenTellsAllProblems(t *testing.T) {
	file := bankFile(t)
	absent := filepath.Join(t.TempDir(), "absent.db")
	_, err := ownership.Open(ownership.Config{
		"account": {Engine: "sqlite", Database: file, Query: accountQuery},
		"card":    {Engine: "oracle", Database: file, Query: accountQuery},
		"deposit": {},
		"fund":    {Engine: "sqlite", Query: accountQuery},
		"loan":    {Engine: "sqlite", Database: absent, Query: accountQuery},
		"policy":  {Engine: "sqlite", Database: file},
		"share":   {Engine: "sqlite", Database: file, Query: "select id from accounts"},
	}, 1)
	var problems authz.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("Open() = %v, want authz.Problems", err)
	}
	var keys []string
	for _, problem := range problems {
		keys = append(keys, problem.Key)
		if problem.What == "" || problem.Fix == "" {
			t.Errorf("%s: What %q, Fix %q, want both", problem.Key, problem.What, problem.Fix)
		}
	}
	want := []string{"card.engine", "deposit.engine", "deposit.database", "deposit.query", "fund.database", "loan.database", "policy.query", "share.query", "share.query"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat(absent) = %v: Open made the file", err)
	}
}

func TestSeveralIssuersAreToldApart(t *testing.T) {
	cfg := ownership.Config{"account": {Engine: "sqlite", Database: bankFile(t), Query: accountQuery}}
	_, err := ownership.Open(cfg, 2)
	var problems authz.Problems
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != "account.query" || problems[0].What != "does not use :issuer" {
		t.Errorf("Open() = %v, want one problem of account.query", err)
	}
	cfg["account"] = ownership.TypeConfig{Engine: "sqlite", Database: bankFile(t), Query: accountQuery + " and :issuer = 'https://login.bank.example'"}
	owners, err := ownership.Open(cfg, 2)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	if err := owners.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestOpenOfNothingHasNoTypes(t *testing.T) {
	owners, err := ownership.Open(nil, 1)
	if err != nil || len(owners.Types()) != 0 {
		t.Fatalf("Open(nil) = %v, %v, want no types", owners.Types(), err)
	}
	if _, err := owners.Owned(t.Context(), ann, []authz.Object{{Type: "account", ID: "1"}}); err == nil {
		t.Error("Owned() = nil, want an error: no engine")
	}
}
