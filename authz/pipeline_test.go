package authz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

var testTime = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// fakes are every step of a pipeline that allows, each to be broken by a test.
type fakes struct {
	match       func() (Match, error)
	inspect     func() (Inspection, error)
	certificate func() (*Certificate, error)
	token       func(ctx context.Context) (*Token, error)
	revoked     func() (bool, time.Time)
	consent     func(ctx context.Context, caller Caller) (*Consent, error)
	owned       func(ctx context.Context) (map[Object]Ownership, error)
	input       func() (*Input, error)
	policy      func(ctx context.Context, f *Facts) (Verdict, error)
	spend       func(context.Context, []Limit) (Spending, error)
	pseudonym   func() string
	record      func(context.Context) error
	// target is the request's, where a test changes it.
	target string
	// released ends what heeds nothing else, once a test has seen enough.
	released chan struct{}

	asked []string

	mu        sync.Mutex
	records   []Record
	abandoned []DecisionID
}

// offers are the records that were offered so far.
func (f *fakes) offers() []Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.records)
}

func (f *fakes) Match(*Request, Target) (Match, error) { return f.match() }
func (f *fakes) Inspect(Match, *Request, Target) (Inspection, error) {
	f.asked = append(f.asked, "inspect")
	return f.inspect()
}
func (f *fakes) Read(*Request) (*Certificate, error) { return f.certificate() }
func (f *fakes) Verify(ctx context.Context, _ Match, _ *Request, _ *Certificate, _ time.Time) (*Token, error) {
	return f.token(ctx)
}
func (f *fakes) Revoked(*Token) (bool, time.Time) { return f.revoked() }
func (f *fakes) Consent(ctx context.Context, caller Caller) (*Consent, error) {
	return f.consent(ctx, caller)
}
func (f *fakes) Owned(ctx context.Context, _ Caller, _ []Object) (map[Object]Ownership, error) {
	return f.owned(ctx)
}
func (f *fakes) Decide(ctx context.Context, facts *Facts) (Verdict, error) {
	f.asked = append(f.asked, "policy")
	return f.policy(ctx, facts)
}
func (f *fakes) Spend(ctx context.Context, limits []Limit) (Spending, error) {
	f.asked = append(f.asked, "limits")
	return f.spend(ctx, limits)
}

// limited has the policy allow under n limits.
func (f *fakes) limited(n int) {
	var limits []Limit
	for i := range n {
		limits = append(limits, Limit{Name: fmt.Sprintf("limit_%d", i), Key: "k", Max: 1, Window: time.Duration(i+1) * time.Minute})
	}
	f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{Allowed: true, Limits: limits}, nil }
}

// requires has the operation say whether it must be known now what is revoked.
func (f *fakes) requires(revocations bool) {
	asking := *operation
	asking.RequireRevocations = revocations
	f.match = func() (Match, error) { return Match{API: "bank", Operation: &asking}, nil }
}
func (f *fakes) Input(*Facts) (*Input, error) { return f.input() }
func (f *fakes) Subject(Caller) string        { return f.pseudonym() }
func (f *fakes) Record(ctx context.Context, r Record) error {
	f.mu.Lock()
	f.records = append(f.records, r)
	f.mu.Unlock()
	return f.record(ctx)
}

func (f *fakes) Abandon(r Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = append(f.abandoned, r.Decision.ID)
}

var (
	account   = Object{Type: "account", ID: "22289"}
	operation = &Operation{
		ID: "ReadAccount", API: "bank", Method: "GET", Path: "/accounts/{AccountId}",
		Security: []Requirement{{Scopes: []string{"accounts"}, Kinds: []Kind{Customer}}},
		Consent:  [][]string{{"ReadAccountsBasic"}},
	}
	ann = &Token{Caller: Caller{
		Kind: Customer, Issuer: "https://auth.example", Subject: "ann", Client: "acme",
		Scopes: []string{"accounts"}, Consent: "c-1", Region: "GB",
	}}
)

func allowing() *fakes {
	return &fakes{
		match: func() (Match, error) { return Match{API: "bank", Operation: operation}, nil },
		inspect: func() (Inspection, error) {
			return Inspection{Objects: []Named{{Object: account, Where: "path"}}}, nil
		},
		certificate: func() (*Certificate, error) { return nil, nil },
		token:       func(context.Context) (*Token, error) { return ann, nil },
		revoked:     func() (bool, time.Time) { return false, testTime },
		consent:     func(context.Context, Caller) (*Consent, error) { return &Consent{ID: "c-1"}, nil },
		owned: func(context.Context) (map[Object]Ownership, error) {
			return map[Object]Ownership{account: {Relation: "owner"}}, nil
		},
		input:     func() (*Input, error) { return &Input{Document: []byte("{}")}, nil },
		policy:    func(context.Context, *Facts) (Verdict, error) { return Verdict{Allowed: true}, nil },
		spend:     func(context.Context, []Limit) (Spending, error) { return Spending{OK: true}, nil },
		pseudonym: func() string { return "k1.p" },
		record:    func(context.Context) error { return nil },
		released:  make(chan struct{}),
	}
}

