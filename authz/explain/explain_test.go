package explain

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// fakeSteps are all steps: of a request that is allowed, but for what a test changes.
type fakeSteps struct {
	match       authz.Match
	certificate *authz.Certificate
	token       *authz.Token
	inspection  authz.Inspection
	consent     *authz.Consent
	owned       map[authz.Object]authz.Ownership
	verdict     authz.Verdict

	// faults are errors by step, and panics those that panic.
	faults map[step]error
	panics map[step]bool
	// hangs answer only when the check's time is over, which they end.
	hangs  map[step]bool
	cancel context.CancelFunc
	said   Said
	// revoked says that the token is, and unread that what is revoked is not known.
	revoked, unread bool
}

func (f *fakeSteps) fault(ctx context.Context, s step) error {
	if f.panics[s] {
		panic("zz-panic")
	}
	if f.hangs[s] {
		f.cancel()
		<-ctx.Done()
	}
	return f.faults[s]
}

func (f *fakeSteps) Match(*authz.Request, authz.Target) (authz.Match, error) {
	return f.match, f.fault(context.Background(), matching)
}

func (f *fakeSteps) Inspect(authz.Match, *authz.Request, authz.Target) (authz.Inspection, error) {
	return f.inspection, f.fault(context.Background(), inspecting)
}

func (f *fakeSteps) Read(*authz.Request) (*authz.Certificate, error) {
	return f.certificate, f.fault(context.Background(), reading)
}

func (f *fakeSteps) Verify(ctx context.Context, _ authz.Match, _ *authz.Request, _ *authz.Certificate, _ time.Time) (*authz.Token, error) {
	if err := f.fault(ctx, verifying); err != nil {
		return nil, err
	}
	return f.token, nil
}

func (f *fakeSteps) Revoked(*authz.Token) (bool, time.Time) {
	_ = f.fault(context.Background(), revoking)
	if f.unread {
		return f.revoked, time.Time{}
	}
	return f.revoked, testTime
}

func (f *fakeSteps) Consent(ctx context.Context, _ authz.Caller) (*authz.Consent, error) {
	return f.consent, f.fault(ctx, consenting)
}

func (f *fakeSteps) Owned(ctx context.Context, _ authz.Caller, _ []authz.Object) (map[authz.Object]authz.Ownership, error) {
	return f.owned, f.fault(ctx, owning)
}

func (f *fakeSteps) Decide(ctx context.Context, _ *authz.Facts) (authz.Verdict, error) {
	return f.verdict, f.fault(ctx, deciding)
}

var (
	testTime = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	account  = authz.Object{Type: "account", ID: "22289"}
)

// elsewhere is where no request here comes from.
var elsewhere = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}

func newFakes() *fakeSteps {
	operation := &authz.Operation{ID: "ReadAccount", API: "bank", Method: "GET", Path: "/accounts/{AccountId}",
		Security: []authz.Requirement{{Scopes: []string{"accounts"}, Kinds: []authz.Kind{authz.Customer}}},
		Consent:  [][]string{{"ReadAccounts"}}, Regions: []string{"GB"}}
	caller := authz.Caller{Kind: authz.Customer, Issuer: "https://auth.example", Subject: "ann", Client: "acme",
		Scopes: []string{"accounts"}, Consent: "c-1", Region: "GB"}
	return &fakeSteps{
		match:      authz.Match{API: "bank", Operation: operation, Parameters: map[string]string{"AccountId": "22289"}},
		token:      &authz.Token{Caller: caller, Issuer: caller.Issuer, ExpiresAt: testTime.Add(time.Minute)},
		inspection: authz.Inspection{Objects: []authz.Named{{Object: account, Where: "path"}}},
		consent:    &authz.Consent{ID: "c-1", Status: "AUTH", Client: "acme", Subject: "ann", OpenEnded: true},
		owned:      map[authz.Object]authz.Ownership{account: {Relation: "owner"}},
		verdict:    authz.Verdict{Allowed: true},
	}
}

