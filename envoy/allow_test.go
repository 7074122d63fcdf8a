package envoy

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
)

// permit is the answer to a request that is allowed so.
func permit(t *testing.T, check *authv3.CheckRequest, d authz.Decision) *authv3.CheckResponse {
	t.Helper()
	d.Allowed, d.Reason = true, authz.Granted
	_, connection := start(t, Config{}, answers(d))
	response := call(t, connection, check)
	if response.GetOkResponse() == nil || codes.Code(response.GetStatus().GetCode()) != codes.OK {
		t.Fatalf("response = %v, want an allow", response)
	}
	return response
}

// lines are header options as "name: value", all of them with that action.
func lines(t *testing.T, options []*corev3.HeaderValueOption, action corev3.HeaderValueOption_HeaderAppendAction) []string {
	t.Helper()
	var result []string
	for _, option := range options {
		result = append(result, option.GetHeader().GetKey()+": "+option.GetHeader().GetValue())
		if option.GetAppendAction() != action {
			t.Errorf("%s: action %v, want %v", option.GetHeader().GetKey(), option.GetAppendAction(), action)
		}
	}
	return result
}

const overwrite = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD

// TestNextNonceIsForOneClient holds that a nonce goes with an allow only where it must
// be told, and that nobody keeps the answer it comes with.
func TestNextNonceIsForOneClient(t *testing.T) {
	for nonce, want := range map[string][]string{"": nil, "n-2": {"dpop-nonce: n-2", "cache-control: no-store"}} {
		ok := permit(t, httpCheck("GET", "/accounts/1", nil), authz.Decision{Proofs: takesProofs, NextNonce: nonce}).GetOkResponse()
		if diff := cmp.Diff(want, lines(t, ok.GetResponseHeadersToAdd(), overwrite)); diff != "" {
			t.Errorf("response headers with the nonce %q (-want +got):\n%s", nonce, diff)
		}
	}
}

func TestIdentityGoesToTheUpstream(t *testing.T) {
	d := authz.Decision{
		ID: authz.DecisionID{0x11, 15: 0x22}, Operation: &authz.Operation{ID: "GetAccount", API: "accounts"},
		Caller: authz.Caller{
			Kind: authz.Customer, Issuer: "https://auth.example", Subject: "ann", Client: "acme", Tenant: "t1", Roles: []string{"reader", "a,b%"},
			Scopes: []string{"accounts", "x y"}, Actor: "bob", Consent: "c-1",
		},
	}
	ok := permit(t, httpCheck("GET", "/accounts/1", nil), d).GetOkResponse()
	want := []string{
		"x-countersign-decision-id: 11000000-0000-0000-0000-000000000022",
		"x-countersign-caller-kind: customer",
		"x-countersign-issuer: https://auth.example",
		"x-countersign-subject: ann",
		"x-countersign-client: acme",
		"x-countersign-tenant: t1",
		"x-countersign-roles: reader,a%2Cb%25",
		"x-countersign-scopes: accounts x%20y",
		"x-countersign-consent: c-1",
		"x-countersign-operation: GetAccount",
		"x-countersign-actor: bob",
	}
	if diff := cmp.Diff(want, lines(t, ok.GetHeaders(), overwrite)); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if len(ok.GetHeadersToRemove()) > 0 {
		t.Errorf("removed: %q, want nothing", ok.GetHeadersToRemove())
	}
}