func (f *fakes) pipeline() *Pipeline {
	p := &Pipeline{Consents: f, Owners: f, Limiter: f, Revocations: f, Pseudonyms: f, Recorder: f, Now: func() time.Time { return testTime }}
	p.Load(&Snapshot{Revision: "r1", Bundles: []Bundle{{Name: "rules", Revision: "v1", Signer: "release"}}, Region: "GB", Contracts: f, Certificates: f, Tokens: f, Policy: f, Inputs: f})
	return p
}

func getAccount() *Request {
	return &Request{API: "bank", Method: "GET", Host: "api.example", Target: "/accounts/22289"}
}

func TestCheckAllows(t *testing.T) {
	f := allowing()
	got := f.pipeline().Check(t.Context(), getAccount())
	if !got.Allowed || got.Reason != Granted || got.Revision != "r1" || len(got.Bundles) != 1 || got.Pseudonym != "k1.p" {
		t.Errorf("Check() = %+v, want granted under r1 with a pseudonym", got)
	}
	offers := f.offers()
	if len(offers) != 1 {
		t.Fatalf("%d records, want 1", len(offers))
	}
	facts := offers[0].Facts
	if facts.Consent == nil || len(facts.Owned) != 1 || facts.Time != testTime || facts.Region != (Region{Service: "GB", Caller: "GB"}) {
		t.Errorf("facts = %+v, want consent, ownership, time and region", facts)
	}
}

// TestInputIsKeptWhereThePolicyIsAsked holds that a record has what the policy was
// given, whatever became of the decision then, and that no other record has any.
func TestInputIsKeptWhereThePolicyIsAsked(t *testing.T) {
	tests := []struct {
		name   string
		breaks func(*fakes, *Snapshot)
		want   bool
	}{
		{"an allow", func(*fakes, *Snapshot) {}, true},
		{"a denial", func(f *fakes, _ *Snapshot) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, nil }
		}, true},
		{"a policy that panics", func(f *fakes, _ *Snapshot) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { panic("x") }
		}, true},
		{"a policy that is not reached", func(f *fakes, _ *Snapshot) {
			f.inspect = func() (Inspection, error) { return Inspection{}, ObjectMissing }
		}, false},
		{"an input that cannot be made", func(f *fakes, _ *Snapshot) {
			f.input = func() (*Input, error) { return &Input{}, errBroken }
		}, false},
		{"an input too large", func(f *fakes, _ *Snapshot) { f.input = func() (*Input, error) { return nil, nil } }, false},
		{"nothing is kept", func(_ *fakes, s *Snapshot) { s.Inputs = nil }, false},
		{"nobody has authenticated", func(f *fakes, _ *Snapshot) {
			f.match = func() (Match, error) { return Match{API: "bank", Operation: &Operation{ID: "ReadProducts"}}, nil }
			f.token = func(context.Context) (*Token, error) { return nil, NoCredentials }
		}, false},
	}
	for _, test := range tests {
		f := allowing()
		p := f.pipeline()
		snapshot := *p.snapshot.Load()
		test.breaks(f, &snapshot)
		p.Load(&snapshot)
		p.Check(t.Context(), getAccount())
		if offers := f.offers(); len(offers) != 1 || (offers[0].Facts.Input != nil) != test.want {
			t.Errorf("%s: records %+v, want one, with an input: %v", test.name, offers, test.want)
		}
	}
}

// errBroken is a fault of ours: it wraps no Reason.
var errBroken = errors.New("broken")