// explained is what is told of a request for one of the fake's accounts, and what the
// same steps answer without being kept.
func explained(t *testing.T, f *fakeSteps, target string, headers ...authz.Header) (kept *Explanation, plain authz.Decision) {
	t.Helper()
	snapshot := &authz.Snapshot{Revision: "r", Region: "GB", Contracts: f, Certificates: f, Tokens: f, Policy: f}
	request := &authz.Request{API: "bank", Method: "GET", Host: "api.example", Target: target, Headers: headers}
	now := func() time.Time { return testTime }
	checker := New(snapshot, Stores{Consents: f, Owners: f, Revocations: f, Said: f.said}, now)
	decision := checker.Check(ended(t, f), request)
	e, err := checker.Explain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e.Decision.ID != decision.ID {
		t.Errorf("explains the decision %s, want %s", e.Decision.ID, decision.ID)
	}
	pipeline := &authz.Pipeline{Consents: f, Owners: f, Revocations: f, Now: now, Pseudonyms: fakeRecords{}, Recorder: fakeRecords{}}
	pipeline.Load(snapshot)
	return e, pipeline.Check(ended(t, f), request)
}

// ended is what a step that hangs ends.
func ended(t *testing.T, f *fakeSteps) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	f.cancel = cancel
	return ctx
}

type fakeRecords struct{}

func (fakeRecords) Subject(authz.Caller) string                { return "" }
func (fakeRecords) Record(context.Context, authz.Record) error { return nil }
func (fakeRecords) Abandon(authz.Record)                       {}

// outcomesOf are the outcomes in the order of steps, a letter each.
func outcomesOf(e *Explanation) string {
	letters := map[Outcome]string{NotReached: "-", NotAsked: "n", Passed: "p", Failed: "f", Refused: "R"}
	var text strings.Builder
	for _, step := range e.Steps {
		text.WriteString(letters[step.Outcome])
	}
	return text.String()
}

