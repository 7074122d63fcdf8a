package main

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz/contract"
)

// TestMetadataRouteHoldsTheDocument holds that the route is YAML which answers with the
// very document, whatever stands in it, and says what Envoy must be told of a long one.
func TestMetadataRouteHoldsTheDocument(t *testing.T) {
	const told = "\n# Over 4096 bytes need max_direct_response_body_size_bytes: 4097 in the route_config.\n"
	for name, document := range map[string]string{
		"quotes":   `{"resource":"it's","x":"'': {{ %REQ(:path)% # \u00e9"}`,
		"longest":  strings.Repeat("a", 4096),
		"too long": strings.Repeat("a", 4097),
	} {
		printed := metadataRoute(contract.API{Resource: "https://api.example/it's/"}, document)
		var routes []struct {
			Match  struct{ Path string }
			Direct struct {
				Body struct {
					Text string `yaml:"inline_string"`
				}
			} `yaml:"direct_response"`
		}
		if err := yaml.Unmarshal([]byte(printed), &routes); err != nil || len(routes) != 1 {
			t.Fatalf("%s: %d routes, %v, in\n%s", name, len(routes), err, printed)
		}
		if got := routes[0].Direct.Body.Text; got != document {
			t.Errorf("%s: the route answers %q, want %q", name, got, document)
		}
		if got, want := routes[0].Match.Path, "/.well-known/oauth-protected-resource/it's/"; got != want {
			t.Errorf("%s: the route is of %q, want %q", name, got, want)
		}
		if strings.Contains(printed, told) != (len(document) > 4096) {
			t.Errorf("%s: what Envoy must be told is said, or is not:\n%.300s", name, printed)
		}
	}
}
