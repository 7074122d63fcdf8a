package authz

import (
	"context"
	"strings"
	"testing"
)

// fakeAnswers are those of every API.
type fakeAnswers Answers

func (f fakeAnswers) Answers(*Request) Answers { return Answers(f) }

// answering is a pipeline whose answers have what is given.
func (f *fakes) answering(answers Answers) *Pipeline {
	p := f.pipeline()
	snapshot := *p.snapshot.Load()
	snapshot.Answers = fakeAnswers(answers)
	p.Load(&snapshot)
	return p
}

func TestInteractionIDIsAUUID(t *testing.T) {
	const sent = "C770aef3-6784-41f7-8e0e-ff5f97bddb3a"
	tests := []struct {
		name   string
		values []string
		kept   bool
	}{
		{"a UUID, in any case", []string{sent}, true},
		{"none", nil, false},
		{"an empty one", []string{""}, false},
		{"two", []string{sent, sent}, false},
		{"two, joined by Envoy", []string{sent + "," + sent}, false},
		{"a UUID without hyphens", []string{strings.ReplaceAll(sent, "-", "")}, false},
		{"a UUID in braces", []string{"{" + sent + "}"}, false},
		{"a UUID with a name", []string{"urn:uuid:" + sent}, false},
		{"hyphens elsewhere", []string{"c770aef-36784-41f7-8e0e-ff5f97bddb3a"}, false},
		{"a digit too many", []string{sent + "0"}, false},
		{"no digits", []string{"g770aef3-6784-41f7-8e0e-ff5f97bddb3a"}, false},
		{"a line break", []string{sent + "\r\nset-cookie: a"}, false},
		{"what is no UUID", []string{"<script>alert(1)</script>"}, false},
		{"digits of another script", []string{"c770aef3-6784-41f7-8e0e-ff5f97bddb٣"}, false},
		{"64 KiB", []string{strings.Repeat("a", 64<<10)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := getAccount()
			for _, value := range test.values {
				request.Headers = append(request.Headers, Header{Name: "x-fapi-interaction-id", Value: value})
			}
			p := allowing().answering(Answers{Interactions: true})
			got, again := p.Check(t.Context(), request).InteractionID, p.Check(t.Context(), request).InteractionID
			if _, err := ParseDecisionID(got); err != nil {
				t.Errorf("InteractionID = %q, want a UUID", got)
			}
			if kept := got == sent; kept != test.kept || (got == again) != test.kept {
				t.Errorf("InteractionID = %q, then %q, want the client's: %v", got, again, test.kept)
			}
		})
	}
}

// TestAnswersStandWhateverIsDecided holds that what an API's answers have goes with every
// decision, those that are made when something of ours broke among them.
func TestAnswersStandWhateverIsDecided(t *testing.T) {
	for name, breaks := range map[string]func(*fakes, *Request){
		"an allow":          func(*fakes, *Request) {},
		"an ambiguous path": func(_ *fakes, r *Request) { r.Target = "//" },
		"no token": func(f *fakes, _ *Request) {
			f.token = func(context.Context) (*Token, error) { return nil, NoCredentials }
		},
		"a policy that panics": func(f *fakes, _ *Request) { f.policy = func(context.Context, *Facts) (Verdict, error) { panic("x") } },
		"no pseudonym":         func(f *fakes, _ *Request) { f.pseudonym = func() string { panic("x") } },
		"no record":            func(f *fakes, _ *Request) { f.record = func(context.Context) error { return errBroken } },
	} {
		f, request := allowing(), getAccount()
		breaks(f, request)
		want := Answers{Metadata: "https://api.example/m", Interactions: true}
		got := f.answering(want).Check(t.Context(), request)
		if got.Answers != want || got.InteractionID == "" {
			t.Errorf("%s: Check() has %+v and the id %q, want %+v and one", name, got.Answers, got.InteractionID, want)
		}
		for _, offer := range f.offers() {
			if offer.Decision.InteractionID != got.InteractionID {
				t.Errorf("%s: recorded is %q, and told %q", name, offer.Decision.InteractionID, got.InteractionID)
			}
		}
	}
	if got := allowing().pipeline().Check(t.Context(), getAccount()); got.InteractionID != "" {
		t.Errorf("Check() of an API without interactions has the id %q", got.InteractionID)
	}
}

// TestBrowsersTellNoOperations holds that what one operation says of scripts shows to
// callers with a good token only: others could tell by it which operations there are.
func TestBrowsersTellNoOperations(t *testing.T) {
	scripts := *operation
	scripts.Browsers = true
	for _, test := range []struct {
		name      string
		api       bool
		operation *Operation
		token     bool
		want      bool
	}{
		{"the operation's, to a caller", true, &scripts, true, true},
		{"another operation's, to a caller", true, operation, true, false},
		{"the API's, to a caller of what is unknown", true, nil, true, true},
		{"the API's, without a token", true, operation, false, true},
		{"the API's, without a token, of what is unknown", true, nil, false, true},
		{"an API without", false, operation, false, false},
	} {
		f := allowing()
		f.match = func() (Match, error) {
			if test.operation == nil {
				return Match{API: "bank"}, UnknownPath
			}
			return Match{API: "bank", Operation: test.operation}, nil
		}
		if !test.token {
			f.token = func(context.Context) (*Token, error) { return nil, NoCredentials }
		}
		if got := f.answering(Answers{Browsers: test.api}).Check(t.Context(), getAccount()); got.Answers.Browsers != test.want {
			t.Errorf("%s: browsers = %v, want %v", test.name, got.Answers.Browsers, test.want)
		}
	}
}