// TestFailClosed breaks every step in turn. Whatever breaks, the answer is a
// denial, and the recorder is offered it exactly once.
func TestFailClosed(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name    string
		breaks  func(*fakes)
		request func(*Request)
		timeout bool
		want    Reason
	}{
		{name: "a path of two meanings", request: func(r *Request) { r.Target = "/accounts/;x" }, want: PathNotCanonical},
		{name: "no target at all", request: func(r *Request) { r.Target = "" }, want: PathNotCanonical},
		{name: "match fails", breaks: func(f *fakes) { f.match = func() (Match, error) { return Match{}, errBroken } }, want: Internal},
		{name: "match finds no contract", breaks: func(f *fakes) { f.match = func() (Match, error) { return Match{}, NoContract } }, want: NoContract},
		{name: "match panics", breaks: func(f *fakes) { f.match = func() (Match, error) { panic("x") } }, want: Internal},
		{name: "match finds nothing and says nothing", breaks: func(f *fakes) { f.match = func() (Match, error) { return Match{}, nil } }, want: Internal},
		{name: "certificate fails", breaks: func(f *fakes) {
			f.certificate = func() (*Certificate, error) { return nil, fmt.Errorf("x: %w", CertificateMalformed) }
		}, want: CertificateMalformed},
		{name: "certificate panics", breaks: func(f *fakes) { f.certificate = func() (*Certificate, error) { panic("x") } }, want: Internal},
		{name: "token is refused", breaks: func(f *fakes) {
			f.token = func(context.Context) (*Token, error) { return nil, TokenExpired }
		}, want: TokenExpired},
		{name: "token verifier fails", breaks: func(f *fakes) {
			f.token = func(context.Context) (*Token, error) { return nil, errBroken }
		}, want: Internal},
		{name: "token verifier returns nothing at all", breaks: func(f *fakes) {
			f.token = func(context.Context) (*Token, error) { return nil, nil }
		}, want: CallerKind},
		{name: "token verifier panics", breaks: func(f *fakes) { f.token = func(context.Context) (*Token, error) { panic("x") } }, want: Internal},
		{name: "token is refused as time runs out", timeout: true, breaks: func(f *fakes) {
			f.token = func(ctx context.Context) (*Token, error) { _ = hang(ctx); return nil, TokenExpired }
		}, want: TokenExpired},
		{name: "token verifier hangs", timeout: true, breaks: func(f *fakes) {
			f.token = func(ctx context.Context) (*Token, error) { return nil, hang(ctx) }
		}, want: DeadlineExceeded},
		{name: "token is revoked", breaks: func(f *fakes) { f.revoked = func() (bool, time.Time) { return true, testTime } }, want: TokenRevoked},
		{name: "what is revoked was never known, and must be", breaks: func(f *fakes) {
			f.requires(true)
			f.revoked = func() (bool, time.Time) { return false, time.Time{} }
		}, want: RevocationsUnavailable},
		{name: "telling what is revoked panics", breaks: func(f *fakes) { f.revoked = func() (bool, time.Time) { panic("x") } }, want: Internal},
		{name: "inspection refuses", breaks: func(f *fakes) {
			f.inspect = func() (Inspection, error) { return Inspection{}, BodyMalformed }
		}, want: BodyMalformed},
		{name: "inspection fails", breaks: func(f *fakes) {
			f.inspect = func() (Inspection, error) { return Inspection{}, errBroken }
		}, want: Internal},
		{name: "inspection panics", breaks: func(f *fakes) { f.inspect = func() (Inspection, error) { panic("x") } }, want: Internal},
		{name: "consent store fails", breaks: func(f *fakes) {
			f.consent = func(context.Context, Caller) (*Consent, error) { return nil, errBroken }
		}, want: ConsentUnavailable},
		{name: "consent store panics", breaks: func(f *fakes) { f.consent = func(context.Context, Caller) (*Consent, error) { panic("x") } }, want: ConsentUnavailable},
		{name: "consent store hangs", timeout: true, breaks: func(f *fakes) {
			f.consent = func(ctx context.Context, _ Caller) (*Consent, error) { return nil, hang(ctx) }
		}, want: DeadlineExceeded},
		{name: "consent store hangs and does not look at its context", timeout: true, breaks: func(f *fakes) {
			f.consent = func(context.Context, Caller) (*Consent, error) { <-f.released; return nil, nil }
		}, want: DeadlineExceeded},
		{name: "ownership store fails", breaks: func(f *fakes) {
			f.owned = func(context.Context) (map[Object]Ownership, error) { return nil, errBroken }
		}, want: OwnershipUnavailable},
		{name: "ownership store panics", breaks: func(f *fakes) {
			f.owned = func(context.Context) (map[Object]Ownership, error) { panic("x") }
		}, want: OwnershipUnavailable},
		{name: "ownership store hangs", timeout: true, breaks: func(f *fakes) {
			f.owned = func(ctx context.Context) (map[Object]Ownership, error) { return nil, hang(ctx) }
		}, want: DeadlineExceeded},
		{name: "both stores panic", breaks: func(f *fakes) {
			f.consent = func(context.Context, Caller) (*Consent, error) { panic("x") }
			f.owned = func(context.Context) (map[Object]Ownership, error) { panic("y") }
		}, want: ConsentUnavailable},
		{name: "what the policy is given fails", breaks: func(f *fakes) {
			f.input = func() (*Input, error) { return &Input{}, errBroken }
		}, want: PolicyError},
		{name: "what the policy is given panics", breaks: func(f *fakes) { f.input = func() (*Input, error) { panic("x") } }, want: Internal},
		{name: "policy denies", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{Reason: "not_owner"}, nil }
		}, want: PolicyDenied},
		{name: "policy asks for step-up", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) {
				return Verdict{Reason: "step_up", StepUp: &StepUp{MaxAge: time.Minute}}, nil
			}
		}, want: StepUpRequired},
		{name: "policy says nothing", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, nil }
		}, want: PolicyDenied},
		{name: "policy fails", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, errBroken }
		}, want: PolicyError},
		{name: "policy allows and fails", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{Allowed: true}, errBroken }
		}, want: PolicyError},
		{name: "policy panics", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { panic("x") }
		}, want: Internal},
		{name: "policy hangs", timeout: true, breaks: func(f *fakes) {
			f.policy = func(ctx context.Context, _ *Facts) (Verdict, error) { return Verdict{}, hang(ctx) }
		}, want: DeadlineExceeded},
		{name: "policy allows too late", timeout: true, breaks: func(f *fakes) {
			f.policy = func(ctx context.Context, _ *Facts) (Verdict, error) {
				_ = hang(ctx)
				return Verdict{Allowed: true}, nil
			}
		}, want: DeadlineExceeded},
		{name: "policy allows with a header that cannot be sent", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) {
				return Verdict{Allowed: true, Reply: Reply{Headers: []Header{{"x-a", "b\r\nx-c: d"}}}}, nil
			}
		}, want: PolicyError},
		{name: "policy allows and asks for step-up", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) {
				return Verdict{Allowed: true, StepUp: &StepUp{}}, nil
			}
		}, want: PolicyError},
		{name: "policy allows under what is no limit", breaks: func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) {
				return Verdict{Allowed: true, Limits: []Limit{{Name: "a", Key: "k", Window: time.Minute}}}, nil
			}
		}, want: PolicyError},
		{name: "policy allows under nine limits", breaks: func(f *fakes) { f.limited(9) }, want: PolicyError},
		{name: "a limit is spent", breaks: func(f *fakes) {
			f.limited(2)
			f.spend = func(context.Context, []Limit) (Spending, error) { return Spending{}, nil }
		}, want: LimitReached},
		{name: "limiter fails", breaks: func(f *fakes) {
			f.limited(1)
			f.spend = func(context.Context, []Limit) (Spending, error) { return Spending{OK: true}, errBroken }
		}, want: LimitsUnavailable},
		{name: "limiter panics", breaks: func(f *fakes) {
			f.limited(1)
			f.spend = func(context.Context, []Limit) (Spending, error) { panic("x") }
		}, want: LimitsUnavailable},
		{name: "limiter hangs and does not look at its context", timeout: true, breaks: func(f *fakes) {
			f.limited(1)
			f.spend = func(context.Context, []Limit) (Spending, error) { <-f.released; return Spending{OK: true}, nil }
		}, want: DeadlineExceeded},
		{name: "pseudonyms panic", breaks: func(f *fakes) { f.pseudonym = func() string { panic("x") } }, want: Internal},
		{name: "recorder fails", breaks: func(f *fakes) { f.record = func(context.Context) error { return errBroken } }, want: NotRecorded},
		{name: "recorder does not answer in time", timeout: true, breaks: func(f *fakes) {
			f.record = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, want: NotRecorded},
		{name: "recorder hangs", timeout: true, breaks: func(f *fakes) { f.record = func(context.Context) error { <-f.released; return nil } }, want: NotRecorded},
		{name: "recorder panics", breaks: func(f *fakes) { f.record = func(context.Context) error { panic("x") } }, want: NotRecorded},
	}
	for _, test := range tests {
		bubble(t, test.name, func(t *testing.T) { // where the clock waits for the goroutines
			f := allowing()
			defer close(f.released)
			if test.breaks != nil {
				test.breaks(f)
			}
			request := getAccount()
			if test.request != nil {
				test.request(request)
			}
			ctx := t.Context()
			if test.timeout {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 5*time.Millisecond)
				defer cancel()
			}
			got := f.pipeline().Check(ctx, request)
			if got.Allowed || got.Reason != test.want {
				t.Errorf("Check() = allowed %v, %v (%s); want a denial, %v", got.Allowed, got.Reason, got.Detail, test.want)
			}
			if got.ID == (DecisionID{}) {
				t.Error("the denial has no decision id")
			}
			if offers := f.offers(); len(offers) != 1 {
				t.Errorf("%d offers to the recorder, want 1", len(offers))
			}
		})
	}
}

