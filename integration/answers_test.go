package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/examples/openbanking"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

var metadataAt = regexp.MustCompile(`resource_metadata="([^"]*)"`)

// TestMetadataIsFoundThroughEnvoy goes the way of a client without a token (RFC 9728 §5):
// from the challenge to the document, which must be of the resource that it asked for.
func TestMetadataIsFoundThroughEnvoy(t *testing.T) {
	stack := startBank(t, patient(bank.Options{}))
	client := stack.Client("")
	refused := get(t, client, "https://"+stack.Address(bank.PlainTLS)+"/accounts", nil)
	found := metadataAt.FindStringSubmatch(refused.header.Get("WWW-Authenticate"))
	if found == nil {
		t.Fatalf("the challenge %q names no metadata", refused.header.Get("WWW-Authenticate"))
	}
	at, err := url.Parse(found[1])
	if err != nil {
		t.Fatal(err)
	}
	answered := get(t, client, "https://"+stack.Address(bank.PlainTLS)+at.EscapedPath()+"?a=b", nil)
	if answered.status != http.StatusOK || answered.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s is answered %d as %q", at, answered.status, answered.header.Get("Content-Type"))
	}
	var told struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.Unmarshal(answered.body, &told); err != nil {
		t.Fatal(err)
	}
	if told.Resource != bank.Origin || told.Resource+"/.well-known/oauth-protected-resource" != found[1] {
		t.Errorf("%s tells of %q", at, told.Resource)
	}
	if !slices.Contains(told.Servers, bank.IssuerName) {
		t.Errorf("tokens are issued by %q, want %s among them", told.Servers, bank.IssuerName)
	}
	printed, err := exec.CommandContext(t.Context(), stack.Program, "metadata", "--config", filepath.Join(stack.Bank.Dir, "countersign.yaml")).Output()
	if err != nil || string(bytes.TrimSpace(printed)) != string(answered.body) {
		t.Errorf("printed is %s, %v, and told %s", printed, err, answered.body)
	}
	awaitRecords(t, stack, 1)
}

// seen is an answer with its header and body.
type seen struct {
	answer
	header http.Header
	body   []byte
}

func get(t *testing.T, client *http.Client, address string, header http.Header) seen {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	return see(t, client, request)
}

func see(t *testing.T, client *http.Client, request *http.Request) seen {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	got, err := read(response)
	if err != nil {
		t.Fatal(err)
	}
	return seen{got, response.Header, body}
}

// storyNamed is the story of that name.
func storyNamed(t *testing.T, name string) bank.Story {
	t.Helper()
	all := stories(t)
	at := slices.IndexFunc(all, func(s bank.Story) bool { return s.Name == name })
	if at < 0 {
		t.Fatalf("there is no story %s", name)
	}
	return all[at]
}

// TestInteractionIDsThroughEnvoy holds that client, upstream and record are told the same
// id, with an allow and with denials before and after somebody is known.
func TestInteractionIDsThroughEnvoy(t *testing.T) {
	const own = "C770aef3-6784-41f7-8e0e-ff5f97bddb3a"
	stack := startBank(t, patient(bank.Options{}))
	told := map[string]string{} // by decision
	for _, story := range []bank.Story{storyNamed(t, "01-own-account"), storyNamed(t, "02-another-customers-account"), storyNamed(t, "39-no-token"), storyNamed(t, "66-ambiguous-path")} {
		for _, values := range [][]string{{own}, nil, {own, own}, {""}, {"zzz"}, {own + "zzz"}, {"zzz\tzzz"}} {
			request, client, err := story.HTTP(t.Context(), stack)
			if err != nil {
				t.Fatal(err)
			}
			request.Header["X-Fapi-Interaction-Id"] = values
			got := see(t, client, request)
			ids := got.header.Values(authz.InteractionHeader)
			if len(ids) != 1 || got.status != story.Want.Status {
				t.Errorf("%s with %q is answered %d, with the ids %q; want %d with one", story.Name, values, got.status, ids, story.Want.Status)
				continue
			}
			if _, err := authz.ParseDecisionID(ids[0]); err != nil || (ids[0] == own) != slices.Equal(values, []string{own}) {
				t.Errorf("%s with %q is answered with the id %q", story.Name, values, ids[0])
			}
			if received := got.received.Headers[authz.InteractionHeader]; got.status == http.StatusOK && received != ids[0] {
				t.Errorf("%s with %q: the upstream is told %q, the client %q", story.Name, values, received, ids[0])
			}
			told[got.id] = ids[0]
		}
	}
	recorded := map[string]string{}
	for _, one := range awaitRecords(t, stack, len(told)) {
		recorded[one.ID] = one.Interaction
	}
	if diff := cmp.Diff(told, recorded); diff != "" {
		t.Errorf("ids by decision (-told +recorded):\n%s", diff)
	}
}

