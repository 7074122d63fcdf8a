package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReasonsAreComplete(t *testing.T) {
	code := regexp.MustCompile(`^[a-z_]{1,64}$`)
	seen := map[string]bool{}
	for r := range reasonCount {
		if !code.MatchString(r.String()) || seen[r.String()] {
			t.Errorf("reason %d has no code of its own: %q", r, r)
		}
		seen[r.String()] = true
		if named, known := ReasonNamed(r.String()); !known || named != r {
			t.Errorf("ReasonNamed(%q) = %v, %v", r, named, known)
		}
		if r.Title() == "" {
			t.Errorf("%v has no title", r)
		}
		if allowed := r == Granted; allowed != (r.Status() < 300) || r.Status() == 0 {
			t.Errorf("%v has status %d", r, r.Status())
		}
		if r.OAuthError() != "" && r.Status() >= 500 {
			t.Errorf("%v blames the token for a fault of ours", r)
		}
	}
	if named, known := ReasonNamed("second_signer"); known || named != Internal {
		t.Errorf("a policy's reason is named %v", named)
	}
	if unknown := Reason(255); unknown.String() != "internal" || unknown.Status() != 500 {
		t.Errorf("an unknown reason is %v, want internal", unknown)
	}
}

func TestReasonOf(t *testing.T) {
	tests := []struct {
		err  error
		want Reason
	}{
		{nil, Internal},
		{errors.New("x"), Internal},
		{TokenExpired, TokenExpired},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w: c", TokenKey)), TokenKey},
		{fmt.Errorf("%w: %w", PolicyError, TokenKey), PolicyError},
		{Reason(200), Internal},
	}
	for _, test := range tests {
		if got := ReasonOf(test.err); got != test.want {
			t.Errorf("ReasonOf(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}

func TestStatusIsTheCallersAnswer(t *testing.T) {
	policys := func(status int) Verdict { return Verdict{Reply: Reply{Status: status}} }
	tests := []struct {
		name     string
		decision Decision
		want     int
	}{
		{"the zero decision is a fault of ours", Decision{}, 500},
		{"an allow is 200", Decision{Allowed: true, Reason: Granted}, 200},
		{"an allow ignores the policy's status", Decision{Allowed: true, Verdict: policys(403)}, 200},
		{"a denial has its reason's status", Decision{Reason: TokenExpired}, 401},
		{"a policy's status replaces it", Decision{Reason: PolicyDenied, Verdict: policys(410)}, 410},
		{"but one that cannot be sent", Decision{Reason: PolicyDenied, Verdict: policys(451)}, 403},
		{"or that means success", Decision{Reason: PolicyDenied, Verdict: policys(200)}, 403},
	}
	for _, test := range tests {
		if got := test.decision.Status(); got != test.want {
			t.Errorf("%s: Status() = %d, want %d", test.name, got, test.want)
		}
	}
}

func TestVerdictsThatCannotBeGiven(t *testing.T) {
	tests := []struct {
		name    string
		verdict Verdict
		ok      bool
	}{
		{"nothing to add", Verdict{Allowed: true}, true},
		{"a code and a status", Verdict{Reason: "not_owner", Reply: Reply{Status: 404}}, true},
		{"a header", Verdict{Allowed: true, Reply: Reply{Headers: []Header{{"X-Limit", "a b"}}}}, true},
		{"a reason in words", Verdict{Reason: "Not the owner"}, false},
		{"a reason too long", Verdict{Reason: strings.Repeat("a", 65)}, false},
		{"an allow as a denial's status", Verdict{Reply: Reply{Status: 200}}, false},
		{"a status that is none", Verdict{Reply: Reply{Status: 1000}}, false},
		{"a header name with a space", Verdict{Reply: Reply{Headers: []Header{{"a b", "c"}}}}, false},
		{"a pseudo-header", Verdict{Reply: Reply{Headers: []Header{{":path", "/"}}}}, false},
		{"the host", Verdict{Reply: Reply{Headers: []Header{{"Host", "x"}}}}, false},
		{"Envoy's own header", Verdict{Reply: Reply{Headers: []Header{{"x-envoy-original-path", "/"}}}}, false},
		{"our identity headers", Verdict{Allowed: true, Reply: Reply{Headers: []Header{{"X-Countersign-Subject", "ann"}}}}, false},
		{"our identity headers with underscores", Verdict{Allowed: true, Reply: Reply{Headers: []Header{{"x_countersign_subject", "ann"}}}}, false},
		{"removing our identity headers", Verdict{Allowed: true, Reply: Reply{RemoveHeaders: []string{"x-countersign-subject"}}}, false},
		{"a line feed in a value", Verdict{Reply: Reply{ResponseHeaders: []Header{{"a", "b\nc"}}}}, false},
		{"a NUL in a value", Verdict{Reply: Reply{ResponseHeaders: []Header{{"a", "b\x00"}}}}, false},
		{"an empty name to remove", Verdict{Reply: Reply{RemoveHeaders: []string{""}}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.verdict.Check()
			if (err == nil) != test.ok || !test.ok && !errors.Is(err, PolicyError) {
				t.Errorf("Check() = %v, want ok %v", err, test.ok)
			}
		})
	}
}

func TestOutcomeOfAVerdict(t *testing.T) {
	for want, verdict := range map[Reason]Verdict{
		PolicyDenied:   {Reason: "not_owner"},
		StepUpRequired: {Reason: "not_owner", StepUp: &StepUp{}},
		Granted:        {Allowed: true},
	} {
		if got := verdict.Outcome(); got != want {
			t.Errorf("Outcome(%+v) = %v, want %v", verdict, got, want)
		}
	}
}

func TestParseJSON(t *testing.T) {
	got, err := ParseJSON([]byte(` {"a": [1, 12345678901234567890, null, true, "x", {}], "b": {"a": 1e3}} `), 3)
	want := map[string]any{
		"a": []any{json.Number("1"), json.Number("12345678901234567890"), nil, true, "x", map[string]any{}},
		"b": map[string]any{"a": json.Number("1e3")},
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseJSON() (-want +got):\n%s", diff)
	}
}

func TestParseJSONRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		want       error
	}{
		{"nothing", "", errJSONSyntax},
		{"white space", " ", errJSONSyntax},
		{"a second value", `{} {}`, errJSONSyntax},
		{"a byte order mark", "\ufeff{}", errJSONSyntax},
		{"invalid UTF-8", "\"\xff\"", errJSONUTF8},
		{"an unfinished object", `{"a": 1`, errJSONSyntax},
		{"a trailing comma", `[1,]`, errJSONSyntax},
		{"a comment", `{/**/}`, errJSONSyntax},
		{"a name twice", `{"a": 1, "a": 2}`, errJSONDuplicate},
		{"a name twice, once escaped", `{"a": 1, "\u0061": 2}`, errJSONDuplicate},
		{"a name twice, inside", `[{"x": {"a": 1, "a": 1}}]`, errJSONDuplicate},
		{"too deep", `[[[[]]]]`, errJSONDepth},
		{"too many values", "[" + strings.Repeat("1,", maxJSONValues) + "1]", errJSONValues},
		{"too deep by far", strings.Repeat("[", 100000), errJSONDepth},
		{"an unfinished text", `"a`, errJSONSyntax},
		{"a text that ends in a backslash", `"\`, errJSONSyntax},
		{"an unknown escape", `"\x"`, errJSONSyntax},
		{"a control character", "\"\n\"", errJSONSyntax},
		{"an unfinished word", `tru`, errJSONSyntax},
		{"a word and more", `nullx`, errJSONSyntax},
		{"a name that is no text", `{1: 2}`, errJSONSyntax},
		{"a name without a value", `{"a"}`, errJSONSyntax},
		{"NUL", "[1\x00]", errJSONSyntax},
		{"a leading zero", `01`, errJSONSyntax},
		{"a sign alone", `-`, errJSONSyntax},
		{"a plus", `+1`, errJSONSyntax},
		{"a point without digits", `1.`, errJSONSyntax},
		{"a point without a number", `.5`, errJSONSyntax},
		{"an exponent without digits", `1e+`, errJSONSyntax},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := ParseJSON([]byte(test.text), 3); !errors.Is(err, test.want) {
				t.Errorf("ParseJSON() = %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// FuzzParseJSON holds that what is accepted is what encoding/json reads, and that what is
// called malformed is so to it, too.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2]}`, `[{}]`, `"x"`, `{"a":1,"a":2}`, `1e9`, `[1 2]`, "\t[ -0.5E+3 , true,false,null ]\r\n",
		`{"\ud83d\ude00\/\"\\\b":"\ud800"}`, "\"\x00\"", "1\x00", `{"a"}`, `[,]`, `01`, `"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseJSON(data, 16)
		if errors.Is(err, errJSONSyntax) && json.Valid(data) {
			t.Fatalf("ParseJSON(%q) = %v, and encoding/json reads it", data, err)
		}
		if err != nil {
			return
		}
		var want any
		decoder := json.NewDecoder(strings.NewReader(string(data)))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("ParseJSON accepts what encoding/json refuses: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("ParseJSON (-encoding/json +ours):\n%s", diff)
		}
	})
}

func TestDecisionID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	a, b := NewDecisionID(), NewDecisionID()
	if a == b || !form.MatchString(a.String()) {
		t.Errorf("NewDecisionID() = %v, %v; want two version 4 UUIDs", a, b)
	}
}

func TestHeaders(t *testing.T) {
	h := Headers{{"a", "1"}, {"b", "2"}, {"a", "3"}}
	if v, ok := h.Value("a"); ok {
		t.Errorf("Value of a repeated header = %q, true; want false", v)
	}
	if v, ok := h.Value("b"); !ok || v != "2" {
		t.Errorf("Value(b) = %q, %v", v, ok)
	}
	if v, ok := h.Value("c"); ok || v != "" {
		t.Errorf("Value(c) = %q, %v; want none", v, ok)
	}
	r := Request{Headers: Headers{{"content-type", " Application/JSON ; charset=utf-8"}}}
	if got := r.MediaType(); got != "application/json" {
		t.Errorf("MediaType() = %q", got)
	}
}

func TestProblems(t *testing.T) {
	var problems Problems
	if problems.Err() != nil {
		t.Error("no problems are an error")
	}
	problems.Add("a.b", "is wrong", "mend it")
	problems[0].File, problems[0].Line = "f.yaml", 3
	problems = append(problems, Problem{Key: "c", What: "is absent"})
	want := "f.yaml:3: a.b: is wrong; mend it\nc: is absent"
	if got := problems.Err().Error(); got != want {
		t.Errorf("Problems = %q, want %q", got, want)
	}
}

func TestProblemsOfAValueWithin(t *testing.T) {
	inner := Problems{{Key: "url", What: "is absent"}, {What: "is odd"}}
	got := ProblemsOf(fmt.Errorf("jwks: %w", inner)).Under("issuers[0].jwks")
	want := Problems{{Key: "issuers[0].jwks.url", What: "is absent"}, {Key: "issuers[0].jwks", What: "is odd"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Under() (-want +got):\n%s", diff)
	}
	if inner[0].Key != "url" {
		t.Error("Under changes the problems that it was given")
	}
	if got := ProblemsOf(nil); got != nil {
		t.Errorf("ProblemsOf(nil) = %v", got)
	}
	if diff := cmp.Diff(Problems{{What: "broken"}}, ProblemsOf(errors.New("broken"))); diff != "" {
		t.Errorf("ProblemsOf of another error (-want +got):\n%s", diff)
	}
}

func TestSuggest(t *testing.T) {
	many := strings.Split("a1 b1 c1 d1 e1 f1 g1 h1 i1 j1 k1 l1 m1 n1", " ")
	for _, test := range []struct {
		name  string
		known []string
		want  string
	}{
		{"algoritms", []string{"issuer", "algorithms"}, `did you mean "algorithms"?`},
		{"Issuer", []string{"issuer"}, `did you mean "issuer"?`},
		{"colour", []string{"in", "name"}, "known are in, name"},
		{"x", nil, "there is none"},
		{"something", many, "known are a1, b1, c1, d1, e1, f1, g1, h1, i1, j1, k1, l1 and 2 more"},
	} {
		if got := Suggest(test.name, test.known); got != test.want {
			t.Errorf("Suggest(%q) = %q, want %q", test.name, got, test.want)
		}
	}
}
