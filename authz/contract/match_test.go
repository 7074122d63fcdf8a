package contract

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func parseTarget(t testing.TB, raw string) authz.Target {
	t.Helper()
	target, err := authz.ParseTarget(raw)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func mustMatch(t testing.TB, contracts *Contracts, method, path string) authz.Match {
	t.Helper()
	request := &authz.Request{API: contracts.operations[0].API, Method: method}
	match, err := contracts.Match(request, parseTarget(t, path))
	if err != nil {
		t.Fatalf("Match(%s %s) = %v", method, path, err)
	}
	return match
}

func TestMatch(t *testing.T) {
	contracts := bank(t)
	tests := []struct {
		name, method, path string
		operation          string
		parameters         map[string]string
		reason             authz.Reason
		allowed            []string
	}{
		{name: "root", method: "GET", path: "/", operation: "root"},
		{name: "literal", method: "GET", path: "/accounts", operation: "accounts"},
		{name: "a trailing slash is another path", method: "GET", path: "/accounts/", operation: "accounts-slash"},
		{name: "a trailing slash that is not described", method: "GET", path: "/reports/", reason: authz.UnknownPath},
		{name: "parameter", method: "GET", path: "/accounts/22289", operation: "account", parameters: map[string]string{"AccountId": "22289"}},
		{name: "parameters are decoded", method: "GET", path: "/accounts/a%20b%C3%A9", operation: "account", parameters: map[string]string{"AccountId": "a bé"}},
		{name: "suffix is more specific", method: "GET", path: "/accounts/1.json", operation: "account-json", parameters: map[string]string{"Account": "1"}},
		{name: "suffix of an action", method: "POST", path: "/accounts/1:close", operation: "close", parameters: map[string]string{"AccountId": "1"}},
		{name: "suffix alone leaves no value, so the less specific has it", method: "GET", path: "/accounts/.json", operation: "account", parameters: map[string]string{"AccountId": ".json"}},
		{name: "two parameters", method: "GET", path: "/accounts/1/statements/2", operation: "statement", parameters: map[string]string{"AccountId": "1", "StatementId": "2"}},
		{name: "literal before template", method: "GET", path: "/accounts/batch/statements", operation: "batch"},
		{name: "back to the template where the literal leads nowhere", method: "GET", path: "/accounts/batch/balances", operation: "balances", parameters: map[string]string{"AccountId": "batch"}},
		{name: "literals are compared decoded", method: "GET", path: "/café/1", operation: "cafe", parameters: map[string]string{"x": "1"}},
		{name: "literals are compared decoded, encoded", method: "GET", path: "/caf%C3%A9/1", operation: "cafe", parameters: map[string]string{"x": "1"}},
		{name: "paths are case-sensitive", method: "GET", path: "/Accounts", reason: authz.UnknownPath},
		{name: "a sibling literal before the template", method: "GET", path: "/shop/items/internal", operation: "internal"},
		{name: "no sibling literal in another case", method: "GET", path: "/shop/items/INTERNAL", reason: authz.UnknownPath},
		{name: "no sibling literal in another case beyond ASCII", method: "GET", path: "/shop/carts/%E2%84%AAept", reason: authz.UnknownPath},
		{name: "no sibling literal with a blank", method: "GET", path: "/shop/items/internal%20", reason: authz.UnknownPath},
		{name: "no sibling literal with a blank beyond ASCII, in another case", method: "GET", path: "/shop/items/%C2%A0Internal", reason: authz.UnknownPath},
		{name: "a sibling literal with a suffix is a value", method: "GET", path: "/shop/items/internal.json", operation: "item", parameters: map[string]string{"x": "internal.json"}},
		{name: "nor by a template further up", method: "GET", path: "/shop/carts/Kept", reason: authz.UnknownPath},
		{name: "nor is a parent in another case", method: "GET", path: "/shop/Carts/kept", reason: authz.UnknownPath},
		{name: "a template further up", method: "GET", path: "/shop/carts/sold", operation: "any", parameters: map[string]string{"any": "carts", "x": "sold"}},
		{name: "longer path", method: "GET", path: "/accounts/1/2/3", reason: authz.UnknownPath},
		{name: "shorter path", method: "GET", path: "/accounts/1/statements", reason: authz.UnknownPath},
		{name: "empty parameter", method: "GET", path: "/accounts/1/statements/", reason: authz.UnknownPath},
		{name: "servers do not count", method: "GET", path: "/ignored/accounts", reason: authz.UnknownPath},
		{name: "method", method: "PUT", path: "/accounts", reason: authz.UnknownMethod, allowed: []string{"GET", "POST"}},
		{name: "methods are case-sensitive", method: "get", path: "/accounts", reason: authz.UnknownMethod, allowed: []string{"GET", "POST"}},
		{name: "no method", method: "", path: "/accounts", reason: authz.UnknownMethod, allowed: []string{"GET", "POST"}},
		{name: "HEAD is not GET", method: "HEAD", path: "/events", reason: authz.UnknownMethod, allowed: []string{"GET"}},
		{name: "the concrete path decides, though a template has the method", method: "DELETE", path: "/accounts/1.json", reason: authz.UnknownMethod, allowed: []string{"GET"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			match, err := contracts.Match(&authz.Request{API: "bank", Method: test.method}, parseTarget(t, test.path))
			want := authz.Match{API: "bank", Parameters: test.parameters, Allowed: test.allowed}
			if test.operation != "" {
				want.Operation = operation(t, contracts, test.operation)
			} else if reason := authz.ReasonOf(err); reason != test.reason {
				t.Errorf("Match = %v, want %v", err, test.reason)
			}
			if (err == nil) != (test.operation != "") {
				t.Errorf("Match = %v", err)
			}
			if diff := cmp.Diff(want, match); diff != "" {
				t.Errorf("match (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPIIsTheOneThatEnvoyNames(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.yaml", minimal)
	contracts := load(t, Config{APIs: []API{
		{Name: "one", Document: document, Hosts: []string{"One.example.", "other.example"}},
		{Name: "two", Document: document, Hosts: []string{"two.example"}, BasePath: "/v%C3%A9/2"},
		{Name: "three", Document: document},
	}})
	tests := []struct {
		name string
		api  authz.API
		host string
		path string
		want authz.API
		err  authz.Reason
	}{
		{name: "by name", api: "three", path: "/health", want: "three"},
		{name: "by host", host: "one.example", path: "/health", want: "one"},
		{name: "by host, with port, in another case, with a dot", host: "ONE.Example.:8443", path: "/health", want: "one"},
		{name: "a host never overrules the name", api: "two", host: "one.example", path: "/vé/2/health", want: "two"},
		{name: "a name that is not known is not replaced by the host", api: "four", host: "one.example", path: "/health", err: authz.NoContract},
		{name: "unlisted host", host: "three.example", path: "/health", err: authz.NoContract},
		{name: "subdomain", host: "a.one.example", path: "/health", err: authz.NoContract},
		{name: "no host and no name", path: "/health", err: authz.NoContract},
		{name: "userinfo is no port", host: "one.example:x@evil", path: "/health", err: authz.NoContract},
		{name: "two dots", host: "one.example..", path: "/health", err: authz.NoContract},
		{name: "base path is stripped", host: "two.example", path: "/v%c3%a9/2/health", want: "two"},
		{name: "base path is needed", host: "two.example", path: "/health", want: "two", err: authz.UnknownPath},
		{name: "base path is whole segments", host: "two.example", path: "/vé/2health", want: "two", err: authz.UnknownPath},
		{name: "base path alone", host: "two.example", path: "/vé/2", want: "two", err: authz.UnknownPath},
		{name: "shorter than the base path", host: "two.example", path: "/vé", want: "two", err: authz.UnknownPath},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			match, err := contracts.Match(&authz.Request{API: test.api, Host: test.host, Method: "GET"}, parseTarget(t, test.path))
			if match.API != test.want || (match.Operation != nil) != (err == nil) {
				t.Errorf("Match = %+v, want API %q", match, test.want)
			}
			if test.err != authz.Internal && !errors.Is(err, test.err) || test.err == authz.Internal && err != nil {
				t.Errorf("Match = %v, want %v", err, test.err)
			}
		})
	}
}

// The zero Contracts know no API.
func TestZeroContractsDeny(t *testing.T) {
	_, err := new(Contracts).Match(&authz.Request{Host: "a"}, authz.Target{})
	if !errors.Is(err, authz.NoContract) {
		t.Errorf("Match = %v, want %v", err, authz.NoContract)
	}
}

// Whatever matches, its parameters put back into the template are the path.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/", "/accounts", "/accounts/1", "/accounts/1.json", "/accounts/.json", "/accounts/1:close",
		"/accounts/a%2Fb/balances", "/accounts/batch/statements/9", "/paths/1,2?x=1", "/caf%C3%A9/x", "//", "/accounts/;", "/reports?AccountId=1&accountid=2"} {
		f.Add("GET", seed, "bank", "")
	}
	f.Add("POST", "/payments", "", "bank.example:443")
	contracts := load(f, Config{APIs: []API{{Name: "bank", Document: "testdata/bank.yaml", Hosts: []string{"bank.example"}}}})
	f.Fuzz(func(t *testing.T, method, raw, api, host string) {
		target, err := authz.ParseTarget(raw)
		if err != nil {
			return
		}
		match, err := contracts.Match(&authz.Request{API: authz.API(api), Host: host, Method: method}, target)
		if err != nil {
			if match.Operation != nil || authz.ReasonOf(err) == authz.Internal {
				t.Fatalf("Match(%q) = %+v, %v", raw, match, err)
			}
			return
		}
		if match.Operation == nil || match.API != "bank" || match.Operation.Method != method {
			t.Fatalf("Match(%q) = %+v", raw, match)
		}
		filled := []string{"caf%C3%A9", "café"}
		for name, value := range match.Parameters {
			if value == "" {
				t.Fatalf("Match(%q): %q is empty", raw, name)
			}
			filled = append(filled, "{"+name+"}", value)
		}
		want := strings.NewReplacer(filled...).Replace(match.Operation.Path[1:])
		if got := strings.Join(target.Segments, "/"); got != want {
			t.Fatalf("Match(%q) = %s with %q, which is %q, want %q", raw, match.Operation.Path, match.Parameters, want, got)
		}
	})
}

// One of 200 operations is found, the last of them.
func BenchmarkMatch(b *testing.B) {
	var document strings.Builder
	document.WriteString("openapi: 3.1.0\nsecurity: []\npaths:\n")
	for i := range 100 {
		fmt.Fprintf(&document, "  /things%d: {get: {operationId: list%d}}\n", i, i)
		fmt.Fprintf(&document, "  /things%d/{Id}/parts: {get: {operationId: parts%d, parameters: [{name: Id, in: path, required: true}]}}\n", i, i)
	}
	path := write(b, b.TempDir(), "openapi.yaml", document.String())
	contracts := load(b, Config{APIs: []API{{Name: "things", Document: path, BasePath: "/v1"}}})
	for _, raw := range []string{"/v1/things99", "/v1/things99/22289/parts"} {
		b.Run(strings.ReplaceAll(raw[1:], "/", "-"), func(b *testing.B) {
			request, target := &authz.Request{API: "things", Method: "GET"}, parseTarget(b, raw)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := contracts.Match(request, target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestNoContractsMatchNothing holds that where only policies decide, the rest is refused.
func TestNoContractsMatchNothing(t *testing.T) {
	contracts, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := contracts.Match(&authz.Request{API: "a", Host: "a.example"}, authz.Target{Path: "/"}); !errors.Is(err, authz.NoContract) {
		t.Errorf("Match() = %v, want %v", err, authz.NoContract)
	}
}