// The origin that the bank's scripts come from, and Envoy's filter and policy for it.
const (
	scriptsOrigin = "https://app.bank.example"

	corsFilter = `
          - name: envoy.filters.http.cors
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}`
	corsPolicy = `
              typed_per_filter_config:
                envoy.filters.http.cors:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy
                  allow_origin_string_match: [{exact: https://app.bank.example}]
                  allow_methods: GET, POST
                  allow_headers: authorization, dpop`
)

// startScripted starts a bank whose contract has scripts, behind Envoy's cors filter, whose
// policy ends as told.
func startScripted(t *testing.T, policy string) *bank.Stack {
	t.Helper()
	document, err := fs.ReadFile(openbanking.Files, "openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const wide = "\nx-countersign:\n"
	scripted := filepath.Join(t.TempDir(), "scripted.yaml")
	if err := os.WriteFile(scripted, []byte(changed(t, string(document), wide, wide+"  browsers: true\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return startBank(t, patient(bank.Options{
		Configure: func(configuration string) string {
			return changed(t, configuration, "document: openapi.yaml", "document: "+scripted)
		},
		ConfigureEnvoy: func(configuration string) string {
			guarded := changed(t, configuration, "          http_filters:\n", "          http_filters:"+corsFilter+"\n")
			const domains = `domains: ["*"]`
			return changed(t, guarded, domains, domains+corsPolicy+policy)
		},
	}))
}

// TestScriptsThroughEnvoy holds that scripts of an origin that Envoy lets in can read what
// they are told, that no others can, and that preflights need no token.
func TestScriptsThroughEnvoy(t *testing.T) {
	stack := startScripted(t, "")
	address := "https://" + stack.Address(bank.MTLS) + "/accounts/22289"
	preflight, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	preflight.Header = http.Header{"Origin": {scriptsOrigin}, "Access-Control-Request-Method": {"GET"}}
	if got := see(t, stack.Client(""), preflight); got.status != http.StatusOK || got.header.Get("Access-Control-Allow-Origin") != scriptsOrigin {
		t.Errorf("a preflight is answered %d with %v", got.status, got.header)
	}
	for _, test := range []struct {
		name, story, origin string
		status              int
	}{
		{"a denial before somebody is known", "39-no-token", scriptsOrigin, 401},
		{"a denial of somebody", "02-another-customers-account", scriptsOrigin, 403},
		{"an allow", "01-own-account", scriptsOrigin, 200},
		{"a denial of another origin", "39-no-token", "https://evil.example", 401},
	} {
		story := storyNamed(t, test.story)
		request, client, err := story.HTTP(t.Context(), stack)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", test.origin)
		got := see(t, client, request)
		if admitted := got.header.Get("Access-Control-Allow-Origin") == scriptsOrigin; got.status != test.status || admitted != (test.origin == scriptsOrigin) {
			t.Errorf("%s: answered %d with %v", test.name, got.status, got.header)
		}
		readable := strings.Split(strings.ToLower(got.header.Get("Access-Control-Expose-Headers")), ", ")
		for _, name := range []string{"WWW-Authenticate", "DPoP-Nonce", "X-Fapi-Interaction-Id"} {
			if got.header.Get(name) != "" && !slices.Contains(readable, strings.ToLower(name)) {
				t.Errorf("%s: it has %s, and readable are %q", test.name, name, readable)
			}
		}
	}
	awaitRecords(t, stack, 4)
}

// TestExposedHeadersOfEnvoysStandAlone holds what docs/envoy.md says of expose_headers.
func TestExposedHeadersOfEnvoysStandAlone(t *testing.T) {
	stack := startScripted(t, "\n                  expose_headers: x-own")
	got := get(t, stack.Client(""), "https://"+stack.Address(bank.MTLS)+"/accounts", http.Header{"Origin": {scriptsOrigin}})
	if readable := got.header.Values("Access-Control-Expose-Headers"); !slices.Equal(readable, []string{"x-own"}) {
		t.Errorf("readable are %q, want what Envoy's policy names alone", readable)
	}
}
