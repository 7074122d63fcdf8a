package envoy

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// keptCall is a CheckRequest as protojson writes it, in both of its spellings.
const keptCall = `{"attributes": {
  "source": {"address": {"socketAddress": {"address": "192.0.2.7", "portValue": 41000}}},
  "request": {"time": "2026-11-21T10:00:00.5Z", "http": {
    "method": "GET", "host": "api.example", "path": "/accounts/22289", "size": "12",
    "header_map": {"headers": [{"key": "Authorization", "raw_value": "QmVhcmVyIGEuYi5j"}]}}},
  "contextExtensions": {"countersign.api": "accounts"},
  "metadata_context": {"filter_metadata": {"any": {"deep": [1, {"x": null}]}}}
}}`

func TestCallIsAnsweredAsACallIs(t *testing.T) {
	call, err := ParseCall([]byte(keptCall))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 21, 10, 0, 0, 500_000_000, time.UTC); !call.Time().Equal(want) {
		t.Errorf("Time() = %v, want %v", call.Time(), want)
	}
	var asked *authz.Request
	checker := fakeChecker{func(ctx context.Context, request *authz.Request) authz.Decision {
		asked = request
		if end, bounded := ctx.Deadline(); !bounded || time.Until(end) < time.Minute {
			t.Errorf("the check ends at %v, want more than a minute", end)
		}
		return authz.Decision{Reason: authz.TokenExpired}
	}}
	got, err := call.Answer(t.Context(), Config{Realm: "bank", Timeout: 200 * time.Millisecond}, time.Hour, checker)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != 401 || got.Timeout != 200*time.Millisecond || !strings.Contains(got.Body, `"code":"token_expired"`) {
		t.Errorf("Answer() = %d %s of %v, want 401 for token_expired", got.Status, got.Body, got.Timeout)
	}
	want := authz.Header{Name: "www-authenticate", Value: `Bearer realm="bank", error="invalid_token", error_description="The access token has expired"`}
	if last := got.Headers[len(got.Headers)-1]; last != want {
		t.Errorf("the last header is %v, want %v", last, want)
	}
	if diff := cmp.Diff(authz.Headers{{Name: "authorization", Value: "Bearer a.b.c"}}, asked.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if asked.API != "accounts" || asked.Address != "192.0.2.7" || asked.Target != "/accounts/22289" {
		t.Errorf("the checker is asked for %+v", asked)
	}
}

func TestCallThatIsAllowedHasTheUpstreamsAnswer(t *testing.T) {
	call, err := ParseCall([]byte(keptCall))
	if err != nil {
		t.Fatal(err)
	}
	got, err := call.Answer(t.Context(), Config{}, time.Minute, answers(authz.Decision{Allowed: true, Reason: authz.Granted}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Answer{Status: 200, Timeout: time.Second}, got); diff != "" {
		t.Errorf("Answer() (-want +got):\n%s", diff)
	}
	if _, err := call.Answer(t.Context(), Config{Listen: "nowhere"}, time.Minute, fakeChecker{}); err == nil {
		t.Error("Answer() of a wrong configuration has no error")
	}
}

// TestWhatIsNoCallIsToldByItsPlace holds that an error says where, and nothing of what
// stands there: a secret is put wherever a value can be.
func TestWhatIsNoCallIsToldByItsPlace(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no JSON", "{\n\"attributes\": secret}", "2: : is not JSON"},
		{"nothing", "", "1: : is not JSON"},
		{"a value cut short", `{"attributes": {"source": "secret`, "1: : is not JSON"},
		{"two values", "{}\n\"secret\"", "2: : is not JSON"},
		{"an array", `["secret"]`, "0: : is no object"},
		{"an unknown field", `{"attributes": {"sources": "secret"}}`, "0: attributes.sources: is no field of AttributeContext"},
		{"an unknown field of an element", `{"attributes": {"request": {"http": {"headerMap": {"headers": [{}, {"kee": "secret"}]}}}}}`,
			"0: attributes.request.http.headerMap.headers[1].kee: is no field of HeaderValue"},
		{"a string for an object", `{"attributes": {"request": "secret"}}`, "0: attributes.request: is no object"},
		{"an array for an object", `{"attributes": {"request": {"http": {"headers": ["secret"]}}}}`, "0: attributes.request.http.headers: is no object"},
		{"an object for an array", `{"attributes": {"request": {"http": {"headerMap": {"headers": {"a": "secret"}}}}}}`, "0: attributes.request.http.headerMap.headers: is no array"},
		{"an array for a string", `{"attributes": {"request": {"http": {"headers": {"authorization": ["secret"]}}}}}`, "0: attributes.request.http.headers.authorization: is no string"},
		{"a number that is none", "{\"attributes\":\n{\"request\": {\"http\": {\"size\": \"secret\"}}}}", "2: : has a value that is no CheckRequest's"},
		{"bytes that are not base64", `{"attributes": {"request": {"http": {"rawBody": "secret!"}}}}`, "1: : has a value that is no CheckRequest's"},
		{"a time that is none", `{"attributes": {"request": {"time": "secret"}}}`, "1: : has a value that is no CheckRequest's"},
		{"a field in both of its spellings", `{"attributes": {"context_extensions": {"a": "secret"}, "contextExtensions": {}}}`, "1: : has a value that is no CheckRequest's"},
		{"no request", `{"attributes": {"source": {"principal": "secret"}}}`, "0: attributes.request.http: is missing"},
		{"a name that would move the cursor", `{"attributes": {"\u001b[2J\u0007": "secret"}}`, "0: attributes.[2J: is no field of AttributeContext"},
		{"a name without end", `{"attributes": {"` + strings.Repeat("a", 1000) + `": 1}}`, "0: attributes." + strings.Repeat("a", 189) + "…: is no field of AttributeContext"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseCall([]byte(test.text))
			var problems authz.Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("ParseCall() = %v, want one problem", err)
			}
			p := problems[0]
			if got := strings.Join([]string{strconv.Itoa(p.Line), p.Key, p.What}, ": "); got != test.want || p.Fix == "" {
				t.Errorf("ParseCall() = %q, fix %q, want %q", got, p.Fix, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("ParseCall() = %v, which repeats a value", err)
			}
		})
	}
}

func FuzzParseCall(f *testing.F) {
	f.Add([]byte(keptCall))
	f.Add([]byte(`{"attributes": {"request": {"http": {"headers": {"a": 1}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		call, err := ParseCall(text)
		if err != nil {
			var problems authz.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("ParseCall() = %v, want authz.Problems", err)
			}
			return
		}
		if _, err := call.Answer(t.Context(), Config{}, time.Minute, answers(authz.Decision{})); err != nil {
			t.Errorf("Answer() = %v", err)
		}
		call.Time()
	})
}
