package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// legacyPolicy is one as opa-envoy-plugin's users write them: by basic auth, and by body.
const legacyPolicy = `package envoy.authz

default allow := false

allow := {"allowed": true, "headers": {"x-role": "admin"}, "response_headers_to_add": {"x-seen": "yes"}, "request_headers_to_remove": ["x-secret"]} if {
	input.attributes.request.http.headers.authorization == "Basic Ym9iOnBhc3N3b3Jk"
}

orders := {"allowed": false, "http_status": 401, "body": "who are you?", "headers": {"www-authenticate": "Basic realm=shop"}} if not input.parsed_body.item

orders := {"allowed": true} if input.parsed_body.item == "tea"
`

// legacyRoutes stand before the bank's own: two policies, and one of them in a dry run.
func legacyRoutes(t *testing.T) func(string) string {
	return func(configuration string) string {
		const last = "              - match: {prefix: /}\n"
		var routes strings.Builder
		for _, name := range []string{"legacy", "orders", "trial"} {
			routes.WriteString(`              - match: {prefix: /` + name + `}
                route: {cluster: upstream}
                typed_per_filter_config:
                  envoy.filters.http.ext_authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: {context_extensions: {countersign.api: ` + name + `}}
`)
		}
		return changed(t, configuration, last, routes.String()+last)
	}
}

func legacyAPIs(t *testing.T, dir string) func(string) string {
	file := filepath.Join(dir, "legacy.rego")
	if err := os.WriteFile(file, []byte(legacyPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(configuration string) string {
		return changed(t, configuration, "\napis:\n", `
apis:
  - name: legacy
    enforce: policy-only
    policy: {paths: [`+file+`]}
  - name: orders
    enforce: policy-only
    policy: {paths: [`+file+`], decision: envoy/authz/orders}
  - name: trial
    enforce: policy-only
    policy: {paths: [`+file+`], dry_run: true}
`)
	}
}

// TestPolicyOnlyThroughEnvoy holds that routes have policies of opa-envoy-plugin's of
// their own beside a contracted API, which stays as it is; and that each answer is
// recorded.
func TestPolicyOnlyThroughEnvoy(t *testing.T) {
	stack := startBank(t, patient(bank.Options{Configure: legacyAPIs(t, t.TempDir()), ConfigureEnvoy: legacyRoutes(t)}))
	client := stack.Client("")
	bob := http.Header{"Authorization": {"Basic Ym9iOnBhc3N3b3Jk"}, "X-Secret": {"1"}, "X-Countersign-Subject": {"ann"}}
	json := http.Header{"Content-Type": {"application/json"}}
	tests := []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		passes                   bool
	}{
		{"what the policy allows", "GET", "/legacy/api//v1;a", "", bob, 200, true},
		{"what it does not", "GET", "/legacy", "", http.Header{}, 403, false},
		{"what it allows of a body", "POST", "/orders", `{"item": "tea"}`, json, 201, true},
		{"its own refusal", "POST", "/orders", `{}`, json, 401, false},
		{"no decision", "POST", "/orders", `{"item": "coffee"}`, json, 403, false},
		{"what cannot be parsed", "POST", "/orders", `{`, json, 400, false},
		{"what is refused in a dry run", "GET", "/trial", "", http.Header{}, 200, true},
		{"the bank, without a token", "GET", "/accounts", "", http.Header{}, 401, false},
	}
	for _, test := range tests {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "https://"+stack.Address(bank.PlainTLS)+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = test.header
		got := see(t, client, request)
		if passed := got.received.Method != ""; got.status != test.status || passed != test.passes {
			t.Errorf("%s: %d, and the upstream received %+v, want %d", test.name, got.status, got.received, test.status)
		}
		switch test.path {
		case "/legacy/api//v1;a":
			wantLegacyAllow(t, got)
		case "/orders":
			if test.body == "{}" && (string(got.body) != "who are you?" || got.header.Get("Www-Authenticate") != "Basic realm=shop") {
				t.Errorf("%s: %q, challenge %q, want the policy's", test.name, got.body, got.header.Get("Www-Authenticate"))
			}
		}
	}
	awaitRecords(t, stack, len(tests))
}

// wantLegacyAllow holds that the upstream has what the policy says, and nothing that the
// client says in our name.
func wantLegacyAllow(t *testing.T, got seen) {
	t.Helper()
	headers := got.received.Headers
	if headers["x-role"] != "admin" || headers["x-secret"] != "" || headers["x-countersign-subject"] != "" || got.header.Get("X-Seen") != "yes" {
		t.Errorf("the upstream received %v, the client %v", headers, got.header)
	}
}
