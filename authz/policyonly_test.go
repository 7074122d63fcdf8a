package authz

import (
	"context"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func (f *fakes) policyOnly() *PolicyOnly {
	return &PolicyOnly{API: "legacy", Revision: "r1", Bundles: []Bundle{{Name: "rules"}}, Policy: f, Recorder: f, Now: func() time.Time { return testTime }}
}

func answering(v Verdict, err error) *fakes {
	f := allowing()
	f.policy = func(context.Context, *Facts) (Verdict, error) { return v, err }
	return f
}

// told is what of a decision these tests look at.
type told struct {
	Allowed, Bare bool
	Reason        Reason
	Status        int
}

func toldOf(d Decision) told { return told{d.Allowed, d.Bare, d.Reason, d.Status()} }

func header(name, value string) Verdict {
	return Verdict{Allowed: true, Reply: Reply{Headers: []Header{{Name: name, Value: value}}}}
}

// TestPolicyOnlyAnswers holds what comes of each answer of a policy, and that each is
// recorded once, as it was given.
func TestPolicyOnlyAnswers(t *testing.T) {
	denied := told{false, false, PolicyError, 403}
	tests := []struct {
		name    string
		verdict Verdict
		err     error
		want    told
	}{
		{"an allow", Verdict{Allowed: true}, nil, told{true, true, Granted, 200}},
		{"a denial", Verdict{}, nil, told{false, true, PolicyDenied, 403}},
		{"a denial with a status", Verdict{Reply: Reply{Status: 404}}, nil, told{false, true, PolicyDenied, 404}},
		{"a denial that looks like a success", Verdict{Reply: Reply{Status: 200}}, nil, told{false, true, PolicyDenied, 200}},
		{"a denial that would leave the client waiting", Verdict{Reply: Reply{Status: 100}}, nil, denied},
		{"no decision", Verdict{Allowed: true}, errBroken, denied},
		{"a body that cannot be parsed", Verdict{Allowed: true}, fmt.Errorf("json: %w", BodyMalformed), told{false, false, BodyMalformed, 400}},
		{"a challenge", header("www-authenticate", "Basic"), nil, told{true, true, Granted, 200}},
		{"a header that is none", header("a b", "c"), nil, denied},
		{"a value with a line end", header("a", "b\r\nc: d"), nil, denied},
		{"a header of framing", header("Content_Length", "1"), nil, denied},
		{"a header of ours", header("x-countersign-subject", "ann"), nil, denied},
		{"a removal that is none", Verdict{Allowed: true, Reply: Reply{RemoveHeaders: []string{":path"}}}, nil, denied},
	}
	for _, test := range tests {
		f := answering(test.verdict, test.err)
		d := f.policyOnly().Check(t.Context(), getAccount())
		if diff := gocmp.Diff(test.want, toldOf(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if offers := f.offers(); len(offers) != 1 || toldOf(*offers[0].Decision) != test.want || d.Revision != "r1" || len(d.Bundles) != 1 {
			t.Errorf("%s: revision %q, records %+v, want r1 and one, as it was answered", test.name, d.Revision, offers)
		}
	}
}

// TestPolicyOnlyFailsClosed breaks what a PolicyOnly needs in turn.
func TestPolicyOnlyFailsClosed(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name    string
		ctx     context.Context
		breaks  func(*fakes, *PolicyOnly)
		want    Reason
		records int
	}{
		{"a policy that panics", t.Context(), func(f *fakes, _ *PolicyOnly) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { panic("x") }
		}, Internal, 1},
		{"no policy", t.Context(), func(_ *fakes, p *PolicyOnly) { p.Policy = nil }, Internal, 1},
		{"no recorder", t.Context(), func(_ *fakes, p *PolicyOnly) { p.Recorder = nil }, NotRecorded, 0},
		{"nothing", t.Context(), func(_ *fakes, p *PolicyOnly) { *p = PolicyOnly{} }, NotRecorded, 0},
		{"a record that fails", t.Context(), func(f *fakes, _ *PolicyOnly) {
			f.record = func(context.Context) error { return errBroken }
		}, NotRecorded, 1},
		{"an allow too late", over, func(*fakes, *PolicyOnly) {}, DeadlineExceeded, 1},
		{"a policy that was stopped", over, func(f *fakes, _ *PolicyOnly) {
			f.policy = func(context.Context, *Facts) (Verdict, error) { return Verdict{}, errBroken }
		}, DeadlineExceeded, 1},
	}
	for _, test := range tests {
		for _, dryRun := range []bool{false, true} {
			f := allowing()
			p := f.policyOnly()
			p.DryRun = dryRun
			test.breaks(f, p)
			d := p.Check(test.ctx, getAccount())
			if d.Allowed || d.Bare || d.Reason != test.want || len(f.offers()) != test.records {
				t.Errorf("%s, dry run %v: %+v after %d records, want %v after %d", test.name, dryRun, d, len(f.offers()), test.want, test.records)
			}
		}
	}
}

// TestPolicyOnlyDryRun holds that what is refused passes with nothing but its metadata,
// and that the record says what it would have been.
func TestPolicyOnlyDryRun(t *testing.T) {
	metadata := map[string]any{"test": "foo"}
	f := answering(Verdict{Reply: Reply{Status: 401, Body: "no", Headers: []Header{{Name: "a", Value: "b"}}, Metadata: metadata}}, nil)
	p := f.policyOnly()
	p.DryRun = true
	d := p.Check(t.Context(), getAccount())
	if diff := gocmp.Diff(Verdict{Allowed: true, Reply: Reply{Metadata: metadata}}, d.Verdict); diff != "" || !d.Allowed {
		t.Errorf("allowed %v, verdict (-want +got):\n%s", d.Allowed, diff)
	}
	recorded := f.offers()[0]
	want := []Reason{PolicyDenied}
	if !gocmp.Equal(recorded.Facts.Unchecked(), want) || !gocmp.Equal(recorded.Decision.Unchecked, want) || !recorded.Decision.Allowed {
		t.Errorf("recorded %+v of %+v, want an allow that %v was not heeded for", recorded.Decision, recorded.Facts, want)
	}
	f.policy = func(context.Context, *Facts) (Verdict, error) { return header("a", "b"), nil }
	if d := p.Check(t.Context(), getAccount()); len(d.Verdict.Reply.Headers) != 1 || d.Unchecked != nil {
		t.Errorf("an allow in a dry run: %+v, want it unchanged", d)
	}
}

// TestPolicyOnlyIsChosenByName holds that a snapshot hands over the requests for an API
// of that name, and no others.
func TestPolicyOnlyIsChosenByName(t *testing.T) {
	contracted, alone := allowing(), answering(Verdict{}, nil)
	p := contracted.pipeline()
	snapshot := *p.snapshot.Load()
	snapshot.PolicyOnly = map[API]*PolicyOnly{"legacy": alone.policyOnly()}
	p.Load(&snapshot)
	for api, want := range map[API][2]int{"legacy": {0, 1}, "bank": {1, 0}, "": {1, 0}, "Legacy": {1, 0}} {
		before := [2]int{len(contracted.offers()), len(alone.offers())}
		request := getAccount()
		request.API = api
		p.Check(t.Context(), request)
		if got := [2]int{len(contracted.offers()) - before[0], len(alone.offers()) - before[1]}; got != want {
			t.Errorf("API %q: %v checks contracted and alone, want %v", api, got, want)
		}
	}
}

// keeping keeps a document of what it is given, or fails.
type keeping struct{ err error }

func (k keeping) Input(facts *Facts) (*Input, error) {
	if k.err != nil {
		return nil, k.err
	}
	return &Input{Document: []byte(facts.Request.Method)}, nil
}

// TestPolicyOnlyKeepsInputs holds that what is decided on is recorded, with what others
// told the policy, of denials and failures too; and that what makes no document is
// refused before the policy is asked.
func TestPolicyOnlyKeepsInputs(t *testing.T) {
	lookups := &Lookups{Builtins: []string{"http.send"}, Answers: []byte("{}")}
	for name, test := range map[string]struct {
		verdict Verdict
		err     error
	}{
		"an allow":    {Verdict{Allowed: true, Lookups: lookups}, nil},
		"a denial":    {Verdict{Lookups: lookups}, nil},
		"no decision": {Verdict{Lookups: lookups}, errBroken},
	} {
		f := answering(test.verdict, test.err)
		p := f.policyOnly()
		p.Inputs = keeping{}
		p.Check(t.Context(), getAccount())
		got := f.offers()[0].Facts
		if want := (&Input{Document: []byte("GET"), Answers: []byte("{}")}); gocmp.Diff(want, got.Input) != "" || got.Lookups != lookups {
			t.Errorf("%s: recorded %+v and %+v, want %+v and the lookups", name, got.Input, got.Lookups, want)
		}
	}
	f := answering(Verdict{Allowed: true}, nil)
	p := f.policyOnly()
	p.Inputs = keeping{fmt.Errorf("json: %w", BodyMalformed)}
	if d := p.Check(t.Context(), getAccount()); d.Allowed || d.Reason != BodyMalformed || f.offers()[0].Facts.Input != nil {
		t.Errorf("of what makes no document: %+v, want %v", d, BodyMalformed)
	}
}
