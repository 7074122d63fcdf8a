package envoy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// FuzzCheckRequest holds that no CheckRequest panics the adapter, is allowed
// without the checker, or brings one of our headers to an upstream.
func FuzzCheckRequest(f *testing.F) {
	raw := httpCheck("GET", "/accounts", nil)
	raw.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "X_Countersign-Subject", RawValue: []byte("\xff")}}}
	for _, seed := range []*authv3.CheckRequest{
		{}, raw, httpCheck("GET", "/accounts?a=b", map[string]string{"x-countersign-subject": "root", ":path": "/"}),
	} {
		encoded, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var check authv3.CheckRequest
		if proto.Unmarshal(encoded, &check) != nil {
			return
		}
		for _, allow := range []bool{false, true} {
			asked := 0
			a := &authorization{address: FromEnvoy, timeout: time.Second, limit: newLimit(1), checker: fakeChecker{func(_ context.Context, request *authz.Request) authz.Decision {
				asked++
				if request.Attributes != nil {
					request.Attributes()
				}
				return authz.Decision{Allowed: allow}
			}}}
			response, err := a.Check(t.Context(), &check)
			if err != nil || asked != 1 {
				t.Fatalf("Check() error %v, checker asked %d times, want nil and once", err, asked)
			}
			wantSound(t, response)
			if got := codes.Code(response.GetStatus().GetCode()) == codes.OK; got != allow {
				t.Fatalf("allowed = %v, want %v", got, allow)
			}
			if allow {
				wantNoOwnHeaders(t, &check, response.GetOkResponse())
			}
		}
	})
}

// wantSound holds a response that Envoy can take for nothing but what it is.
func wantSound(t *testing.T, response *authv3.CheckResponse) {
	t.Helper()
	if _, err := proto.Marshal(response); err != nil {
		t.Fatalf("the response cannot be sent: %v", err)
	}
	allowed := codes.Code(response.GetStatus().GetCode()) == codes.OK
	if allowed != (response.GetOkResponse() != nil) || allowed == (response.GetDeniedResponse() != nil) {
		t.Fatalf("status and response disagree: %v", response)
	}
	if !allowed && response.GetDeniedResponse().GetStatus().GetCode() < 300 {
		t.Fatalf("a denial of status %v", response.GetDeniedResponse().GetStatus())
	}
}

func wantNoOwnHeaders(t *testing.T, check *authv3.CheckRequest, ok *authv3.OkHttpResponse) {
	t.Helper()
	replaced := map[string]bool{}
	for _, option := range ok.GetHeaders() {
		replaced[option.Header.Key] = true
	}
	for _, name := range ok.GetHeadersToRemove() {
		if replaced[name] {
			t.Fatalf("%q is both set and removed", name)
		}
		replaced[name] = true
	}
	http := check.GetAttributes().GetRequest().GetHttp()
	for _, field := range headers(http) {
		if strings.HasPrefix(field.Name, authz.OwnHeaderPrefix) && !replaced[field.Name] {
			t.Fatalf("%q reaches the upstream", field.Name)
		}
	}
}

// FuzzDecision holds that a response can be sent whatever a token or a policy puts
// into the decision, and that a token's words stay within their header.
func FuzzDecision(f *testing.F) {
	f.Add("ann", "reader", "x-tier", "gold", "no", "not_owner", 403, true)
	f.Add("a\r\nb", "a,b", "\xff", "\xff", "\xff", "\xff", 200, false)
	f.Fuzz(func(t *testing.T, subject, role, name, value, body, code string, status int, allow bool) {
		fields := []authz.Header{{Name: name, Value: value}, {Name: name, Value: value}}
		d := authz.Decision{
			Allowed: allow, Reason: authz.PolicyDenied, Pseudonym: subject,
			Caller:    authz.Caller{Subject: authz.Subject(subject), Client: authz.ClientID(role), Roles: []string{role, role}, Scopes: []string{role, role}},
			Operation: &authz.Operation{ID: name, API: authz.API(value)}, Scopes: []string{role}, Methods: []string{name},
			Verdict: authz.Verdict{Reason: code, StepUp: &authz.StepUp{ACRValues: []string{role}}, Reply: authz.Reply{
				Headers: fields, ResponseHeaders: fields, RemoveHeaders: []string{name, role}, SetQuery: fields, RemoveQuery: []string{name},
				Status: status, Body: body, Metadata: map[string]any{name: map[string]any{value: body}},
			}},
		}
		a := &authorization{timeout: time.Second, limit: newLimit(1), checker: answers(d)}
		response, err := a.Check(t.Context(), httpCheck("GET", "/", nil))
		if err != nil {
			t.Fatalf("Check() error %v, want nil", err)
		}
		wantSound(t, response)
		if allow != (response.GetOkResponse() != nil) {
			t.Fatalf("allowed = %v, want %v", !allow, allow)
		}
		for _, option := range response.GetOkResponse().GetHeaders() {
			if !strings.HasPrefix(option.Header.Key, authz.OwnHeaderPrefix) || option.Header.Key == strings.ToLower(name) {
				continue
			}
			for i := range len(option.Header.Value) {
				if c := option.Header.Value[i]; c < 0x20 || c > 0x7e {
					t.Fatalf("%s holds a byte %#x", option.Header.Key, c)
				}
			}
		}
	})
}
