package envoy

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
)

const metadataURL = "https://api.example/.well-known/oauth-protected-resource"

// TestChallengesNameTheMetadata holds that all challenges do (RFC 9728 §5.1), and no
// answer that has none.
func TestChallengesNameTheMetadata(t *testing.T) {
	const named = `, resource_metadata="` + metadataURL + `"`
	for reason, want := range map[authz.Reason][]string{
		authz.NoCredentials:        {realmOnly + named, `DPoP realm="accounts"` + algs + named},
		authz.InsufficientScope:    {golden[authz.InsufficientScope].challenge + named},
		authz.MalformedCredentials: {golden[authz.MalformedCredentials].challenge + named, `DPoP realm="accounts"` + algs + named},
		authz.PolicyDenied:         nil,
		authz.Overloaded:           nil,
	} {
		d := authz.Decision{Reason: reason, Proofs: takesProofs, Answers: authz.Answers{Metadata: metadataURL}}
		got := headersOf(refuse(t, Config{}, httpCheck("GET", "/accounts", nil), d).GetDeniedResponse())["www-authenticate"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: www-authenticate (-want +got):\n%s", reason, diff)
		}
	}
}

// TestScriptsReadWhatIsOurs holds what scripts of other origins are let read: all that
// tells a client what to do, where the contract has scripts, and nothing elsewhere.
func TestScriptsReadWhatIsOurs(t *testing.T) {
	const field = "access-control-expose-headers"
	scripts := authz.Answers{Browsers: true}
	refusal := headersOf(refuse(t, Config{}, httpCheck("GET", "/accounts", nil), authz.Decision{Reason: authz.NoCredentials, Answers: scripts}).GetDeniedResponse())
	for _, name := range []string{"WWW-Authenticate", "DPoP-Nonce", "Retry-After", "RateLimit", "x-fapi-interaction-id"} {
		if !slices.Contains(strings.Split(strings.Join(refusal[field], ", "), ", "), name) {
			t.Errorf("a denial exposes %q, which lacks %s", refusal[field], name)
		}
	}
	for name, row := range map[string]struct {
		decision authz.Decision
		want     []string
	}{
		"with a nonce":             {authz.Decision{NextNonce: "n-2", Answers: scripts}, []string{ours}},
		"with an interaction id":   {authz.Decision{InteractionID: "i", Answers: scripts}, []string{ours}},
		"with nothing of ours":     {authz.Decision{Answers: scripts}, nil},
		"of an API without script": {authz.Decision{NextNonce: "n-2"}, nil},
	} {
		var got []string
		for _, option := range permit(t, httpCheck("GET", "/accounts", nil), row.decision).GetOkResponse().GetResponseHeadersToAdd() {
			if option.GetHeader().GetKey() == field {
				got = append(got, option.GetHeader().GetValue())
			}
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("an allow %s (-want +got):\n%s", name, diff)
		}
	}
	if got := headersOf(refuse(t, Config{}, httpCheck("GET", "/accounts", nil), authz.Decision{Reason: authz.NoCredentials}).GetDeniedResponse())[field]; got != nil {
		t.Errorf("a denial of an API without scripts exposes %q", got)
	}
}

// TestInteractionIDIsToldToBoth holds that upstream and client are told one id, whatever
// else the client sent, or a policy says.
func TestInteractionIDIsToldToBoth(t *testing.T) {
	const id = "c770aef3-6784-41f7-8e0e-ff5f97bddb3a"
	check := httpCheck("GET", "/accounts", map[string]string{"x-fapi-interaction-id": "a,b"})
	ok := permit(t, check, authz.Decision{InteractionID: id}).GetOkResponse()
	if got := lines(t, ok.GetHeaders(), overwrite); !slices.Contains(got, "x-fapi-interaction-id: "+id) {
		t.Errorf("the upstream is told %q, want the id", got)
	}
	if got := lines(t, ok.GetResponseHeadersToAdd(), corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD); !slices.Equal(got, []string{"x-fapi-interaction-id: " + id}) {
		t.Errorf("the client is told %q, want the id", got)
	}
	reply := authz.Reply{Headers: []authz.Header{{Name: "X-FAPI-Interaction-ID", Value: "other"}}, Status: http.StatusForbidden}
	denied := refuse(t, Config{}, check, authz.Decision{Reason: authz.PolicyDenied, InteractionID: id, Verdict: authz.Verdict{Reply: reply}})
	if got := headersOf(denied.GetDeniedResponse())["x-fapi-interaction-id"]; !slices.Equal(got, []string{id}) {
		t.Errorf("whoever is refused is told %q, want the id alone", got)
	}
	untold := refuse(t, Config{}, check, authz.Decision{Reason: authz.NoCredentials})
	if got, told := headersOf(untold.GetDeniedResponse())["x-fapi-interaction-id"]; told {
		t.Errorf("whoever is refused by an API without interactions is told %q", got)
	}
}
