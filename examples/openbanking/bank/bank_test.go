package bank

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
)

func openBank(t *testing.T) *Bank {
	t.Helper()
	bank, err := Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return bank
}

// queries are the SQL of the bank's countersign.yaml.
func queries(t *testing.T, bank *Bank) (ownership, consent string) {
	t.Helper()
	text, err := bank.Configuration("", 0, 0)
	if err != nil {
		t.Fatalf("Configuration: %v", err)
	}
	var configuration struct {
		Ownership map[string]struct{ Query string }
		Consent   struct{ Query string }
	}
	if err := yaml.Unmarshal([]byte(text), &configuration); err != nil {
		t.Fatalf("countersign.yaml: %v", err)
	}
	return configuration.Ownership["account"].Query, configuration.Consent.Query
}

func records(t *testing.T, bank *Bank) *sql.DB {
	t.Helper()
	database, err := sql.Open("sqlite", filepath.Join(bank.Dir, "bank.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	return database
}

func TestOwnershipQuery(t *testing.T) {
	bank := openBank(t)
	ownership, _ := queries(t, bank)
	tests := []struct {
		name, issuer, subject, ids string
		want                       []string
	}{
		{"only the subject's own are answered", IssuerName, "ann", `["22289","31820","99999"]`, []string{"22289 owner GB"}},
		{"a joint account is both's", IssuerName, "bob", `["40500","22289"]`, []string{"40500 joint GB"}},
		{"an account abroad says so", IssuerName, "ann", `["22290"]`, []string{"22290 owner US"}},
		{"what is not asked for is not answered", IssuerName, "ann", `[]`, nil},
		{"the same subject of another issuer owns nothing", "https://auth.other.example", "ann", `["22289"]`, nil},
		{"nobody owns nothing", IssuerName, "", `["22289"]`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rows, err := records(t, bank).Query(ownership, sql.Named("issuer", test.issuer), sql.Named("subject", test.subject), sql.Named("ids", test.ids))
			if err != nil {
				t.Fatalf("Query: %v", err)
			}
			defer rows.Close()
			var got []string
			for rows.Next() {
				var id, relation, region string
				if err := rows.Scan(&id, &relation, &region); err != nil {
					t.Fatalf("Scan: %v", err)
				}
				got = append(got, strings.Join([]string{id, relation, region}, " "))
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsentQuery(t *testing.T) {
	type row struct{ Status, Client, Subject, Permissions, Objects string }
	bank := openBank(t)
	_, consent := queries(t, bank)
	tests := []struct {
		name, id string
		want     row
		expires  string // "later", "before" or "never"
	}{
		{"one permission and one account", "ann-acme-basic",
			row{"AUTH", "acme", "ann", `["ReadAccountsBasic"]`, `[{"type":"account","id":"22289"}]`}, "later"},
		{"revoked", "ann-acme-revoked", row{Status: "CANC", Client: "acme", Subject: "ann"}, "later"},
		{"expired", "ann-acme-expired", row{Status: "AUTH", Client: "acme", Subject: "ann"}, "before"},
		{"open-ended", "bob-acme", row{Status: "AUTH", Client: "acme", Subject: "bob"}, "never"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got row
			var id string
			var expires sql.NullString
			// Columns in the order of the query.
			err := records(t, bank).QueryRow(consent, sql.Named("issuer", IssuerName), sql.Named("id", test.id)).
				Scan(&id, &got.Status, &got.Client, &got.Subject, &expires, &got.Permissions, &got.Objects)
			if err != nil {
				t.Fatalf("QueryRow: %v", err)
			}
			if test.want.Permissions == "" {
				got.Permissions, got.Objects = "", ""
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("consent (-want +got):\n%s", diff)
			}
			if ends := endOf(t, expires); ends != test.expires {
				t.Errorf("it expires %s, want %s", ends, test.expires)
			}
		})
	}
	t.Run("the same id of another issuer is not found", func(t *testing.T) {
		rows, err := records(t, bank).Query(consent, sql.Named("issuer", "https://auth.other.example"), sql.Named("id", "ann-acme"))
		if err != nil {
			t.Fatalf("Query: %v", err)
		}
		defer rows.Close()
		if rows.Next() || rows.Err() != nil {
			t.Errorf("a row, or %v, want none", rows.Err())
		}
	})
}

func endOf(t *testing.T, expires sql.NullString) string {
	t.Helper()
	if !expires.Valid {
		return "never"
	}
	at, err := time.Parse(time.RFC3339, expires.String)
	if err != nil {
		t.Fatalf("expires_at: %v", err)
	}
	if at.After(time.Now()) {
		return "later"
	}
	return "before"
}

func TestOpenAgainReplacesTheBank(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if _, err := Open(dir, time.Now()); err != nil {
			t.Fatalf("Open: %v", err)
		}
	}
}

func TestEnvoyConfiguration(t *testing.T) {
	tests := []struct {
		name      string
		unguarded bool
	}{{"guarded", false}, {"unguarded", true}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text, err := render("envoy.yaml.tmpl", Settings{Dir: "run", AuthzPort: 1, UpstreamPort: 2, SpansPort: 3, Unguarded: test.unguarded})
			if err != nil {
				t.Fatalf("render: %v", err)
			}
			var parsed map[string]any
			if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
				t.Fatalf("envoy.yaml: %v", err)
			}
			if got := strings.Contains(text, "ext_authz"); got == test.unguarded {
				t.Errorf("ext_authz stands in it: %t, want %t", got, !test.unguarded)
			}
		})
	}
}
