package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// fakeShadow keeps what it is offered.
type fakeShadow struct{ trials []Trial }

func (f *fakeShadow) Offer(trial Trial) { f.trials = append(f.trials, trial) }

type panickingShadow struct{}

func (panickingShadow) Offer(Trial) { panic("zz") }

// TestWhatIsTried holds that each decision of a policy is tried once it is recorded, and
// nothing else.
func TestWhatIsTried(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*fakes)
		tried   bool
		allowed bool
	}{
		{"an allow", func(*fakes) {}, true, true},
		{"a denial", func(f *fakes) { f.policy = denying(Verdict{Reason: "region", Refusals: []string{"region"}}) }, true, false},
		{"a denial that is only observed", func(f *fakes) {
			f.observing("region")
			f.policy = denying(Verdict{Reason: "region", Refusals: []string{"region"}})
		}, true, false},
		{"a policy that cannot decide", func(f *fakes) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, errors.New("x") }
		}, true, false},
		{"an allow beyond its limit", func(f *fakes) {
			f.limited(1)
			f.spend = spent(false)
		}, true, true},
		{"a bad token", func(f *fakes) { f.token = func(context.Context) (*Token, error) { return nil, TokenExpired } }, false, false},
		{"a policy that panics", func(f *fakes) { f.policy = func(context.Context, *Facts) (Verdict, error) { panic("zz") } }, false, false},
		{"what could not be recorded", func(f *fakes) { f.record = func(context.Context) error { return errors.New("full") } }, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, shadow := allowing(), &fakeShadow{}
			test.change(f)
			p := f.pipeline()
			p.Shadow = shadow
			snapshot := *p.snapshot.Load()
			snapshot.Candidate = &Candidate{Digest: "d1"}
			p.Load(&snapshot)
			got := p.Check(t.Context(), getAccount())
			if len(shadow.trials) != map[bool]int{true: 1}[test.tried] {
				t.Fatalf("%d trials of %v", len(shadow.trials), got.Reason)
			}
			if !test.tried {
				return
			}
			trial := shadow.trials[0]
			if trial.Decision.ID != got.ID || trial.Facts.ID != got.ID || trial.Candidate.Digest != "d1" || trial.InForce.Verdict.Allowed != test.allowed {
				t.Errorf("trial = %+v of %v", trial, got.ID)
			}
		})
	}
	f, shadow := allowing(), &fakeShadow{}
	p := f.pipeline()
	snapshot := *p.snapshot.Load()
	snapshot.Candidate = &Candidate{}
	p.Load(&snapshot)
	p.Shadow = panickingShadow{}
	if got := p.Check(t.Context(), getAccount()); !got.Allowed {
		t.Errorf("where a trial panics the decision is %v", got.Reason)
	}
	f = allowing()
	p = f.pipeline()
	p.Shadow = shadow
	p.Check(t.Context(), getAccount())
	if len(shadow.trials) > 0 || f.offers()[0].Facts.Judged != nil {
		t.Error("without a candidate something is tried")
	}
}

