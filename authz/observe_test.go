package authz

import (
	"context"
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// observing has the operation observe checks.
func (f *fakes) observing(codes ...string) {
	observing := *operation
	observing.Observe = codes
	f.match = func() (Match, error) { return Match{API: "bank", Operation: &observing}, nil }
}

func denying(v Verdict) func(context.Context, *Facts) (Verdict, error) {
	return func(context.Context, *Facts) (Verdict, error) { return v, nil }
}

// TestObserved holds that a denial allows only where all that refuses is observed, and
// that the caller is never told of what is.
func TestObserved(t *testing.T) {
	stepUp := &StepUp{ACRValues: []string{"sca"}}
	tests := []struct {
		name     string
		observe  []string
		verdict  Verdict
		allowed  bool
		code     string
		observed []string
	}{
		{"nothing is observed", nil, Verdict{Reason: "region", Refusals: []string{"region"}}, false, "region", nil},
		{"the only refusal", []string{"region"}, Verdict{Reason: "region", Refusals: []string{"region"}}, true, "granted", []string{"region"}},
		{"one of an object", []string{"not_owner"}, Verdict{Reason: "not_owner", Refusals: []string{"not_owner:account"}}, true, "granted", []string{"not_owner:account"}},
		{"all refusals", []string{"consent", "region"}, Verdict{Reason: "consent", Refusals: []string{"consent", "region"}}, true, "granted", []string{"consent", "region"}},
		{"all checks", []string{"all"}, Verdict{Reason: "consent", Refusals: []string{"consent", "a_code_of_the_site"}}, true, "granted", []string{"consent", "a_code_of_the_site"}},
		{"another refusal", []string{"consent"}, Verdict{Reason: "region", Refusals: []string{"region"}}, false, "region", nil},
		{"a code that begins alike", []string{"consent"}, Verdict{Reason: "consent_status", Refusals: []string{"consent_status"}}, false, "consent_status", nil},
		{"one of two, the other told", []string{"region"}, Verdict{Reason: "consent", Refusals: []string{"region", "consent"}}, false, "consent", []string{"region"}},
		{"one of two, and it would have been told", []string{"region"}, Verdict{Reason: "region", Refusals: []string{"region", "not_owner:account"}}, false, "not_owner", []string{"region"}},
		{"a step-up beside what is enforced", []string{"step_up"}, Verdict{Reason: "step_up", StepUp: stepUp, Refusals: []string{"not_owner", "step_up"},
			Reply: Reply{Body: "authenticate", Status: 401}}, false, "not_owner", []string{"step_up"}},
		{"a step-up behind what is told", []string{"step_up"}, Verdict{Reason: "not_owner", StepUp: stepUp, Refusals: []string{"not_owner", "step_up"}}, false, "not_owner", []string{"step_up"}},
		{"a denial that names nothing", []string{"region", "consent"}, Verdict{}, false, "policy_denied", nil},
		{"a denial that names nothing, and all is", []string{"all"}, Verdict{}, true, "granted", []string{"policy_denied"}},
		{"that nothing grants, and all is", []string{"all"}, Verdict{Reason: "region", Refusals: []string{"region", "nothing_grants"}}, false, "nothing_grants", []string{"region"}},
		{"administration, and all is", []string{"all"}, Verdict{Reason: "admin", Refusals: []string{"admin", "permission"}}, false, "admin", []string{"permission"}},
		{"administration by its name", []string{"admin"}, Verdict{Reason: "admin", Refusals: []string{"admin"}}, false, "admin", nil},
		{"an allow", []string{"all"}, Verdict{Allowed: true}, true, "granted", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := allowing()
			f.observing(test.observe...)
			f.policy = denying(test.verdict)
			got := f.pipeline().Check(t.Context(), getAccount())
			if got.Allowed != test.allowed || got.Code() != test.code {
				t.Errorf("Check() = allowed %t, %s; want %t, %s", got.Allowed, got.Code(), test.allowed, test.code)
			}
			if diff := gocmp.Diff(test.observed, got.Observed); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(test.observed, f.offers()[0].Facts.Observed()); diff != "" {
				t.Errorf("observed in the record (-want +got):\n%s", diff)
			}
			if got.Verdict.StepUp != nil || got.Verdict.Reply.Body != "" || got.Verdict.Reply.Status != 0 {
				t.Errorf("the answer is of what is observed: %+v", got.Verdict)
			}
		})
	}
}