// TestOutcomes lets each step refuse, panic or hang, and holds what is told of every
// step: path, operation, certificate, token, revocation, scopes, objects, consent, ownership,
// region, policy. What is kept is decided as what is not.
func TestOutcomes(t *testing.T) {
	faults := func(s step, err error) func(*fakeSteps) {
		return func(f *fakeSteps) { f.faults = map[step]error{s: err} }
	}
	panics := func(s step) func(*fakeSteps) {
		return func(f *fakeSteps) { f.panics = map[step]bool{s: true} }
	}
	hangs := func(s step) func(*fakeSteps) {
		return func(f *fakeSteps) {
			f.hangs, f.faults = map[step]bool{s: true}, map[step]error{s: context.DeadlineExceeded}
		}
	}
	public := func(f *fakeSteps) {
		f.match.Operation = &authz.Operation{ID: "ReadStatus"}
		f.inspection = authz.Inspection{}
		f.faults = map[step]error{verifying: authz.NoCredentials}
	}
	down := errors.New("zz-down")
	tests := []struct {
		name   string
		target string
		change func(*fakeSteps)
		want   string
		reason authz.Reason
	}{
		{"an allowed request", "/a", func(*fakeSteps) {}, "ppppppppppp", authz.Granted},
		{"a public operation", "/a", public, "ppppnppnnpp", authz.Granted},
		{"staff own nothing", "/a", func(f *fakeSteps) {
			f.token.Caller.Kind, f.match.Operation.Security[0].Kinds = authz.Staff, nil
		}, "ppppppppnpp", authz.Granted},
		{"a token that names no consent", "/a", func(f *fakeSteps) { f.token.Caller.Consent = "" }, "pppppppnppp", authz.Granted},
		{"a path with two meanings", "/a/../b", func(*fakeSteps) {}, "R----------", authz.PathNotCanonical},
		{"no contract", "/a", faults(matching, authz.NoContract), "pR---------", authz.NoContract},
		{"matching panics", "/a", panics(matching), "pR---------", authz.Internal},
		{"an unreadable certificate", "/a", faults(reading, authz.CertificateMalformed), "ppR--------", authz.CertificateMalformed},
		{"reading panics", "/a", panics(reading), "ppR--------", authz.Internal},
		{"no certificate where one is asked for", "/a", func(f *fakeSteps) { f.match.Operation.PSD2 = [][]string{{"PSP_AI"}} }, "ppRpp------", authz.CertificateRequired},
		{"a certificate without the role", "/a", func(f *fakeSteps) {
			f.match.Operation.PSD2, f.certificate = [][]string{{"PSP_AI"}}, &authz.Certificate{}
		}, "ppRpp------", authz.CertificateRole},
		{"an expired token", "/a", faults(verifying, authz.TokenExpired), "pppR-------", authz.TokenExpired},
		{"no token", "/a", faults(verifying, authz.NoCredentials), "pppR-------", authz.NoCredentials},
		{"a bad token on a public operation", "/a", func(f *fakeSteps) {
			public(f)
			f.faults[verifying] = authz.TokenExpired
		}, "pppR-------", authz.TokenExpired},
		{"verifying panics", "/a", panics(verifying), "pppR-------", authz.Internal},
		{"verifying hangs", "/a", hangs(verifying), "pppR-------", authz.DeadlineExceeded},
		{"a client from elsewhere", "/a", func(f *fakeSteps) { f.token.Addresses = elsewhere }, "pppR-------", authz.ClientAddress},
		{"a client from elsewhere on an unknown path", "/a", func(f *fakeSteps) {
			f.match.Operation, f.token.Addresses = nil, elsewhere
			f.faults = map[step]error{matching: authz.UnknownPath}
		}, "pfpR-------", authz.ClientAddress},
		{"an unknown path with a good token", "/a", faults(matching, authz.UnknownPath), "pRppp------", authz.UnknownPath},
		{"an unknown path without a token", "/a", func(f *fakeSteps) {
			f.match.Operation = nil
			f.faults = map[step]error{matching: authz.UnknownPath, verifying: authz.NoCredentials}
		}, "pfpR-------", authz.NoCredentials},
		{"a revoked token", "/a", func(f *fakeSteps) { f.revoked = true }, "ppppR------", authz.TokenRevoked},
		{"a revoked token and an unknown path", "/a", func(f *fakeSteps) {
			f.revoked, f.faults = true, map[step]error{matching: authz.UnknownPath}
		}, "pfppR------", authz.TokenRevoked},
		{"revocations that are not known", "/a", func(f *fakeSteps) {
			f.match.Operation.RequireRevocations, f.unread = true, true
		}, "ppppR------", authz.RevocationsUnavailable},
		{"telling what is revoked panics", "/a", panics(revoking), "ppppR------", authz.Internal},
		{"a scope that lacks", "/a", func(f *fakeSteps) { f.token.Caller.Scopes = nil }, "pppppR-----", authz.InsufficientScope},
		{"another kind of caller", "/a", func(f *fakeSteps) { f.token.Caller.Kind = authz.Client }, "pppppR-----", authz.CallerKind},
		{"details that are not authorized", "/a", func(f *fakeSteps) {
			f.match.Operation.Details = []authz.DetailRule{{Type: "payment"}}
		}, "pppppR-----", authz.AuthorizationDetails},
		{"an object that is missing", "/a", faults(inspecting, authz.ObjectMissing), "ppppppR----", authz.ObjectMissing},
		{"inspecting panics", "/a", panics(inspecting), "ppppppR----", authz.Internal},
		{"the store of consents is down", "/a", faults(consenting, down), "pppppppR---", authz.ConsentUnavailable},
		{"the store of consents panics", "/a", panics(consenting), "pppppppR---", authz.ConsentUnavailable},
		{"the store of consents hangs", "/a", hangs(consenting), "pppppppR---", authz.DeadlineExceeded},
		{"the store of owners is down", "/a", faults(owning, down), "ppppppppR--", authz.OwnershipUnavailable},
		{"the store of owners hangs", "/a", func(f *fakeSteps) {
			hangs(owning)(f)
			f.match.Operation.Consent = nil // looked up beside it, it could be cut short first
		}, "pppppppnR--", authz.DeadlineExceeded},
		{"both stores are down", "/a", func(f *fakeSteps) {
			f.faults = map[step]error{consenting: down, owning: down}
		}, "pppppppR---", authz.ConsentUnavailable},
		{"the policy denies", "/a", func(f *fakeSteps) { f.verdict = authz.Verdict{Reason: "closed"} }, "ppppppppppR", authz.PolicyDenied},
		{"the policy steps up", "/a", func(f *fakeSteps) { f.verdict = authz.Verdict{StepUp: &authz.StepUp{}} }, "ppppppppppR", authz.StepUpRequired},
		{"the policy cannot decide", "/a", faults(deciding, down), "ppppppppppR", authz.PolicyError},
		{"the policy panics", "/a", panics(deciding), "ppppppppppR", authz.Internal},
		{"the policy answers what cannot be sent", "/a", func(f *fakeSteps) {
			f.verdict = authz.Verdict{Allowed: true, Reply: authz.Reply{Headers: []authz.Header{{Name: "host", Value: "a"}}}}
		}, "ppppppppppR", authz.PolicyError},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakes()
			test.change(f)
			e, plain := explained(t, f, test.target)
			if got := outcomesOf(e); got != test.want || e.Decision.Reason != test.reason {
				t.Errorf("outcomes are %s for %v, want %s for %v", got, e.Decision.Reason, test.want, test.reason)
			}
			if plain.Allowed != e.Decision.Allowed || plain.Reason != e.Decision.Reason {
				t.Errorf("decides %v %v, want %v %v as without it", e.Decision.Allowed, e.Decision.Reason, plain.Allowed, plain.Reason)
			}
			if refused := e.Refusing() != ""; refused == plain.Allowed {
				t.Errorf("refused by %q, and allowed is %v", e.Refusing(), plain.Allowed)
			}
		})
	}
}