// TestCompare holds that what a caller, an upstream, a limit or a record would notice is a difference.
func TestCompare(t *testing.T) {
	refused := func(reasons ...string) Verdict { return Verdict{Reason: reasons[0], Refusals: reasons} }
	allow := Verdict{Allowed: true}
	replying := func(reply Reply) Verdict { return Verdict{Allowed: true, Reply: reply} }
	header := []Header{{"x-a", "1"}}
	tests := []struct {
		name       string
		observe    []string
		was, would Verdict
		want       []string
	}{
		{"the same", nil, allow, allow, nil},
		{"the same in another order", nil, refused("a", "b"), Verdict{Reason: "a", Refusals: []string{"b", "a", "b"}}, nil},
		{"another text for the record", nil, Verdict{Allowed: true, Detail: "a"}, allow, nil},
		{"no metadata in two ways", nil, replying(Reply{Metadata: map[string]any{}}), allow, nil},
		{"an allow", nil, refused("a"), allow, []string{"allowed", "reason", "refusals"}},
		{"another reason", nil, refused("a", "b"), Verdict{Reason: "b", Refusals: []string{"a", "b"}}, []string{"reason"}},
		{"one more refusal", nil, refused("a"), refused("a", "b"), []string{"refusals"}},
		{"a waiver", nil, allow, Verdict{Allowed: true, Waived: []string{"a"}}, []string{"waived"}},
		{"a step-up", nil, refused("a"), Verdict{Reason: "a", Refusals: []string{"a"}, StepUp: &StepUp{MaxAge: time.Hour}}, []string{"reason", "step_up"}},
		{"a ticket", nil, Verdict{Allowed: true, BreakGlass: []string{"INC-1"}}, Verdict{Allowed: true, BreakGlass: []string{"INC-2"}}, []string{"break_glass"}},
		{"the same tickets in another order", nil, Verdict{Allowed: true, BreakGlass: []string{"INC-1", "INC-2"}}, Verdict{Allowed: true, BreakGlass: []string{"INC-2", "INC-1"}}, nil},
		{"another ticket beside what is observed", []string{"a"}, Verdict{Reason: "a", Refusals: []string{"a"}, BreakGlass: []string{"INC-1"}}, refused("a"), []string{"break_glass"}},
		{"limits", nil, allow, Verdict{Allowed: true, Limits: []Limit{{Name: "a"}}}, []string{"limits"}},
		{"headers", nil, allow, replying(Reply{Headers: header}), []string{"headers"}},
		{"headers to the caller", nil, allow, replying(Reply{ResponseHeaders: header}), []string{"response_headers_to_add"}},
		{"headers removed", nil, allow, replying(Reply{RemoveHeaders: []string{"x-a"}}), []string{"request_headers_to_remove"}},
		{"a query", nil, allow, replying(Reply{SetQuery: header, RemoveQuery: []string{"q"}}), []string{"query_parameters_to_set", "query_parameters_to_remove"}},
		{"a status and a body", nil, refused("a"), Verdict{Reason: "a", Refusals: []string{"a"}, Reply: Reply{Status: 404, Body: "no"}}, []string{"http_status", "body"}},
		{"metadata", nil, allow, replying(Reply{Metadata: map[string]any{"a": 1}}), []string{"dynamic_metadata"}},
		{"a refusal that is observed", []string{"a"}, allow, refused("a"), []string{"observed"}},
		{"the same that is observed", []string{"a"}, refused("a"), refused("a"), nil},
		{"one more than is observed", []string{"a"}, refused("a"), refused("a", "b"), []string{"allowed", "reason", "refusals"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			trial := Trial{Candidate: &Candidate{Digest: "d1"}, InForce: Judgement{Verdict: test.was},
				Facts: &Facts{Match: Match{Operation: &Operation{Observe: test.observe}}}}
			got := trial.Compare(Judgement{Verdict: test.would})
			var differs []string
			if got != nil {
				differs = got.Differs
			}
			if diff := gocmp.Diff(test.want, differs); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCompareOfWhatCannotDecide holds that to be unable is an answer, too: nobody would be let in.
func TestCompareOfWhatCannotDecide(t *testing.T) {
	broken := Judgement{Err: fmt.Errorf("%w: site.rego:3", PolicyError)}
	trial := Trial{Candidate: &Candidate{Digest: "d1"}, InForce: Judgement{Verdict: Verdict{Allowed: true}},
		Facts: &Facts{Match: Match{Operation: &Operation{Observe: []string{"all"}}}}}
	want := &Difference{Candidate: "d1", Was: Outcome{Allowed: true, Reason: Granted},
		Would: Outcome{Reason: PolicyError, Detail: "policy_error: site.rego:3"}, Differs: []string{"allowed", "reason"}}
	if diff := gocmp.Diff(want, trial.Compare(broken)); diff != "" {
		t.Errorf("Compare() (-want +got):\n%s", diff)
	}
	trial.InForce = broken
	if got := trial.Compare(Judgement{Err: fmt.Errorf("%w: site.rego:9", PolicyError)}); got != nil {
		t.Errorf("Compare() of two that cannot = %+v", got)
	}
}

// TestTicketsNameNobody holds that a policy breaks no glass under the name of somebody or
// something that the request names: tickets stand in records as they are.
func TestTicketsNameNobody(t *testing.T) {
	for ticket, want := range map[string]Reason{
		"INC-4711": Granted, "INC-22289": Granted,
		"ann": PolicyError, "ANN": PolicyError, "22289": PolicyError, "31820": PolicyError, "c-1": PolicyError, "bob": PolicyError, "192.0.2.7": PolicyError,
	} {
		f := allowing()
		f.consent = func(context.Context, Caller) (*Consent, error) {
			return &Consent{ID: "c-1", Subject: "bob", Objects: []Object{{Type: "account", ID: "31820"}}}, nil
		}
		f.policy = func(context.Context, *Facts) (Verdict, error) {
			return Verdict{Allowed: true, Waived: []string{"break_glass"}, BreakGlass: []string{"INC-1", ticket}}, nil
		}
		request := getAccount()
		request.Address = "192.0.2.7"
		got := f.pipeline().Check(t.Context(), request)
		if got.Reason != want || want != Granted && (got.Verdict.BreakGlass != nil || strings.Contains(got.Detail, ticket)) {
			t.Errorf("ticket %q: Check() = %v, %q, tickets %q; want %v", ticket, got.Reason, got.Detail, got.Verdict.BreakGlass, want)
		}
	}
}