// TestWhatIsAnsweredOfAnObservedDenial holds that the upstream gets nothing of a denial, that
// what limits its allows limits this one, and that glass which was broken is told of.
func TestWhatIsAnsweredOfAnObservedDenial(t *testing.T) {
	f := allowing()
	f.limited(1)
	limits := []Limit{{Name: "policy_1", Key: "policy:k", Max: 1, Window: 60e9}}
	f.policy = denying(Verdict{Reason: "region", Refusals: []string{"region"}, Detail: "for the record", Waived: []string{"consent", "break_glass"}, BreakGlass: []string{"INC-1"}, Limits: limits,
		Reply: Reply{Headers: []Header{{"x-why", "region"}}, Status: 403, Body: "no", Metadata: map[string]any{"a": 1}}})
	limited := *operation
	limited.Observe, limited.Limits = []string{"region"}, []LimitRule{{Per: PerClient, Max: 5, Window: 60e9}}
	f.match = func() (Match, error) { return Match{API: "bank", Operation: &limited}, nil }
	var spent []string
	f.spend = func(_ context.Context, limits []Limit) (Spending, error) {
		for _, limit := range limits {
			spent = append(spent, limit.Name)
		}
		return Spending{OK: true}, nil
	}
	got := f.pipeline().Check(t.Context(), getAccount())
	want := Verdict{Allowed: true, Detail: "for the record", Waived: []string{"consent", "break_glass"}, BreakGlass: []string{"INC-1"}, Limits: limits}
	if diff := gocmp.Diff(want, got.Verdict); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"policy_1", "client_60"}, spent); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	f.spend = func(context.Context, []Limit) (Spending, error) { return Spending{}, nil }
	if got := f.pipeline().Check(t.Context(), getAccount()); got.Reason != LimitReached {
		t.Errorf("Check() with a limit reached = %v, want %v", got.Reason, LimitReached)
	}
}

// TestOnlyInspectionAndPolicyAreObserved breaks each step where all is observed.
func TestOnlyInspectionAndPolicyAreObserved(t *testing.T) {
	for name, test := range map[string]struct {
		broken func(*fakes)
		want   Reason
	}{
		"the token is bad": {func(f *fakes) { f.token = func(context.Context) (*Token, error) { return nil, TokenExpired } }, TokenExpired},
		"the scope is lacking": {func(f *fakes) {
			f.token = func(context.Context) (*Token, error) { return &Token{Caller: Caller{Kind: Customer}}, nil }
		}, InsufficientScope},
		"the consents are away": {func(f *fakes) {
			f.consent = func(context.Context, Caller) (*Consent, error) { return nil, ErrNoAnswer }
		}, ConsentUnavailable},
		"the policy cannot decide": {func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, ErrNoAnswer }
		}, PolicyError},
		"the denial cannot be sent": {func(f *fakes) {
			f.policy = denying(Verdict{Reason: "region", Refusals: []string{"region"}, Reply: Reply{Status: 99}})
		}, PolicyError},
		"inspecting fails": {func(f *fakes) { f.inspect = func() (Inspection, error) { return Inspection{}, fmt.Errorf("broken") } }, Internal},
	} {
		f := allowing()
		f.observing("all")
		test.broken(f)
		if got := f.pipeline().Check(t.Context(), getAccount()); got.Allowed || got.Reason != test.want {
			t.Errorf("%s: Check() = %v, want %v", name, got.Reason, test.want)
		}
	}
}

// TestUnreadObjectsAreNobodys holds that what could not be read is never asked for, so that
// no store can say that it is the caller's.
func TestUnreadObjectsAreNobodys(t *testing.T) {
	f := allowing()
	unread := Object{Type: "account", ID: Unread}
	f.inspect = func() (Inspection, error) {
		return Inspection{Objects: []Named{{Object: unread, Where: "body/Id"}, {Object: account, Where: "path"}},
			Observed: []error{fmt.Errorf("contract: %w", ObjectMalformed), fmt.Errorf("contract: %w", ObjectMalformed)}}, nil
	}
	var asked []Object
	p := f.pipeline()
	p.Owners = ownersFunc(func(objects []Object) map[Object]Ownership {
		asked = objects
		return map[Object]Ownership{account: {}}
	})
	got := p.Check(t.Context(), getAccount())
	if diff := gocmp.Diff([]Object{account}, asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"object_malformed"}, got.Observed); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	if want := "observed: contract: object_malformed; observed: contract: object_malformed"; got.Detail != want {
		t.Errorf("detail = %q, want %q", got.Detail, want)
	}
}

type ownersFunc func([]Object) map[Object]Ownership

func (f ownersFunc) Owned(_ context.Context, _ Caller, objects []Object) (map[Object]Ownership, error) {
	return f(objects), nil
}