// TestUnreadRevocationsEndNothing holds that who may not read what is revoked, as serve
// can, is still told what becomes of the rest.
func TestUnreadRevocationsEndNothing(t *testing.T) {
	f := newFakes()
	f.unread = true
	e, plain := explained(t, f, "/a")
	if got := outcomesOf(e); got != "ppppppppppp" || e.Decision.Reason != authz.Granted {
		t.Errorf("outcomes are %s for %v, want all passed", got, e.Decision.Reason)
	}
	if plain.Reason != authz.RevocationsUnavailable {
		t.Errorf("without it: %v, want %v", plain.Reason, authz.RevocationsUnavailable)
	}
}

// said are the values of one fact of one step, or nil.
func said(e *Explanation, step, name string) []string {
	for _, s := range e.Steps {
		for _, f := range s.Facts {
			if s.Name == step && f.Name == name {
				return f.Values
			}
		}
	}
	return nil
}

// TestWords holds what is told where stores, contract and policy have more to say than
// in the transcripts of the command.
func TestWords(t *testing.T) {
	tests := []struct {
		name       string
		change     func(*fakeSteps)
		step, fact string
		want       []string
	}{
		{"a store's error", func(f *fakeSteps) { f.faults = map[step]error{owning: errors.New("sqlite: result code 14")} },
			"ownership", "detail", []string{"ownership_unavailable: sqlite: result code 14"}},
		{"an object that is not the caller's", func(f *fakeSteps) { f.owned = nil }, "ownership", "account", []string{"22289", "not the caller's"}},
		{"a token that is not revoked", func(*fakeSteps) {}, "revocation", "known", []string{"as of now"}},
		{"revocations that could not be read", func(f *fakeSteps) { f.unread = true }, "revocation", "known", []string{"nothing: what is revoked could not be read"}},
		{"a consent that is not there", func(f *fakeSteps) { f.consent = nil }, "consent", "id", []string{"c-1", "there is no such consent of this issuer"}},
		{"a consent without end", func(*fakeSteps) {}, "consent", "expires", []string{"never"}},
		{"known methods", func(f *fakeSteps) {
			f.match = authz.Match{API: "bank", Allowed: []string{"GET", "PUT"}}
			f.faults = map[step]error{matching: authz.UnknownMethod}
		}, "operation", "known methods", []string{"GET", "PUT"}},
		{"alternatives of scopes", func(f *fakeSteps) {
			f.match.Operation.Security = append(f.match.Operation.Security, authz.Requirement{Anonymous: true}, authz.Requirement{Scopes: []string{"a", "b"}})
		}, "scopes", "needs", []string{"a token with accounts of a customer; or no token; or a token with a and b"}},
		{"what was waived", func(f *fakeSteps) { f.verdict.Waived = []string{"not_owner:account"} }, "policy", "waived", []string{"not_owner:account"}},
		{"a policy's detail", func(f *fakeSteps) { f.verdict = authz.Verdict{Reason: "closed", Detail: "on Sundays"} }, "policy", "detail", []string{"on Sundays"}},
		{"a panic without its text", func(f *fakeSteps) { f.panics = map[step]bool{verifying: true} }, "token", "detail", []string{"internal: panic: string"}},
		{"a limit of the contract", func(f *fakeSteps) {
			f.match.Operation.Limits = []authz.LimitRule{{Per: authz.PerClient, Max: 100, Window: time.Minute}}
		}, "operation", "limit", []string{"100 in 1m0s per client"}},
		{"a limit of the policy", func(f *fakeSteps) {
			f.verdict.Limits = []authz.Limit{{Name: "payments", Key: "zz-ann", Max: 3, Window: time.Hour}}
		}, "policy", "limit", []string{"payments: 3 in 1h0m0s"}},
		{"that limits are not counted", func(f *fakeSteps) {
			f.match.Operation.Limits = []authz.LimitRule{{Per: authz.PerClient, Max: 1, Window: time.Minute}}
		}, "policy", "limits", []string{"not counted here: serve refuses where one is spent"}},
		{"no limits", func(*fakeSteps) {}, "policy", "limits", nil},
		{"what a token authorizes", func(f *fakeSteps) {
			f.token.Details = []authz.Detail{{Type: "payment", Actions: []string{"initiate", "status"}, Locations: []string{"urn:rs"}, Identifier: "p-1"}}
		}, "token", "authorizes", []string{"payment", "initiate and status", "p-1", "at urn:rs"}},
		{"what must be authorized", func(f *fakeSteps) {
			f.match.Operation.Details = []authz.DetailRule{{Type: "payment", DataTypes: []string{"single"}}}
		}, "scopes", "needs in detail", []string{"payment", "single"}},
		{"where it is served", func(*fakeSteps) {}, "region", "served in", []string{"GB"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakes()
			test.change(f)
			e, _ := explained(t, f, "/accounts/22289")
			if diff := cmp.Diff(test.want, said(e, test.step, test.fact)); diff != "" {
				t.Errorf("%s of %s (-want +got):\n%s\n%v", test.fact, test.step, diff, e.Steps)
			}
		})
	}
}

