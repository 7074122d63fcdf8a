package contract

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func TestAnswersAreThoseOfTheAPI(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, dir, "plain.yaml", minimal)
	scripts := write(t, dir, "scripts.yaml", `
openapi: 3.1.0
security: []
paths:
  /a: {get: {operationId: a}}
  /b: {get: {operationId: b, x-countersign: {browsers: true}}}
`)
	contracts := load(t, Config{APIs: []API{
		{Name: "plain", Document: plain},
		{Name: "bank", Document: plain, Hosts: []string{"api.example"}, Resource: "https://api.example/bank", InteractionID: true},
		{Name: "scripts", Document: scripts},
	}})
	for _, test := range []struct {
		name    string
		request authz.Request
		want    authz.Answers
	}{
		{"an API that says nothing", authz.Request{API: "plain"}, authz.Answers{}},
		{"an API by its name, whatever the path", authz.Request{API: "bank", Target: "//"},
			authz.Answers{Metadata: "https://api.example/.well-known/oauth-protected-resource/bank", Interactions: true}},
		{"an API by its host", authz.Request{Host: "API.example:443"},
			authz.Answers{Metadata: "https://api.example/.well-known/oauth-protected-resource/bank", Interactions: true}},
		{"an API with one operation for scripts", authz.Request{API: "scripts"}, authz.Answers{Browsers: true}},
		{"an unknown API", authz.Request{API: "x", Host: "api.example"}, authz.Answers{}},
		{"no API", authz.Request{Host: "other.example"}, authz.Answers{}},
	} {
		if diff := cmp.Diff(test.want, contracts.Answers(&test.request)); diff != "" {
			t.Errorf("%s: Answers() (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestBrowsersOfADocument holds that what the document says is every operation's, but of
// one that says otherwise.
func TestBrowsersOfADocument(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.yaml", `
openapi: 3.1.0
security: []
x-countersign: {browsers: true}
paths:
  /plain: {get: {operationId: plain}}
  /extended: {get: {operationId: extended, x-countersign: {permission: read}}}
  /not: {get: {operationId: not, x-countersign: {browsers: false}}}
`)
	contracts := load(t, Config{APIs: []API{{Name: "bank", Document: document}}})
	for id, want := range map[string]bool{"plain": true, "extended": true, "not": false} {
		if got := operation(t, contracts, id).Browsers; got != want {
			t.Errorf("%s: browsers = %v, want %v", id, got, want)
		}
	}
}

func TestMetadataIsWhereRFC9728HasIt(t *testing.T) {
	for resource, want := range map[string]string{
		"":                            "",
		"https://api.example":         "https://api.example/.well-known/oauth-protected-resource",
		"https://api.example/":        "https://api.example/.well-known/oauth-protected-resource",
		"https://api.example/a/b":     "https://api.example/.well-known/oauth-protected-resource/a/b",
		"https://api.example:8443/a/": "https://api.example:8443/.well-known/oauth-protected-resource/a/",
		"https://[::1]/caf%C3%A9":     "https://[::1]/.well-known/oauth-protected-resource/caf%C3%A9",
	} {
		if got := (API{Resource: resource}).Metadata(); got != want {
			t.Errorf("Metadata of %q = %q, want %q", resource, got, want)
		}
		if resource != "" && !isResource(resource) {
			t.Errorf("isResource(%q) = false, want true", resource)
		}
	}
}

func TestResourcesThatAreRefused(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.yaml", minimal)
	for _, resource := range []string{
		"api.example", "/a", "http://api.example", "HTTPS://api.example", "https://", "https://:443", "https://API.example",
		"https://ann@api.example", "https://api.example?a=b", "https://api.example?", "https://api.example/a#b", "https://api.example/a#",
		"https://api.example//a", "https://api.example/a/../b", "https://api.example/a;b", "https://api.example/%2e", `https://api.example/a"b`,
		`https://api"x.example`, `https://api.example/a\b`, "https://api.example/é", "https://api.example/a b", "urn:bank:api", "https:api.example",
	} {
		_, err := New(Config{APIs: []API{{Name: "a", Document: document, Resource: resource}}})
		if err == nil || !strings.Contains(err.Error(), "apis[0].resource: ") {
			t.Errorf("New with the resource %q = %v, want a fault of it", resource, err)
		}
	}
	const bank = "https://api.example"
	_, err := New(Config{APIs: []API{{Name: "a", Document: document, Resource: bank}, {Name: "b", Document: document, Resource: bank + "/"}}})
	if err == nil || !strings.HasPrefix(err.Error(), `apis[1].resource: "https://api.example/" is another API's, too`) {
		t.Errorf("New with one resource twice = %v, want a fault of the second", err)
	}
}