func TestClientsCopiesOfOurHeadersNeverReachTheUpstream(t *testing.T) {
	check := httpCheck("GET", "/health", map[string]string{
		"x-countersign-subject": "root", "x-countersign-caller-kind": "staff", "x-countersign-new": "1",
		"X-Countersign-Upper": "1", "x_countersign_subject": "root", "x-other": "1",
		"x-http-method-override": "DELETE", "x_original_url": "/admin",
	})
	ok := permit(t, check, authz.Decision{}).GetOkResponse()
	want := []string{
		"x-countersign-decision-id: 00000000-0000-0000-0000-000000000000",
		"x-countersign-caller-kind: anonymous",
	}
	if diff := cmp.Diff(want, lines(t, ok.GetHeaders(), overwrite)); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	removed := []string{
		"x-countersign-actor", "x-countersign-client", "x-countersign-consent", "x-countersign-issuer", "x-countersign-new",
		"x-countersign-operation", "x-countersign-roles", "x-countersign-scopes", "x-countersign-subject",
		"x-countersign-tenant", "x-countersign-upper", "x_countersign_subject",
		"x-http-method-override", "x_original_url",
	}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(removed, ok.GetHeadersToRemove(), sorted); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

func TestNoValueBreaksAHeaderOrBecomesAnother(t *testing.T) {
	subjects := []string{
		"a\r\nx-countersign-caller-kind: staff", "a%0D%0A", "é", "e\u0301", "\xff", "\uFFFD", "a b", "a%20b", " a", "a", "a ", "a\x00", "a,b", "a;b",
	}
	seen := map[string]string{}
	for _, subject := range subjects {
		ok := permit(t, httpCheck("GET", "/", nil), authz.Decision{Caller: authz.Caller{Subject: authz.Subject(subject)}}).GetOkResponse()
		for _, option := range ok.GetHeaders() {
			if option.Header.Key != "x-countersign-subject" {
				continue
			}
			value := option.Header.Value
			if other, taken := seen[value]; taken {
				t.Errorf("%q and %q are both %q", subject, other, value)
			}
			seen[value] = subject
			for i := range len(value) {
				if value[i] <= 0x20 || value[i] >= 0x7f {
					t.Errorf("%q becomes %q", subject, value)
				}
			}
		}
	}
	if len(seen) != len(subjects) {
		t.Errorf("%d values, want %d", len(seen), len(subjects))
	}
}

func TestPolicysAllow(t *testing.T) {
	ok := permit(t, httpCheck("GET", "/", nil), authz.Decision{Verdict: authz.Verdict{Reply: authz.Reply{
		Headers: []authz.Header{
			{Name: "X-Role", Value: "a"}, {Name: "x-role", Value: "b"}, {Name: "cookie", Value: "a=1"},
			{Name: "cookie", Value: "b=2"}, {Name: "x-latin", Value: "caf\xe9"},
		},
		RemoveHeaders:   []string{"Authorization", "x-role", "authorization"},
		ResponseHeaders: []authz.Header{{Name: "Set-Cookie", Value: "a=1"}, {Name: "set-cookie", Value: "b=2"}},
		SetQuery: []authz.Header{
			{Name: "owner", Value: "ann"}, {Name: "a=b", Value: "1&admin=true#x y\r\né"}, {Name: "kept", Value: "a%20b+c"},
		},
		RemoveQuery: []string{"debug", "\xff"},
	}}}).GetOkResponse()

	want := []string{"x-role: a, b", "cookie: a=1; b=2", "x-latin: caf\uFFFD"}
	if diff := cmp.Diff(want, lines(t, ok.GetHeaders(), overwrite)[2:]); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	removed := ok.GetHeadersToRemove()
	if diff := cmp.Diff([]string{"authorization"}, removed[len(removed)-1:]); diff != "" {
		t.Errorf("removed last (-want +got):\n%s", diff)
	}
	added := lines(t, ok.GetResponseHeadersToAdd(), corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	if diff := cmp.Diff([]string{"set-cookie: a=1", "set-cookie: b=2"}, added); diff != "" {
		t.Errorf("response headers (-want +got):\n%s", diff)
	}
	var query []string
	for _, parameter := range ok.GetQueryParametersToSet() {
		query = append(query, parameter.Key+"="+parameter.Value)
	}
	wantQuery := []string{"owner=ann", "a%3Db=1%26admin=true%23x%20y%0D%0A%C3%A9", "kept=a%20b+c"}
	if diff := cmp.Diff(wantQuery, query); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"debug", "\uFFFD"}, ok.GetQueryParametersToRemove()); diff != "" {
		t.Errorf("query removed (-want +got):\n%s", diff)
	}
}

func TestMetadataOfTheDecision(t *testing.T) {
	d := authz.Decision{
		ID: authz.DecisionID{0x11}, Operation: &authz.Operation{ID: "GetAccount", API: "contracted"},
		Caller: authz.Caller{Subject: "ann", Client: "acme"}, Pseudonym: "p-7", Revision: "r1", Elapsed: 1500 * time.Microsecond,
		Verdict: authz.Verdict{Reply: authz.Reply{Metadata: map[string]any{
			"allowed": "no", "tier": "gold", "n": json.Number("7"), "list": []any{true, nil, 1.5, 2, int64(3)},
			"huge": json.Number("1e999"), "nan": math.NaN(), "odd": struct{}{}, "b\xff": "c\xff",
		}}},
	}
	want := map[string]any{
		"decision_id": "11000000-0000-0000-0000-000000000000", "allowed": true, "reason": "granted",
		"operation": "GetAccount", "api": "contracted", "subject": "p-7", "client": "acme", "revision": "r1",
		"duration_us": 1500.0,
		"tier":        "gold", "n": 7.0, "list": []any{true, nil, 1.5, 2.0, 3.0},
		"huge": nil, "nan": nil, "odd": nil, "b\uFFFD": "c\uFFFD",
	}
	got := permit(t, httpCheck("GET", "/", nil), d).GetDynamicMetadata().AsMap()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	refused := refuse(t, Config{}, httpCheck("GET", "/", nil), authz.Decision{Reason: authz.PolicyDenied, Verdict: authz.Verdict{Reason: "not_owner"}})
	fields := refused.GetDynamicMetadata().AsMap()
	if fields["allowed"] != false || fields["reason"] != "not_owner" || fields["api"] != "accounts" {
		t.Errorf("metadata of a denial = %v", fields)
	}
}

func TestMetadataIsNeverTooDeepForEnvoy(t *testing.T) {
	var deep any = "x"
	for range 1000 {
		deep = map[string]any{"n": []any{deep}}
	}
	d := authz.Decision{Verdict: authz.Verdict{Reply: authz.Reply{Metadata: map[string]any{"n": deep}}}}
	var levels int
	at := permit(t, httpCheck("GET", "/", nil), d).GetDynamicMetadata().GetFields()["n"]
	for at.GetStructValue() != nil || at.GetListValue() != nil {
		levels++
		if list := at.GetListValue().GetValues(); len(list) > 0 {
			at = list[0]
		} else {
			at = at.GetStructValue().GetFields()["n"]
		}
	}
	if levels != maxMetadataDepth {
		t.Errorf("%d levels, want %d", levels, maxMetadataDepth)
	}
}