// TestCredentialsAreHidden repeats each credential in a policy's detail.
func TestCredentialsAreHidden(t *testing.T) {
	tests := []struct {
		name   string
		header authz.Header
		secret string
	}{
		{"a token", authz.Header{Name: "authorization", Value: "Bearer aaaaaaaaaaaa.bbbbbbbbbbbb.cccccccccccc"}, "aaaaaaaaaaaa.bbbbbbbbbbbb.cccccccccccc"},
		{"a token's payload", authz.Header{Name: "authorization", Value: "Bearer aaaaaaaaaaaa.bbbbbbbbbbbb.cccccccccccc"}, "bbbbbbbbbbbb"},
		{"a token's signature in hexadecimal", authz.Header{Name: "authorization", Value: "Bearer aaaaaaaaaaaa.bbbbbbbbbbbb.cccccccccccc"}, "71c71c71c71c71c71c"},
		{"two tokens that Envoy joined", authz.Header{Name: "authorization", Value: "Bearer aaaaaaaaaaaa,Bearer dddddddddddd"}, "dddddddddddd"},
		{"a password", authz.Header{Name: "authorization", Value: "Basic YW5uOnNlY3JldDE="}, "YW5uOnNlY3JldDE"},
		{"a proof", authz.Header{Name: "dpop", Value: "eeeeeeeeeeee.ffffffffffff.gggggggggggg"}, "eeeeeeeeeeee"},
		{"a cookie", authz.Header{Name: "cookie", Value: `theme=dark; sid="hhhhhhhhhhhh"`}, "hhhhhhhhhhhh"},
		{"a proxy's credential", authz.Header{Name: "proxy-authorization", Value: "Bearer iiiiiiiiiiii"}, "iiiiiiiiiiii"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakes()
			f.verdict = authz.Verdict{Reason: "closed", Detail: "found " + test.secret + " here"}
			e, _ := explained(t, f, "/a", test.header)
			if got := said(e, "policy", "detail"); !slices.Equal(got, []string{"found [credential] here"}) {
				t.Errorf("detail is %q, want it without the credential", got)
			}
			if got := e.Hide(test.secret); strings.Contains(got, test.secret) {
				t.Errorf("Hide(%q) = %q", test.secret, got)
			}
		})
	}
}