// TestWhatIsRecordedTooLateIsTakenBack holds that a record which was kept, but told of
// after the caller had been refused, is followed by one that says so, and no other is.
func TestWhatIsRecordedTooLateIsTakenBack(t *testing.T) {
	const deadline = 5 * time.Millisecond
	for _, test := range []struct {
		name      string
		takes     time.Duration
		fails     error
		abandoned bool
	}{
		{name: "in time", takes: time.Millisecond},
		{name: "in the grace that it is given", takes: deadline + recordGrace},
		{name: "kept too late", takes: time.Second, abandoned: true},
		{name: "not kept, and too late", takes: time.Second, fails: errBroken},
	} {
		bubble(t, test.name, func(t *testing.T) {
			f := allowing()
			f.record = func(context.Context) error { time.Sleep(test.takes); return test.fails }
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			got := f.pipeline().Check(ctx, getAccount())
			time.Sleep(test.takes)
			synctest.Wait()
			want := []DecisionID(nil)
			if test.abandoned {
				want = []DecisionID{got.ID}
			}
			if diff := gocmp.Diff(want, f.abandoned); diff != "" || got.Allowed == (test.abandoned || test.fails != nil) {
				t.Errorf("Check() = allowed %v, and taken back (-want +got):\n%s", got.Allowed, diff)
			}
		})
	}
}

