package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

var testKey = &key{id: "k1", secret: []byte("0123456789abcdef0123456789abcdef")}

// fullRecord has every field set. What must never be written down is marked "zz".
func fullRecord() authz.Record {
	caller := authz.Caller{
		Kind: authz.Customer, Issuer: "https://issuer.example", Subject: "zz-subject", Client: "acme",
		Tenant: "retail", Roles: []string{"viewer"}, Scopes: []string{"accounts", "AIS:zz-consent"},
		Actor: "zz-actor", Region: "GB", Consent: "zz-consent",
	}
	operation := &authz.Operation{ID: "GetAccount", API: "accounts", Method: "GET", Path: "/accounts/{AccountId}"}
	mine := authz.Object{Type: "account", ID: "zz-account"}
	other := authz.Object{Type: "account", ID: "zz-other"}
	facts := &authz.Facts{
		Time: time.Date(2026, 11, 20, 10, 0, 0, 123, time.FixedZone("CET", 3600)),
		Request: &authz.Request{
			Method: "GET", Host: "zz-host", Target: "/accounts/zz-path?q=zz-query", Address: "zz-address",
			Headers: authz.Headers{{Name: "x", Value: "zz-header"}}, Body: []byte("zz-body"), Principal: "zz-principal",
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		Target: authz.Target{Path: "/accounts/zz-path", RawQuery: "q=zz-query"},
		Match:  authz.Match{API: "accounts", Operation: operation, Parameters: map[string]string{"StatementId": "zz-parameter"}},
		Certificate: &authz.Certificate{Thumbprint: [32]byte{1, 2, 3}, Identity: &authz.Identity{
			Subject: "CN=zz-name", NotAfter: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
			PSD2: &authz.PSD2{Roles: []string{"PSP_AI", "PSP_PI"}, Authority: "GB-FCA", ID: "PSDGB-FCA-123456"},
		}},
		Token: &authz.Token{Caller: caller, Claims: map[string]any{"email": "zz-claim"}, Bindings: []authz.Binding{authz.MTLS}, Uncounted: true},
		Inspection: authz.Inspection{Objects: []authz.Named{
			{Object: mine, Where: "path"}, {Object: other, Where: "body/Data/DebtorAccount"},
			{Object: authz.Object{Type: "account", ID: authz.Unread}, Where: "query"},
		}, Observed: []error{authz.ObjectMalformed}},
		Owned:   map[authz.Object]authz.Ownership{mine: {Relation: "joint", Region: "GB"}},
		Consent: &authz.Consent{ID: "zz-consent", Status: "Authorised", Subject: "zz-subject", Objects: []authz.Object{other}},
		Region:  authz.Region{Service: "GB", Caller: "GB"},

		Unspent: true,
		Lifted:  []string{"region", "consent:zz-consent"},
	}
	decision := &authz.Decision{
		ID:     authz.DecisionID{0x12, 0x34},
		Reason: authz.PolicyDenied,
		Detail: "zz-actor for zz-subject asks GET /accounts/zz-path for account/zz-other at zz-address",
		Verdict: authz.Verdict{
			Reason: "not_owner", Refusals: []string{"not_owner", "consent:zz-consent"}, Waived: []string{"not_owner:account/zz-account"},
			BreakGlass: []string{"INC-4711"},
		},
		Operation: operation, Caller: caller, Pseudonym: "ignored", Revision: "sha256:abc", Elapsed: 1500 * time.Microsecond,
		InteractionID: "c770aef3-6784-41f7-8e0e-ff5f97bddb3a",
		Bundles:       []authz.Bundle{{Name: "limits"}, {Name: "rules", Revision: "v7", Signer: "release"}},
	}
	return authz.Record{Decision: decision, Facts: facts}
}

const fullLine = `{"allowed":false,"api":"accounts","binding":["mtls"],"breakGlass":["INC-4711"],"bundles":[{"name":"limits"},{"name":"rules","revision":"v7","signer":"release"}],` +
	`"caller":{"actorPseudonym":"@actor","client":"acme","consentPseudonym":"@consent","issuer":"https://issuer.example",` +
	`"kind":"customer","roles":["viewer"],"scopes":["accounts","AIS:@consent"],"subjectPseudonym":"@subject","tenant":"retail"},` +
	`"certificateThumbprint":"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","consent":{"idPseudonym":"@consent","status":"Authorised"},` +
	`"detail":"@actor for @subject asks GET [path] for account/@other at [address]","elapsedUs":1500,` +
	`"id":"12340000-0000-0000-0000-000000000000","interactionId":"c770aef3-6784-41f7-8e0e-ff5f97bddb3a","method":"GET",` +
	`"objects":[{"idPseudonym":"@account","owned":true,"region":"GB","relation":"joint","type":"account","where":"path"},` +
	`{"idPseudonym":"@other","owned":false,"type":"account","where":"body/Data/DebtorAccount"},{"owned":false,"type":"account","where":"query"}],` +
	`"observed":["object_malformed","region","consent:@consent"],` +
	`"operation":"GetAccount","path":"/accounts/{AccountId}","policyReason":"not_owner",` +
	`"psd2":{"authority":"GB-FCA","id":"PSDGB-FCA-123456","roles":["PSP_AI","PSP_PI"]},"pseudonymKeyId":"k1","reason":"policy_denied",` +
	`"refusals":["not_owner","consent:@consent"],"region":{"caller":"GB","service":"GB"},"revision":"sha256:abc","status":403,` +
	`"time":"2026-11-20T09:00:00.000000123Z","traceId":"0af7651916cd43dd8448eb211c80319c","unchecked":["replays_unavailable","limits_unavailable"],"waived":["not_owner:account/@account"]}`

// Pseudonyms of fullRecord, computed with another implementation of HMAC-SHA256: a
// change of them cuts all records of a key off from those before.
var fullPseudonyms = strings.NewReplacer(
	"@subject", "k1.FvzQnmw_0Ks6TjC8WR7-1Q",
	"@actor", "k1.q8j_XbO74jh3veuP-HMTUw",
	"@consent", "k1.om0HOA3Dj1wKzgaZCp1kuA",
	"@account", "k1.2WBE86EcIGKgz1NOKbk8qQ",
	"@other", "k1.HtJiBEgMdXOVSas0lJo9aQ",
)

func lineOf(t *testing.T, record authz.Record) string {
	t.Helper()
	line, err := canonical(describe(record, testKey))
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestFullRecordHasExactlyTheseBytes(t *testing.T) {
	want := fullPseudonyms.Replace(fullLine)
	if diff := cmp.Diff(want, lineOf(t, fullRecord())); diff != "" {
		t.Errorf("line of the full record (-want +got):\n%s", diff)
	}
}

// Of a replay it is known whose token it was, and nothing of who sent it.
func TestReplayIsOfWhomItWasTakenFrom(t *testing.T) {
	record := anonymousDenial()
	record.Decision.Reason = authz.ProofReplayed
	record.Decision.Caller = authz.Caller{Kind: authz.Customer, Issuer: "https://issuer.example", Subject: "zz-subject", Client: "acme"}
	got := describe(record, testKey)
	if got.GetCaller().GetSubjectPseudonym() != "k1.FvzQnmw_0Ks6TjC8WR7-1Q" || got.GetCaller().GetClient() != "acme" || len(got.GetBinding()) > 0 {
		t.Errorf("describe() = %v, want the subject's pseudonym, and no binding", got)
	}
}

// The record of a limit that is spent names it, and not whose it is; one of an allow
// names none, though it was the last.
func TestRecordNamesTheLimitsThatRefused(t *testing.T) {
	record := fullRecord()
	record.Decision.Spending.Left = []authz.Allowance{
		{Limit: authz.Limit{Name: "client_60", Key: "zz-key"}}, {Limit: authz.Limit{Name: "payments", Key: "zz-key"}, Remaining: 1},
	}
	for ok, want := range map[bool]string{false: `,"limitsReached":["client_60"],`, true: ""} {
		record.Decision.Spending.OK = ok
		line := lineOf(t, record)
		if strings.Contains(line, "limitsReached") != (want != "") || !strings.Contains(line, want) || strings.Contains(line, "zz") {
			t.Errorf("with spending that is OK %t the line is %s, want %q in it", ok, line, want)
		}
	}
}

func TestSmallestRecordSaysThatItDenies(t *testing.T) {
	record := authz.Record{Decision: &authz.Decision{}, Facts: &authz.Facts{Request: &authz.Request{}}}
	want := `{"allowed":false,"id":"00000000-0000-0000-0000-000000000000","method":"_OTHER","pseudonymKeyId":"k1",` +
		`"reason":"internal","status":500,"time":"0001-01-01T00:00:00.000000000Z"}`
	if diff := cmp.Diff(want, lineOf(t, record)); diff != "" {
		t.Errorf("line of the zero record (-want +got):\n%s", diff)
	}
}

// Every way in which the full record can be cut down by an earlier refusal keeps
// people out of it too.
func TestNoRecordHoldsPersonalData(t *testing.T) {
	cuts := map[string]func(*authz.Record){
		"nothing":      func(*authz.Record) {},
		"no token":     func(r *authz.Record) { r.Facts.Token, r.Decision.Caller = nil, authz.Caller{} },
		"no operation": func(r *authz.Record) { r.Facts.Match, r.Decision.Operation = authz.Match{}, nil },
		"no objects":   func(r *authz.Record) { r.Facts.Inspection = authz.Inspection{} },
		"no consent":   func(r *authz.Record) { r.Facts.Consent = nil },
		"no owners":    func(r *authz.Record) { r.Facts.Owned = nil },
		"the method": func(r *authz.Record) {
			r.Facts.Request.Method = "zz-subject"
		},
		"the trace id": func(r *authz.Record) {
			r.Facts.Request.Traceparent = "00-zz-subject zz-subject zz-subject-b7ad6b7169203331-01"
		},
		"a policy that writes down all it knows": func(r *authz.Record) {
			known := []string{
				"zz-subject", "zz-actor", "zz-consent", "zz-account", "zz-other", "zz-parameter", "zz-address",
				"/accounts/zz-path", "/accounts/zz-path?q=zz-query",
			}
			r.Decision.Detail = strings.Join(known, ", ")
			for _, value := range known {
				r.Decision.Verdict.Refusals = append(r.Decision.Verdict.Refusals, "because of:"+value)
				r.Facts.Lifted = append(r.Facts.Lifted, "because of:"+value)
				r.Decision.Verdict.Waived = append(r.Decision.Verdict.Waived, fmt.Sprintf(`{"not_owner": %q}`, value))
			}
		},
	}
	for name, cutDown := range cuts {
		t.Run(name, func(t *testing.T) {
			record := fullRecord()
			if name != "nothing" {
				// What was refused early has no text that names what was found later.
				record.Decision.Detail = ""
				record.Decision.Verdict.Refusals, record.Decision.Verdict.Waived, record.Facts.Lifted = nil, nil, nil
			}
			cutDown(&record)
			line := lineOf(t, record)
			if strings.Contains(line, "zz") {
				t.Errorf("the line holds a marked value: %s", line)
			}
		})
	}
}

// TestNobodyTakesATicketOut holds that a request which names a ticket does not hide it.
func TestNobodyTakesATicketOut(t *testing.T) {
	record := fullRecord()
	for i, name := range []string{"4711", "INC-4711"} {
		record.Facts.Inspection.Objects[i].ID = authz.ObjectID(name)
	}
	if line := lineOf(t, record); !strings.Contains(line, `"breakGlass":["INC-4711"]`) {
		t.Errorf("the line lacks the ticket: %s", line)
	}
}

func TestElapsedNeverWraps(t *testing.T) {
	for elapsed, want := range map[time.Duration]uint32{
		-time.Second: 0, 0: 0, 1999: 1, time.Second: 1_000_000, math.MaxInt64: math.MaxUint32,
	} {
		if got := microseconds(elapsed); got != want {
			t.Errorf("microseconds(%d) = %d, want %d", elapsed, got, want)
		}
	}
}

func TestDetailIsCutAtTheEndOfACharacter(t *testing.T) {
	if got, want := cut("aé", 2), "a…"; got != want {
		t.Errorf("cut = %q, want %q", got, want)
	}
	if got, want := cut("aé", 3), "aé"; got != want {
		t.Errorf("cut = %q, want %q", got, want)
	}
}

func TestRefusalBeforeTheContractNamesTheOperatorsAPI(t *testing.T) {
	record := authz.Record{
		Decision: &authz.Decision{Reason: authz.PathNotCanonical},
		Facts:    &authz.Facts{Request: &authz.Request{API: "payments", Method: "PUT"}},
	}
	got := describe(record, testKey)
	if got.GetApi() != "payments" || got.GetMethod() != "PUT" || got.GetStatus() != 400 || got.GetCaller() != nil {
		t.Errorf("describe = %v", got)
	}
}

// What a caller can choose never breaks a line in two, and never makes a record
// that others cannot read.
func FuzzRecordIsOneReadableLine(f *testing.F) {
	f.Add("22289", "ann", "GET", "not_owner: account/22289")
	f.Add("a\nb", "\xff\xfe", "\"", "\u2028{}\x00\x7f")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, id, subject, method, detail string) {
		record := fullRecord()
		record.Facts.Inspection.Objects[0].ID = authz.ObjectID(id)
		record.Decision.Caller.Subject = authz.Subject(subject)
		record.Facts.Request.Method, record.Decision.Detail = method, detail
		line, err := canonical(describe(record, testKey))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(line, "\n\r") || !json.Valid(line) {
			t.Errorf("line = %q", line)
		}
	})
}

var errDisk = errors.New("no space left on device")

func anonymousDenial() authz.Record {
	return authz.Record{
		Decision: &authz.Decision{Reason: authz.NoCredentials},
		Facts:    &authz.Facts{Request: &authz.Request{Method: "GET"}},
	}
}

func keep(log *Log, record authz.Record) error { return log.Record(context.Background(), record) }
