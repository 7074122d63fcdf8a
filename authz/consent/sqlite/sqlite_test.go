package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/consent/sqlite"
	store "github.com/countersign-io/countersign/authz/sqlite"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const issuer = "https://auth.example"

// c1 is whose token, the issuer's, names the consent c1.
var c1 = of(issuer, "c1")

func of(issuer string, id authz.ConsentID) authz.Caller {
	return authz.Caller{Kind: authz.Customer, Issuer: issuer, Subject: "ann", Client: "acme", Consent: id}
}

// oneFile makes a file by statements.
func oneFile(t *testing.T, statements string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "one.db")
	execute(t, file, statements)
	return file
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

func TestNewRefuses(t *testing.T) {
	file := oneFile(t, consentTable)
	database, err := store.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	const all = "select id, status, client, subject, permissions, objects, expires_at from consents"
	for _, test := range []struct{ name, query, what string }{
		{"no query", "", "is missing"},
		{"nothing but a semicolon", " ;\n", "is missing"},
		{"what is no SQL", "which consent", "is not one SELECT"},
		{"a statement that writes", "delete from consents where id = :id returning *", "is not one SELECT"},
		{"no id", strings.Replace(consentQuery, "id,", "", 1), "returns no column id"},
		{"no status", strings.Replace(consentQuery, "status,", "", 1), "returns no column status"},
		{"no client", strings.Replace(consentQuery, "client,", "", 1), "returns no column client"},
		{"no subject", strings.Replace(consentQuery, "subject,", "", 1), "returns no column subject"},
		{"no expiry", strings.Replace(consentQuery, ", expires_at", "", 1), "returns no column expires_at"},
		{"a column twice", strings.Replace(consentQuery, "id,", "id, status,", 1), "returns a column"},
		{"a column of another name", strings.Replace(consentQuery, "id,", "id, 1 as scope,", 1), `returns a column "scope"`},
		{"the id is not used", all, "does not use :id"},
		{"the id in a comment", all + " -- :id", "does not use :id"},
		{"another parameter", consentQuery + " and subject = :subject", "cannot be asked"},
		{"a parameter without a name", all + " where id = ?", "question mark"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := sqlite.New(database, test.query, 1)
			wantProblem(t, err, "query", test.what)
		})
	}
	open(t, file, "with c as (select * from consents)\nselect ID, Status, client, subject, expires_at from c where id = :id -- one\n;\n")
}

