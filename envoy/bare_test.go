package envoy

import (
	"testing"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
)

func bareAnswer(t *testing.T, check *authv3.CheckRequest, d authz.Decision) *authv3.CheckResponse {
	t.Helper()
	d.Bare = true
	_, connection := start(t, Config{}, answers(d))
	return call(t, connection, check)
}

// TestBareAllowHasNothingOfOurs holds that the upstream is told what the policy says, and
// that a client cannot tell it what only we may.
func TestBareAllowHasNothingOfOurs(t *testing.T) {
	check := httpCheck("GET", "/", map[string]string{"x-countersign-subject": "eve", "X_Countersign_Client": "eve", "x-other": "1"})
	response := bareAnswer(t, check, authz.Decision{Allowed: true, Reason: authz.Granted, Revision: "r1", Verdict: authz.Verdict{
		Allowed: true, Reply: authz.Reply{Headers: []authz.Header{{Name: "X-A", Value: "1"}, {Name: "x-b", Value: "2"}}, RemoveHeaders: []string{"X-B"}},
	}})
	ok := response.GetOkResponse()
	if diff := cmp.Diff([]string{"x-a: 1", "x-b: 2"}, lines(t, ok.GetHeaders(), overwrite)); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	// What is set and removed is removed, as Envoy does it.
	if diff := cmp.Diff([]string{"x-b", "x-countersign-subject", "x_countersign_client"}, ok.GetHeadersToRemove()); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if len(ok.GetResponseHeadersToAdd()) > 0 || len(response.GetDynamicMetadata().GetFields()) != 1 {
		t.Errorf("response = %v, want no headers for the client, and a decision's id alone", response)
	}
}

// TestBareDenialIsThePolicys holds that a denial without a body has none, and that its
// code is the one for all denials.
func TestBareDenialIsThePolicys(t *testing.T) {
	d := authz.Decision{Reason: authz.PolicyDenied, Verdict: authz.Verdict{Reply: authz.Reply{
		Status: 401, Headers: []authz.Header{{Name: "WWW-Authenticate", Value: "Basic"}}, Metadata: map[string]any{"reason": "mine"},
	}}}
	response := bareAnswer(t, httpCheck("GET", "/", nil), d)
	denied := response.GetDeniedResponse()
	if denied.GetStatus().GetCode() != 401 || denied.GetBody() != "" || codes.Code(response.GetStatus().GetCode()) != codes.PermissionDenied {
		t.Errorf("response = %v, want 401 without a body, and PERMISSION_DENIED", response)
	}
	appended := lines(t, denied.GetHeaders(), corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	if diff := cmp.Diff([]string{"www-authenticate: Basic"}, appended); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if got := response.GetDynamicMetadata().GetFields()["reason"].GetStringValue(); got != "mine" {
		t.Errorf("reason %q, want the policy's", got)
	}
}
