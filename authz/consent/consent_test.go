package consent_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/consent"
	"github.com/google/go-cmp/cmp"
)

// fakeEngine is an engine made of a function.
type fakeEngine func(ctx context.Context, caller authz.Caller) (*authz.Consent, error)

func (f fakeEngine) Consent(ctx context.Context, caller authz.Caller) (*authz.Consent, error) {
	return f(ctx, caller)
}

// naming is a customer whose token names that consent.
func naming(id authz.ConsentID) authz.Caller {
	return authz.Caller{Kind: authz.Customer, Issuer: "https://auth.example", Subject: "ann", Client: "acme", Consent: id}
}

func good() authz.Consent {
	return authz.Consent{
		ID: "secret", Status: "AUTH", Client: "acme", Subject: "ann", OpenEnded: true,
		Permissions: []string{"ReadBalances"}, Objects: []authz.Object{{Type: "account", ID: "1"}},
	}
}

func TestConsentIsWholeOrAnError(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*authz.Consent)
		fault  string
	}{
		{"whole", func(*authz.Consent) {}, ""},
		{"no permissions and no objects", func(c *authz.Consent) { c.Permissions, c.Objects = nil, nil }, ""},
		{"another client's and another customer's", func(c *authz.Consent) { c.Client, c.Subject = "other", "bob" }, ""},
		{"expired and revoked", func(c *authz.Consent) { c.Status, c.OpenEnded, c.ExpiresAt = "CANC", false, time.Unix(1, 0) }, ""},
		{"another id", func(c *authz.Consent) { c.ID = "Secret" }, "another consent"},
		{"no id", func(c *authz.Consent) { c.ID = "" }, "another consent"},
		{"no status", func(c *authz.Consent) { c.Status = "" }, "lacks"},
		{"no client", func(c *authz.Consent) { c.Client = "" }, "lacks"},
		{"no subject", func(c *authz.Consent) { c.Subject = "" }, "lacks"},
		{"an empty permission", func(c *authz.Consent) { c.Permissions = []string{"ReadBalances", ""} }, "empty permission"},
		{"an object without a type", func(c *authz.Consent) { c.Objects[0].Type = "" }, "object without"},
		{"an object without an id", func(c *authz.Consent) { c.Objects[0].ID = "" }, "object without"},
		{"no expiry and not open ended", func(c *authz.Consent) { c.OpenEnded = false }, "neither expires"},
		{"an expiry and open ended", func(c *authz.Consent) { c.ExpiresAt = time.Unix(1, 0) }, "neither expires"},
	} {
		t.Run(test.name, func(t *testing.T) {
			record := good()
			test.change(&record)
			consents := consent.New(fakeEngine(func(context.Context, authz.Caller) (*authz.Consent, error) { return &record, nil }))
			got, err := consents.Consent(t.Context(), naming("secret"))
			if test.fault == "" {
				if diff := cmp.Diff(&record, got); err != nil || diff != "" {
					t.Errorf("Consent() error %v (-want +got):\n%s", err, diff)
				}
				return
			}
			if err == nil || got != nil {
				t.Fatalf("Consent() finds a record: %t, %v, want an error", got != nil, err)
			}
			if !strings.Contains(err.Error(), test.fault) || strings.Contains(strings.ToLower(err.Error()), "secret") {
				t.Errorf("Consent() = %q, want %q in it and no value", err, test.fault)
			}
		})
	}
}

func TestWhatTheEngineSays(t *testing.T) {
	broken := errors.New("store is down")
	consents := consent.New(fakeEngine(func(_ context.Context, caller authz.Caller) (*authz.Consent, error) {
		if caller.Consent == "broken" {
			return nil, broken
		}
		if diff := cmp.Diff(naming("unknown"), caller); diff != "" {
			t.Errorf("the engine is asked for (-want +got):\n%s", diff)
		}
		return nil, nil
	}))
	if got, err := consents.Consent(t.Context(), naming("broken")); !errors.Is(err, broken) || got != nil || authz.ReasonOf(err) != authz.Internal {
		t.Errorf("Consent() = %v, %v, want the engine's error, without a reason", got, err)
	}
	if got, err := consents.Consent(t.Context(), naming("unknown")); err != nil || got != nil {
		t.Errorf("Consent() = %v, %v, want nothing", got, err)
	}
	if err := consents.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestIDsThatNoStoreCouldHoldAreNotAskedFor(t *testing.T) {
	consents := consent.New(fakeEngine(func(context.Context, authz.Caller) (*authz.Consent, error) {
		return nil, errors.New("asked")
	}))
	for _, test := range []struct {
		name  string
		id    authz.ConsentID
		asked bool
	}{
		{"empty", "", false},
		{"256 bytes", authz.ConsentID(strings.Repeat("c", 256)), true},
		{"257 bytes", authz.ConsentID(strings.Repeat("c", 257)), false},
		{"NUL", "a\x00b", false},
		{"invalid UTF-8", "a\xff", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := consents.Consent(t.Context(), naming(test.id))
			if got != nil || (err != nil) != test.asked {
				t.Errorf("Consent() = %v, %v, want the store asked: %t", got, err, test.asked)
			}
		})
	}
}

const query = "select id, 'AUTH' as status, 'acme' as client, subject, null as expires_at from consents where id = :id"

func bankFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bank.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table consents (id text, subject text); insert into consents values ('c1', 'ann'), ('c2', null)"); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpen(t *testing.T) {
	consents, err := consent.Open(consent.Config{Engine: "sqlite", Database: bankFile(t), Query: query}, 1)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	want := &authz.Consent{ID: "c1", Status: "AUTH", Client: "acme", Subject: "ann", OpenEnded: true, Permissions: []string{}, Objects: []authz.Object{}}
	got, err := consents.Consent(t.Context(), naming("c1"))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Consent() error %v (-want +got):\n%s", err, diff)
	}
	if got, err := consents.Consent(t.Context(), naming("c2")); err == nil || got != nil {
		t.Errorf("Consent() without a subject = %v, %v, want an error", got, err)
	}
	if err := consents.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if got, err := consents.Consent(t.Context(), naming("c1")); err == nil {
		t.Errorf("after Close: Consent() = %v, want an error", got)
	}
}

func TestOpenTellsAllProblems(t *testing.T) {
	file, absent := bankFile(t), filepath.Join(t.TempDir(), "absent.db")
	for _, test := range []struct {
		name    string
		cfg     consent.Config
		issuers int
		keys    []string
	}{
		{"nothing", consent.Config{}, 1, []string{"engine", "database", "query"}},
		{"another engine", consent.Config{Engine: "oracle", Database: file, Query: query}, 1, []string{"engine"}},
		{"no query", consent.Config{Engine: "sqlite", Database: file}, 1, []string{"query"}},
		{"a file that is not there", consent.Config{Engine: "sqlite", Database: absent, Query: query}, 1, []string{"database"}},
		{"columns and parameter missing", consent.Config{Engine: "sqlite", Database: file, Query: "select id, subject from consents"}, 1, []string{"query", "query", "query", "query"}},
		{"several issuers, not told apart", consent.Config{Engine: "sqlite", Database: file, Query: query}, 2, []string{"query"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := consent.Open(test.cfg, test.issuers)
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
			if diff := cmp.Diff(test.keys, keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := os.Stat(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat(absent) = %v: Open made the file", err)
	}
}