// bubble runs a subtest in which time passes only while every goroutine waits.
func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// TestPanicsTellNothingOfTheRequest holds that a panic's value stays out of records.
func TestPanicsTellNothingOfTheRequest(t *testing.T) {
	f := allowing()
	f.policy = func(context.Context, *Facts) (Verdict, error) { panic("secret") }
	if got := f.pipeline().Check(t.Context(), getAccount()); got.Detail != "internal: panic: string" {
		t.Errorf("detail = %q, want the type alone", got.Detail)
	}
	f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{Allowed: true}, []error{}[len(f.asked)] }
	if got := f.pipeline().Check(t.Context(), getAccount()); !strings.Contains(got.Detail, "index out of range") {
		t.Errorf("detail = %q, want the runtime's words", got.Detail)
	}
}

func TestZeroDecisionDenies(t *testing.T) {
	var d Decision
	if d.Allowed || d.Reason != Internal || d.Reason.Status() != 500 || d.Code() != "internal" {
		t.Errorf("zero Decision = %+v, code %s; want an internal denial", d, d.Code())
	}
	if (Verdict{}).Allowed || Caller(Caller{}).Kind != Anonymous {
		t.Error("the zero Verdict allows, or the zero Caller is somebody")
	}
}

func TestNoSnapshotDenies(t *testing.T) {
	f := allowing()
	p := &Pipeline{Consents: f, Owners: f, Pseudonyms: f, Recorder: f}
	if got := p.Check(t.Context(), getAccount()); got.Allowed || got.Reason != PolicyUnavailable || len(f.offers()) != 1 {
		t.Errorf("Check() without a snapshot = %+v with %d records, want one recorded denial", got, len(f.offers()))
	}
}