func TestRows(t *testing.T) {
	whole := authz.Consent{ID: "c1", Status: "AUTH", Client: "acme", Subject: "secret", OpenEnded: true}
	with := func(change func(*authz.Consent)) *authz.Consent {
		record := whole
		change(&record)
		return &record
	}
	until := func(at time.Time) *authz.Consent {
		return with(func(c *authz.Consent) { c.OpenEnded, c.ExpiresAt = false, at })
	}
	for _, test := range []struct {
		name, columns string // what takes the place of the whole record's columns
		want          *authz.Consent
		fault         string
	}{
		{"whole", "", &whole, ""},
		{"permissions", `'["a","b"]' as permissions`, with(func(c *authz.Consent) { c.Permissions = []string{"a", "b"} }), ""},
		{"permissions that are NULL", "null as permissions", &whole, ""},
		{"permissions that are an object", `'{"secret":1}' as permissions`, nil, "permissions"},
		{"permissions that are numbers", "'[1]' as permissions", nil, "permissions"},
		{"permissions with a NULL", `'["a",null]' as permissions`, nil, "permissions"},
		{"permissions in lists", `'[["a"]]' as permissions`, nil, "permissions"},
		{"permissions that are no JSON", "'secret' as permissions", nil, "permissions"},
		{"permissions with more behind", `'["a"] []' as permissions`, nil, "permissions"},
		{"permissions that are empty text", "'' as permissions", nil, "permissions"},
		{"permissions in a blob", `cast('["a"]' as blob) as permissions`, nil, "permissions"},
		{"permissions without end", `'["' || hex(zeroblob(600000)) || '"]' as permissions`, nil, "permissions"},
		{"objects", `'[{"type":"account","id":"1"},{"id":"2","type":"card"}]' as objects`,
			with(func(c *authz.Consent) {
				c.Objects = []authz.Object{{Type: "account", ID: "1"}, {Type: "card", ID: "2"}}
			}), ""},
		{"objects that are NULL", "null as objects", &whole, ""},
		{"objects in text", `'["account:1"]' as objects`, nil, "objects"},
		{"objects without id", `'[{"type":"account"}]' as objects`, nil, "objects"},
		{"objects with a number for an id", `'[{"type":"account","id":1}]' as objects`, nil, "objects"},
		{"objects with something else", `'[{"type":"account","id":"1","except":"2"}]' as objects`, nil, "objects"},
		{"objects with two ids", `'[{"type":"account","id":"1","id":"2"}]' as objects`, nil, "objects"},
		{"objects by keys of another case", `'[{"Type":"account","ID":"1"}]' as objects`, nil, "objects"},
		{"objects with depth", `'[{"type":"account","id":["1"]}]' as objects`, nil, "objects"},
		{"expiry in text", "'2026-11-21T10:00:00Z' as expires_at", until(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)), ""},
		{"expiry in another zone", "'2026-11-21T10:00:00.5+02:00' as expires_at", until(time.Date(2026, 11, 21, 8, 0, 0, 5e8, time.UTC)), ""},
		{"expiry in seconds", "1795255200 as expires_at", until(time.Unix(1795255200, 0).UTC()), ""},
		{"expiry in a column of dates", "dated as expires_at", until(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)), ""},
		{"expiry without a zone", "undated as expires_at", nil, "expires_at"},
		{"expiry that is a date", "'2026-11-21' as expires_at", nil, "expires_at"},
		{"expiry that is empty", "'' as expires_at", nil, "expires_at"},
		{"expiry in text of seconds", "'1795255200' as expires_at", nil, "expires_at"},
		{"expiry in milliseconds", "1795255200000 as expires_at", nil, "expires_at"},
		{"expiry that is zero", "0 as expires_at", nil, "expires_at"},
		{"expiry before 1970", "-1 as expires_at", nil, "expires_at"},
		{"expiry in days", "2461366.5 as expires_at", nil, "expires_at"},
		{"expiry in a blob", "x'00' as expires_at", nil, "expires_at"},
		{"integers for names", "7 as client, 8 as subject", with(func(c *authz.Consent) { c.Client, c.Subject = "7", "8" }), ""},
		{"an id that is NULL", "null as id", nil, "not text"},
		{"a status that is NULL", "null as status", nil, "not text"},
		{"a status that is a number", "1 as status", nil, "not text"},
		{"a client that is NULL", "null as client", nil, "not text"},
		{"a subject that is NULL", "null as subject", nil, "not text"},
		{"a subject that is a fraction", "1.5 as subject", nil, "not text"},
		{"a function that fails on a value", "json_extract('{}', :id || 'secret') as status", nil, "result code 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := oneFile(t, `create table consents (id text, dated datetime, undated datetime);
				insert into consents values ('c1', '2026-11-21T10:00:00Z', '2026-11-21 10:00:00')`)
			got, err := open(t, file, "select "+instead(test.columns)+" from consents where consents.id = :id").Consent(t.Context(), c1)
			if test.fault == "" {
				if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
					t.Errorf("Consent() error %v (-want +got):\n%s", err, diff)
				}
				return
			}
			wantFault(t, got, err, test.fault)
		})
	}
}

// instead is the columns of a whole record but for those given.
func instead(given string) string {
	list := []string{given}
	for _, column := range []string{"id", "'AUTH' as status", "'acme' as client", "'secret' as subject", "null as expires_at"} {
		_, name, renamed := strings.Cut(column, " as ")
		if !renamed {
			name = column
		}
		if !strings.Contains(given+",", "as "+name+",") {
			list = append(list, column)
		}
	}
	return strings.TrimPrefix(strings.Join(list, ", "), ", ")
}

func wantFault(t *testing.T, got *authz.Consent, err error, text string) {
	t.Helper()
	if err == nil || got != nil {
		t.Fatalf("Consent() finds a record: %t, %v, want an error", got != nil, err)
	}
	if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c1") {
		t.Errorf("Consent() = %q, want %q in it and no value", err, text)
	}
}

func TestSeveralIssuers(t *testing.T) {
	file := oneFile(t, consentTable+`; insert into consents values
		('https://auth.example', 'c1', 'AUTH', 'acme', 'ann', null, null, null),
		('https://other.example', 'c1', 'CANC', 'acme', 'ann', null, null, null)`)
	database, err := store.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	for _, query := range []string{
		strings.Replace(consentQuery, " and issuer = :issuer", "", 1),
		strings.Replace(consentQuery, " and issuer = :issuer", " -- :issuer", 1),
		strings.Replace(consentQuery, ":issuer", "':issuer'", 1),
	} {
		_, err := sqlite.New(database, query, 2)
		wantProblem(t, err, "query", "does not use :issuer")
	}
	engine, err := sqlite.New(database, consentQuery, 2)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	for iss, status := range map[string]string{issuer: "AUTH", "https://other.example": "CANC"} {
		if got, err := engine.Consent(t.Context(), of(iss, "c1")); err != nil || got == nil || got.Status != status {
			t.Errorf("of %s: Consent() = %v, %v, want status %s", iss, got, err, status)
		}
	}
}

func TestOneIssuerNeedNotBeCompared(t *testing.T) {
	file := oneFile(t, "create table consents (id text); insert into consents values ('c1')")
	if got, err := open(t, file, "select "+instead("")+" from consents where id = :id").Consent(t.Context(), c1); err != nil || got == nil {
		t.Errorf("Consent() = %v, %v, want the record", got, err)
	}
}

func TestAnUnknownIssuerEqualsNothing(t *testing.T) {
	file := oneFile(t, consentTable+`; insert into consents values
		('', 'c1', 'AUTH', 'acme', 'ann', null, null, null), (null, 'c1', 'AUTH', 'acme', 'ann', null, null, null)`)
	if got, err := open(t, file, consentQuery).Consent(t.Context(), of("", "c1")); err != nil || got != nil {
		t.Errorf("Consent() = %v, %v, want nothing", got, err)
	}
}

func TestTwoRowsAreAnError(t *testing.T) {
	file := oneFile(t, "create table consents (id text); insert into consents values ('c1'), ('c1'), ('c2')")
	engine := open(t, file, "select "+instead("")+" from consents where id = :id")
	got, err := engine.Consent(t.Context(), c1)
	wantFault(t, got, err, "more than one row")
	if got, err := engine.Consent(t.Context(), of(issuer, "c2")); err != nil || got == nil {
		t.Errorf("Consent() = %v, %v, want the one row", got, err)
	}
}

func TestARowThatFailsBehindAGoodOne(t *testing.T) {
	file := oneFile(t, "create table consents (id text, state text); insert into consents values ('c1', '1'), ('c1', 'no JSON')")
	engine := open(t, file, "select "+strings.Replace(instead(""), "'AUTH'", "json(state)", 1)+" from consents where id = :id")
	got, err := engine.Consent(t.Context(), c1)
	wantFault(t, got, err, "result code 1")
}

func TestConsentEndsWithItsTime(t *testing.T) {
	file := oneFile(t, "create table consents (id text primary key); insert into consents values ('c1')")
	engine := open(t, file, "with recursive n(i) as (select 1 union all select i + 1 from n) select "+instead("")+" from consents join n where id = :id")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got, err := engine.Consent(ctx, c1)
	if !errors.Is(err, context.DeadlineExceeded) || got != nil {
		t.Errorf("Consent() finds a record: %t, %v, want context.DeadlineExceeded", got != nil, err)
	}
}

func TestARevocationIsSeenAtOnce(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run("journal mode "+mode, func(t *testing.T) {
			file := oneFile(t, "pragma journal_mode = "+mode+"; "+consentTable+"; insert into consents values ('https://auth.example', 'c1', 'AUTH', 'acme', 'ann', null, null, null)")
			engine := open(t, file, consentQuery)
			for _, status := range []string{"AUTH", "CANC"} {
				execute(t, file, "update consents set status = '"+status+"'")
				if got, err := engine.Consent(t.Context(), c1); err != nil || got.Status != status {
					t.Errorf("Consent() = %v, %v, want status %s", got, err, status)
				}
			}
			execute(t, file, "delete from consents")
			if got, err := engine.Consent(t.Context(), c1); err != nil || got != nil {
				t.Errorf("Consent() = %v, %v, want nothing", got, err)
			}
		})
	}
}

func FuzzConsent(f *testing.F) {
	file := filepath.Join(f.TempDir(), "fuzz.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	if _, err := db.Exec(consentTable + "; insert into consents values ('https://auth.example', 'c1', 'AUTH', 'acme', 'ann', null, null, null)"); err != nil {
		f.Fatal(err)
	}
	database, err := store.Open(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { database.Close() })
	engine, err := sqlite.New(database, consentQuery, 1)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"c1", "C1", "c1 ", "c1\x00", "\xff", "", "' or 1=1 --", ":id"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, err := engine.Consent(t.Context(), of(issuer, authz.ConsentID(id)))
		if err != nil {
			t.Fatalf("Consent() = %v: a request made the store fail", err)
		}
		if (got != nil) != (id == "c1") {
			t.Errorf("Consent() finds a record: %t, want %t", got != nil, id == "c1")
		}
	})
}