// TestCertificateIsTold tells what the contract asks of a certificate, and what it says.
func TestCertificateIsTold(t *testing.T) {
	identity := &authz.Identity{Subject: "CN=Acme", NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour),
		PSD2: &authz.PSD2{Roles: []string{"PSP_PI", "PSP_AS"}, Authority: "GB-FCA", ID: "PSDGB-FCA-123456"}}
	f := newFakes()
	f.match.Operation.PSD2, f.certificate = [][]string{{"PSP_AI", "PSP_IC"}}, &authz.Certificate{Identity: identity}
	e, _ := explained(t, f, "/a")
	for name, want := range map[string][]string{
		"reason": {"certificate_role"}, "needs": {"PSP_AI or PSP_IC"}, "subject": {"CN=Acme"},
		"psd2 roles": {"PSP_PI", "PSP_AS"}, "psd2 by": {"GB-FCA"}, "psd2 id": {"PSDGB-FCA-123456"},
		"valid until": {"2026-11-21T11:00:00Z", "1h0m0s after the request"}, "valid from": nil,
	} {
		if diff := cmp.Diff(want, said(e, "certificate", name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	identity.NotBefore, identity.PSD2, identity.Doubt = testTime.Add(time.Second), nil, "two statements"
	e, _ = explained(t, f, "/a")
	for name, want := range map[string][]string{
		"reason": {"certificate_expired"}, "doubt": {"two statements"}, "valid from": {"2026-11-21T10:00:01Z", "1s after the request"},
	} {
		if diff := cmp.Diff(want, said(e, "certificate", name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestCredentialsDoNotHideReasons lets a client try to take the words out of what is
// told about it.
func TestCredentialsDoNotHideReasons(t *testing.T) {
	e, _ := explained(t, newFakes(), "/a/../b", authz.Header{Name: "cookie", Value: "path_not_canonical"})
	if got := said(e, "path", "reason"); !slices.Equal(got, []string{"path_not_canonical"}) {
		t.Errorf("reason is %q, want path_not_canonical", got)
	}
}

// TestUnverifiedClaims tells what a refused token says of itself, as far as it is fit to
// be shown.
func TestUnverifiedClaims(t *testing.T) {
	f := newFakes()
	f.faults = map[step]error{verifying: authz.TokenExpired}
	f.said = func(*authz.Request) (header, claims map[string]any) {
		return map[string]any{"typ": "at+jwt"}, map[string]any{
			"iss": strings.Repeat("a", maxClaim+1), "aud": []any{"a", "b"}, "exp": json.Number("1795255200"), "nbf": "soon",
			"cnf": map[string]any{"x5t#S256": "thumb", "jkt": "key"}, "sub": 7}
	}
	e, _ := explained(t, f, "/a")
	for name, want := range map[string][]string{
		"typ": {"at+jwt"}, "aud": {"a", "b"}, "exp": {"2026-11-21T10:00:00Z", "0s after the request"}, "x5t#S256": {"thumb"}, "jkt": {"key"},
		"nbf": nil, "iss": nil, "sub": nil,
	} {
		if diff := cmp.Diff(want, said(e, "token", "unverified "+name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want := []Fact{{"exp", []string{"2026-11-21T10:00:00Z", "0s after the request"}}}
	if e.Check == nil || !cmp.Equal(want, e.Check.Saw) || e.Check.Step != "token" || e.Check.Looked != "the token in the Authorization header" {
		t.Errorf("the check is told as %+v, want what it saw of the token: %v", e.Check, want)
	}
	f.said = nil
	if e, _ = explained(t, f, "/a"); said(e, "token", "unverified typ") != nil {
		t.Error("a token is read that nobody reads")
	}
}

// TestEveryOtherReasonHasItsCheck holds that a refusal of ours is told with what was
// looked at, what is expected and what there is to do, but for a token's checks.
func TestEveryOtherReasonHasItsCheck(t *testing.T) {
	for reason, check := range native {
		if check.Section == "" || check.Looked == "" || check.Expects == "" || check.Change == "" {
			t.Errorf("%v: %+v", reason, check)
		}
		if check.Step != "" && !slices.Contains(names[:], check.Step) {
			t.Errorf("%v is of %q, which is no step", reason, check.Step)
		}
	}
}

// TestWhatRefusedSaw holds the values that a refusal of ours is about.
func TestWhatRefusedSaw(t *testing.T) {
	tests := []struct {
		name   string
		target string
		change func(*fakeSteps)
		step   string
		want   []Fact
	}{
		{"a path", "/a//b?access_token=zz", func(*fakeSteps) {}, "path", []Fact{{"path", []string{"/a//b"}}}},
		{"a method", "/a", func(f *fakeSteps) {
			f.match = authz.Match{API: "bank", Allowed: []string{"PUT"}}
			f.faults = map[step]error{matching: authz.UnknownMethod}
		}, "operation", []Fact{{"api", []string{"bank"}}, {"request", []string{"GET /a"}}, {"known methods", []string{"PUT"}}}},
		{"a certificate's roles", "/a", func(f *fakeSteps) {
			f.match.Operation.PSD2 = [][]string{{"PSP_AI"}}
			f.certificate = &authz.Certificate{Identity: &authz.Identity{NotAfter: testTime.Add(time.Hour), PSD2: &authz.PSD2{Roles: []string{"PSP_PI"}}}}
		}, "certificate", []Fact{{"needs", []string{"PSP_AI"}}, {"valid until", []string{"2026-11-21T11:00:00Z", "1h0m0s after the request"}}, {"psd2 roles", []string{"PSP_PI"}}}},
		{"scopes", "/a", func(f *fakeSteps) { f.token.Caller.Scopes = []string{"payments"} },
			"scopes", []Fact{{"needs", []string{"a token with accounts of a customer"}}, {"caller", []string{"customer"}}, {"scopes", []string{"payments"}}}},
		{"a client's address", "/a", func(f *fakeSteps) { f.token.Addresses = elsewhere }, "token", []Fact{{"expected", []string{"192.0.2.0/24"}}}},
		{"an audience", "/a", func(f *fakeSteps) {
			f.match.Operation.Audiences = []string{"https://api.example"}
			f.faults = map[step]error{verifying: authz.TokenAudience}
		}, "token", []Fact{{"expected", []string{"https://api.example"}}}},
		{"a body", "/a", func(f *fakeSteps) { f.faults = map[step]error{inspecting: authz.ContentType} }, "objects", []Fact{{"content-type", []string{"text/plain"}}}},
		{"what the policy refuses", "/a", func(f *fakeSteps) { f.verdict = authz.Verdict{Reason: "closed"} }, "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakes()
			test.change(f)
			e, _ := explained(t, f, test.target, authz.Header{Name: "content-type", Value: "text/plain"})
			got := Check{}
			if e.Check != nil {
				got = *e.Check
			}
			if diff := cmp.Diff(test.want, got.Saw); diff != "" || got.Step != test.step {
				t.Errorf("step %q saw (-want +got):\n%s", got.Step, diff)
			}
		})
	}
}

// TestRunsOfCredentialsAreHidden holds that no run of a credential stays, however it was cut.
func TestRunsOfCredentialsAreHidden(t *testing.T) {
	token := encode(`{"alg":"ES256"}`) + "." + encode(`{"sub":"ann"}`) + "." + encode("not really a signature")
	basic := base64.StdEncoding.EncodeToString([]byte("alice:secret"))
	c := credentialsOf(&authz.Request{Target: "/a?access_token=0123456789abcdef", Headers: authz.Headers{
		{Name: "authorization", Value: "Bearer " + token}, {Name: "proxy-authorization", Value: "Basic " + basic}, {Name: "cookie", Value: "sid=session-of-ann-0001"},
	}})
	for text, want := range map[string]string{
		"token " + token:                                                        "token " + mark,
		"its first part " + token[:20] + "…":                                    "its first part " + mark + "…",
		"from the middle: " + token[5:30] + ",":                                 "from the middle: " + mark + ",",
		"its signature " + hex.EncodeToString([]byte("not really a signature")): "its signature " + mark,
		"in the query: 0123456789abcdef":                                        "in the query: " + mark,
		"sid is session-of-ann-0001":                                            "sid is " + mark,
		basic:                                                                   mark,
		"alice:secret":                                                          mark,
		"secret":                                                                mark,
		"the secret of alice":                                                   "the " + mark + " of alice",
		"what is no credential, é":                                              "what is no credential, é",
	} {
		if got := c.hide(text); got != want {
			t.Errorf("hide(%q) = %q, want %q", text, got, want)
		}
	}
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// What is explained under limits is explained as the first of its kind.
func TestLimitsAreTakenForUnspent(t *testing.T) {
	f := newFakes()
	f.verdict.Limits = []authz.Limit{{Name: "a", Key: "a", Max: 1, Window: time.Minute}}
	checker := New(&authz.Snapshot{Contracts: f, Certificates: f, Tokens: f, Policy: f}, Stores{Consents: f, Owners: f, Revocations: f}, nil)
	got := checker.Check(t.Context(), &authz.Request{API: "bank", Method: "GET", Target: "/a"})
	if !got.Allowed || !got.Spending.OK || len(got.Spending.Left) != 1 || got.Spending.Left[0].Remaining != 0 {
		t.Errorf("Check() = allowed %t, %v with %+v, want granted, with the one call spent", got.Allowed, got.Reason, got.Spending)
	}
}

func TestSecondCheckIsRefused(t *testing.T) {
	f := newFakes()
	checker := New(&authz.Snapshot{Contracts: f, Certificates: f, Tokens: f, Policy: f}, Stores{Consents: f, Owners: f, Revocations: f}, nil)
	for _, want := range []authz.Reason{authz.Granted, authz.NotRecorded} {
		if got := checker.Check(t.Context(), &authz.Request{API: "bank", Method: "GET", Target: "/a"}); got.Reason != want {
			t.Errorf("Check() = %v: %s, want %v", got.Reason, got.Detail, want)
		}
	}
}

func TestUnfinishedCheckIsAnError(t *testing.T) {
	f := newFakes()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(&authz.Snapshot{Contracts: f, Certificates: f, Tokens: f, Policy: f}, Stores{}, nil).Explain(over); err == nil {
		t.Error("Explain() before the check has no error")
	}
}