// TestPrecedence breaks two steps at once: the earlier failure is told.
func TestPrecedence(t *testing.T) {
	refuse := map[string]func(*fakes){
		"certificate": func(f *fakes) { f.certificate = func() (*Certificate, error) { return nil, CertificateMalformed } },
		"token":       func(f *fakes) { f.token = func(context.Context) (*Token, error) { return nil, TokenExpired } },
		"revocation":  func(f *fakes) { f.revoked = func() (bool, time.Time) { return true, testTime } },
		"unknown": func(f *fakes) {
			f.match = func() (Match, error) { return Match{API: "bank"}, UnknownPath }
		},
		"role": func(f *fakes) {
			asking := *operation
			asking.PSD2 = [][]string{{"PSP_AI"}}
			f.match = func() (Match, error) { return Match{API: "bank", Operation: &asking}, nil }
		},
		"scope": func(f *fakes) {
			f.token = func(context.Context) (*Token, error) {
				return &Token{Caller: Caller{Kind: Customer, Subject: "ann"}}, nil
			}
		},
		"inspect": func(f *fakes) { f.inspect = func() (Inspection, error) { return Inspection{}, ObjectMissing } },
		"stores": func(f *fakes) {
			f.owned = func(context.Context) (map[Object]Ownership, error) { return nil, errBroken }
		},
		"policy": func(f *fakes) { f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, nil } },
	}
	refuse["path"] = func(f *fakes) { f.target = "/accounts/;x" }
	tests := []struct {
		broken []string
		want   Reason
	}{
		{[]string{"path", "token"}, PathNotCanonical},
		{[]string{"certificate", "token"}, CertificateMalformed},
		{[]string{"token", "revocation"}, TokenExpired},
		{[]string{"revocation", "unknown"}, TokenRevoked},
		{[]string{"revocation", "role"}, TokenRevoked},
		{[]string{"token", "unknown"}, TokenExpired},
		{[]string{"unknown", "inspect"}, UnknownPath},
		{[]string{"role", "token"}, TokenExpired},
		{[]string{"role", "unknown"}, UnknownPath},
		{[]string{"role", "scope"}, CertificateRequired},
		{[]string{"scope", "inspect"}, InsufficientScope},
		{[]string{"inspect", "stores"}, ObjectMissing},
		{[]string{"stores", "policy"}, OwnershipUnavailable},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.broken, " before "), func(t *testing.T) {
			f := allowing()
			for _, name := range test.broken {
				refuse[name](f)
			}
			request := getAccount()
			request.Target = cmp.Or(f.target, request.Target)
			if got := f.pipeline().Check(t.Context(), request); got.Reason != test.want {
				t.Errorf("Check() = %v, want %v", got.Reason, test.want)
			}
		})
	}
}

func (f *fakes) Proofs(api API, at time.Time) *Proofs {
	return &Proofs{Algorithms: []string{"ES256"}, Nonce: string(api) + at.Format(" 15:04")}
}

// TestDecisionTellsWhatTheAPIAsksOfProofs holds that a challenge can be made of every
// denial for a known API, before its caller is known and for paths that are not.
func TestDecisionTellsWhatTheAPIAsksOfProofs(t *testing.T) {
	for name, test := range map[string]struct {
		breaks func(*fakes)
		proofs string
		next   string
	}{
		"an allow":       {func(*fakes) {}, "bank 09:00", "n-2"},
		"no token":       {func(f *fakes) { f.token = func(context.Context) (*Token, error) { return nil, NoCredentials } }, "bank 09:00", ""},
		"a denial after": {func(f *fakes) { f.inspect = func() (Inspection, error) { return Inspection{}, ObjectMissing } }, "bank 09:00", "n-2"},
		"an unknown path": {func(f *fakes) {
			f.match = func() (Match, error) { return Match{API: "bank"}, UnknownPath }
		}, "bank 09:00", "n-2"},
		"no API": {func(f *fakes) { f.match = func() (Match, error) { return Match{}, NoContract } }, "", ""},
	} {
		f := allowing()
		token := *ann
		token.NextNonce = "n-2"
		f.token = func(context.Context) (*Token, error) { return &token, nil }
		test.breaks(f)
		p := f.pipeline()
		snapshot := *p.snapshot.Load()
		snapshot.Proofs = f
		p.Load(&snapshot)
		got := p.Check(t.Context(), getAccount())
		proofs := ""
		if got.Proofs != nil {
			proofs = got.Proofs.Nonce
		}
		if proofs != test.proofs || got.NextNonce != test.next {
			t.Errorf("%s: the API asks for %q and the nonce is %q, want %q and %q", name, proofs, got.NextNonce, test.proofs, test.next)
		}
	}
}

// TestOneSnapshotPerCheck puts another snapshot in force in the middle of a check,
// which must be decided by the first to its end.
func TestOneSnapshotPerCheck(t *testing.T) {
	f, later := allowing(), allowing()
	p := f.pipeline()
	later.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, nil }
	f.token = func(context.Context) (*Token, error) {
		p.Load(&Snapshot{Revision: "r2", Contracts: later, Certificates: later, Tokens: later, Policy: later})
		return ann, nil
	}
	if got := p.Check(t.Context(), getAccount()); !got.Allowed || got.Revision != "r1" {
		t.Errorf("Check() = allowed %v under %s, want allowed under r1", got.Allowed, got.Revision)
	}
	if got := p.Check(t.Context(), getAccount()); got.Allowed || got.Revision != "r2" {
		t.Errorf("next Check() = allowed %v under %s, want a denial under r2", got.Allowed, got.Revision)
	}
}

// TestNothingIsInspectedBeforeTheCallerIsKnown holds that a request without a good
// token never reaches the contract's inspection or the policy.
func TestNothingIsInspectedBeforeTheCallerIsKnown(t *testing.T) {
	for _, reason := range []Reason{NoCredentials, MalformedCredentials, TokenSignature, KeysUnavailable, CertificateMismatch} {
		f := allowing()
		f.token = func(context.Context) (*Token, error) { return nil, reason }
		if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != reason {
			t.Errorf("Check() = %v, want %v", got.Reason, reason)
		}
		if len(f.asked) != 0 {
			t.Errorf("%v: asked %v, want nothing", reason, f.asked)
		}
	}
}

func TestUnknownPathIsToldOnlyToCallersWithAToken(t *testing.T) {
	f := allowing()
	f.match = func() (Match, error) { return Match{API: "bank", Allowed: []string{"GET"}}, UnknownMethod }
	got := f.pipeline().Check(t.Context(), getAccount())
	if got.Reason != UnknownMethod || !gocmp.Equal(got.Methods, []string{"GET"}) {
		t.Errorf("with a token: %v %v, want %v with its methods", got.Reason, got.Methods, UnknownMethod)
	}
	f.token = func(context.Context) (*Token, error) { return nil, NoCredentials }
	got = f.pipeline().Check(t.Context(), getAccount())
	if got.Reason != NoCredentials || got.Methods != nil {
		t.Errorf("without: %v %v, want %v and no methods", got.Reason, got.Methods, NoCredentials)
	}
}

func TestSecurity(t *testing.T) {
	client := Caller{Kind: Client, Scopes: []string{"accounts"}}
	customer := Caller{Kind: Customer, Scopes: []string{"accounts", "payments"}}
	user := []Kind{Customer, Staff}
	tests := []struct {
		name     string
		security []Requirement
		caller   *Caller
		want     Reason
	}{
		{"public takes anybody", nil, nil, Granted},
		{"public takes a token too", nil, &customer, Granted},
		{"a token is needed", []Requirement{{Scopes: []string{"accounts"}}}, nil, NoCredentials},
		{"optional takes nobody", []Requirement{{Anonymous: true}, {Scopes: []string{"accounts"}}}, nil, Granted},
		{"optional holds a token to its scopes", []Requirement{{Anonymous: true}, {Scopes: []string{"admin"}}}, &customer, InsufficientScope},
		{"optional holds a token to its kind", []Requirement{{Anonymous: true}, {Kinds: user}}, &client, CallerKind},
		{"optional takes a token that meets it", []Requirement{{Anonymous: true}, {Scopes: []string{"payments"}}}, &customer, Granted},
		{"all scopes of a requirement", []Requirement{{Scopes: []string{"accounts", "payments"}}}, &customer, Granted},
		{"one of them is not enough", []Requirement{{Scopes: []string{"accounts", "admin"}}}, &customer, InsufficientScope},
		{"any requirement", []Requirement{{Scopes: []string{"admin"}}, {Scopes: []string{"payments"}}}, &customer, Granted},
		{"a scope's prefix is not the scope", []Requirement{{Scopes: []string{"account"}}}, &customer, InsufficientScope},
		{"a client is no customer", []Requirement{{Scopes: []string{"accounts"}, Kinds: user}}, &client, CallerKind},
		{"a customer is no client", []Requirement{{Scopes: []string{"accounts"}, Kinds: []Kind{Client}}}, &customer, CallerKind},
		{"of the right kind, without the scope", []Requirement{{Kinds: []Kind{Client}}, {Scopes: []string{"admin"}, Kinds: user}}, &customer, InsufficientScope},
		{"no kind at all admits nobody", []Requirement{{Kinds: []Kind{}}}, &customer, CallerKind},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := allowing()
			f.match = func() (Match, error) {
				return Match{API: "bank", Operation: &Operation{ID: "op", Security: test.security}}, nil
			}
			f.token = func(context.Context) (*Token, error) {
				if test.caller == nil {
					return nil, fmt.Errorf("token: %w", NoCredentials)
				}
				return &Token{Caller: *test.caller}, nil
			}
			if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != test.want {
				t.Errorf("Check() = %v, want %v", got.Reason, test.want)
			}
		})
	}
}

// TestNeededScopesAreThoseOfTheCallersKind holds that a customer is not told to get
// what only clients by themselves can have.
func TestNeededScopesAreThoseOfTheCallersKind(t *testing.T) {
	f := allowing()
	f.match = func() (Match, error) {
		return Match{Operation: &Operation{ID: "op", Security: []Requirement{
			{Scopes: []string{"register"}, Kinds: []Kind{Client}}, {Scopes: []string{"payments"}, Kinds: []Kind{Customer}}}}}, nil
	}
	got := f.pipeline().Check(t.Context(), getAccount())
	if got.Reason != InsufficientScope || !gocmp.Equal(got.Scopes, []string{"payments"}) {
		t.Errorf("Check() = %v needing %v, want %v needing payments", got.Reason, got.Scopes, InsufficientScope)
	}
}

// TestBadTokenOnPublicOperation holds that credentials which were sent are never
// forgiven, even where none are needed.
func TestBadTokenOnPublicOperation(t *testing.T) {
	f := allowing()
	f.match = func() (Match, error) { return Match{Operation: &Operation{ID: "op"}}, nil }
	for _, reason := range []Reason{TokenExpired, UnsupportedScheme, RepeatedCredentials} {
		f.token = func(context.Context) (*Token, error) { return nil, reason }
		if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != reason {
			t.Errorf("Check() = %v, want %v", got.Reason, reason)
		}
	}
}

// TestLookups holds that stores are asked only when the operation calls for them
// and there is somebody to ask about.
func TestLookups(t *testing.T) {
	tests := []struct {
		name    string
		kind    Kind
		consent ConsentID
		op      Operation
		objects []Named
		want    string
	}{
		{"both", Customer, "c", Operation{Consent: [][]string{{"A"}}}, []Named{{Object: account}}, "consent owned"},
		{"no consent is called for", Customer, "c", Operation{}, []Named{{Object: account}}, "owned"},
		{"the token names no consent", Customer, "", Operation{Consent: [][]string{{"A"}}}, nil, ""},
		{"no objects", Customer, "c", Operation{Consent: [][]string{{"A"}}}, nil, "consent"},
		{"a client by itself owns nothing", Client, "", Operation{}, []Named{{Object: account}}, ""},
		{"staff own nothing", Staff, "", Operation{}, []Named{{Object: account}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var consent, owned bool
			f := allowing()
			caller := Caller{Kind: test.kind, Issuer: "https://auth.example", Subject: "x", Consent: test.consent}
			f.consent = func(_ context.Context, of Caller) (*Consent, error) {
				if consent = true; !gocmp.Equal(caller, of) {
					t.Errorf("asked for the consent of %v, want %v", of, caller)
				}
				return nil, nil
			}
			f.owned = func(context.Context) (map[Object]Ownership, error) { owned = true; return nil, nil }
			f.match = func() (Match, error) { return Match{Operation: &test.op}, nil }
			f.inspect = func() (Inspection, error) { return Inspection{Objects: test.objects}, nil }
			f.token = func(context.Context) (*Token, error) {
				return &Token{Caller: caller}, nil
			}
			f.pipeline().Check(t.Context(), getAccount())
			got := strings.TrimSpace(map[bool]string{true: "consent "}[consent] + map[bool]string{true: "owned"}[owned])
			if got != test.want {
				t.Errorf("asked %q, want %q", got, test.want)
			}
		})
	}
}

func TestDistinctObjectsAreAskedOnce(t *testing.T) {
	other := Object{Type: "card", ID: "22289"}
	got := distinct([]Named{{Object: account, Where: "path"}, {Object: account, Where: "query"}, {Object: other}})
	if diff := gocmp.Diff([]Object{account, other}, got); diff != "" {
		t.Errorf("distinct() (-want +got):\n%s", diff)
	}
}

// TestReplayIsRecordedWithWhoseItWas holds that a replay is refused like any other bad
// token, and that the record alone has the caller.
func TestReplayIsRecordedWithWhoseItWas(t *testing.T) {
	f := allowing()
	f.token = func(context.Context) (*Token, error) {
		return nil, fmt.Errorf("wrapped: %w", &Replayed{Caller: ann.Caller, Err: fmt.Errorf("proof: %w", ProofReplayed)})
	}
	got := f.pipeline().Check(t.Context(), getAccount())
	if got.Allowed || got.Reason != ProofReplayed || got.Caller.Subject != "ann" || got.Pseudonym == "" || len(f.asked) > 0 {
		t.Errorf("Check() = allowed %t, %v of %+v after %v, want a replay of ann's, and nothing asked", got.Allowed, got.Reason, got.Caller, f.asked)
	}
	if records := f.offers(); len(records) != 1 || records[0].Facts.Token != nil || records[0].Decision.Caller.Client != "acme" {
		t.Errorf("recorded is %+v, want one of acme's, and no token", records)
	}
}
