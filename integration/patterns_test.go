package integration

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// pattern is a way in which opa-envoy-plugin's users decide: the policy of a route.
type pattern struct {
	// name is that of the API, and of the policy's file in compat/policies.
	name, prefix, more string
}

var patterns = []pattern{
	{"rbac", "/productpage", ", decision: envoy/authz/allowed"},
	{"rbac", "/api/v1", ", decision: envoy/authz/allowed"},
	{"jwt", "/tokens", ""},
	{"headers", "/headers", ""},
	{"order", "/orders", ""},
	{"book", "/com.book.BookService", ", descriptors: DESCRIPTORS"},
	{"spiffe", "/workloads", ""},
	{"extension", "/blue", ""},
	{"extension", "/green", ""},
}

// byExtension reads what the route says: one policy, and a decision of each route's.
const byExtension = "package envoy.authz\n\ndefault allow := false\n\nallow if input.attributes.contextExtensions.colour == \"green\"\n"

// patternRoutes stand before the bank's own. Each answer has the metadata of its decision.
func patternRoutes(t *testing.T) func(string) string {
	return func(configuration string) string {
		const last = "              - match: {prefix: /}\n"
		var routes strings.Builder
		for _, p := range patterns {
			fmt.Fprintf(&routes, `              - match: {prefix: %s}
                route: {cluster: upstream}
                response_headers_to_add:
                - header: {key: x-decision, value: "%%DYNAMIC_METADATA(envoy.filters.http.ext_authz:decision_id)%%"}
                - header: {key: x-metadata, value: "%%DYNAMIC_METADATA(envoy.filters.http.ext_authz:user)%%"}
                typed_per_filter_config:
                  envoy.filters.http.ext_authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: {context_extensions: {countersign.api: %s, colour: %s}}
`, p.prefix, p.name, p.prefix[1:])
		}
		return changed(t, configuration, last, routes.String()+last)
	}
}

func patternAPIs(t *testing.T) func(string) string {
	dir := t.TempDir()
	extension := filepath.Join(dir, "extension.rego")
	if err := os.WriteFile(extension, []byte(byExtension), 0o600); err != nil {
		t.Fatal(err)
	}
	policies, err := filepath.Abs(filepath.Join("compat", "policies"))
	if err != nil {
		t.Fatal(err)
	}
	descriptors := bookDescriptors(t, dir)
	return func(configuration string) string {
		text, told := "\napis:\n", map[string]bool{}
		for _, p := range patterns {
			if told[p.name] {
				continue
			}
			told[p.name] = true
			file := filepath.Join(policies, p.name+".rego")
			if p.name == "extension" {
				file = extension
			}
			text += fmt.Sprintf("  - {name: %s, enforce: policy-only, policy: {paths: [%s]%s}}\n", p.name, file, strings.Replace(p.more, "DESCRIPTORS", descriptors, 1))
		}
		return changed(t, configuration, "\napis:\n", text)
	}
}

// bookDescriptors are of com.book.BookService, whose books have an author.
func bookDescriptors(t *testing.T, dir string) string {
	t.Helper()
	text, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("book.proto"), Package: proto.String("com.book"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Book"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("author"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("BookService"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("AddBook"), InputType: proto.String(".com.book.Book"), OutputType: proto.String(".com.book.Book"),
		}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "book.pb")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// bookBy is a gRPC message in its frame.
func bookBy(author string) string {
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), author)
	return "\x00" + string(binary.BigEndian.AppendUint32(nil, uint32(len(message)))) + string(message)
}

// A token that jwt.rego verifies, and one of somebody else's.
const (
	goodToken = "Bearer eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAiYW5uIiwgImlzcyI6ICJzaG9wIiwgImV4cCI6IDQxMDI0NDQ4MDB9.2X-lQn7hd18H_bCxrGMkbTrPU_3sVg4RbMiOrTJEJIs"
	badToken  = "Bearer eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAiYW5uIiwgImlzcyI6ICJzaG9wIiwgImV4cCI6IDQxMDI0NDQ4MDB9.2X-lQn7hd18H_bCxrGMkbTrPU_3sVg4RbMiOrTJAAAA"
	alice     = "Basic YWxpY2U6cGFzc3dvcmQ="
	bob       = "Basic Ym9iOnBhc3N3b3Jk"
)

// TestPatternsThroughEnvoy runs the ways in which opa-envoy-plugin's documentation has
// policies decide through the real Envoy: by basic auth, a token, a body, a message of
// gRPC, a client certificate, and what the route says.
func TestPatternsThroughEnvoy(t *testing.T) {
	stack := startBank(t, patient(bank.Options{Configure: patternAPIs(t), ConfigureEnvoy: patternRoutes(t)}))
	if err := stack.Bank.Certificates.Issue(bank.Acme, &url.URL{Scheme: "spiffe", Host: "test-domain", Path: "/test"}); err != nil {
		t.Fatal(err)
	}
	as := func(authorization string) http.Header { return http.Header{"Authorization": {authorization}} }
	json, grpc := http.Header{"Content-Type": {"application/json"}}, http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	tests := []struct {
		name, client, method, path, body string
		header                           http.Header
		status                           int
	}{
		{"a guest on the page", "", "GET", "/productpage", "", as(alice), 200},
		{"a guest on the products", "", "GET", "/api/v1/products", "", as(alice), 403},
		{"an admin on the products", "", "GET", "/api/v1/products", "", as(bob), 200},
		{"nobody", "", "GET", "/productpage", "", http.Header{}, 403},
		{"a token that is verified", "", "GET", "/tokens", "", as(goodToken), 200},
		{"a token that is not", "", "GET", "/tokens", "", as(badToken), 403},
		{"a body that may be", "", "POST", "/orders", `{"items": ["tea", "milk"], "total": 7}`, json, 201},
		{"a body that may not", "", "POST", "/orders", `{"items": ["tea", "gold"], "total": 7}`, json, 403},
		{"a total that is too high", "", "POST", "/orders", `{"items": ["tea"], "total": 100.01}`, json, 403},
		{"a message that may be", "", "POST", "/com.book.BookService/AddBook", bookBy("John"), grpc, 201},
		{"a message that may not", "", "POST", "/com.book.BookService/AddBook", bookBy("Mary"), grpc, 403},
		{"a workload", bank.Acme, "GET", "/workloads", "", http.Header{}, 200},
		{"another workload", bank.Zeta, "GET", "/workloads", "", http.Header{}, 403},
		{"a workload without a certificate", "", "GET", "/workloads", "", http.Header{}, 403},
		{"a route that says so", "", "GET", "/green", "", http.Header{}, 200},
		{"a route that does not", "", "GET", "/blue", "", http.Header{}, 403},
		{"a client that says so", "", "GET", "/blue?colour=green", "", http.Header{"Colour": {"green"}}, 403},
	}
	for _, test := range tests {
		got := askedAs(t, stack, test.client, test.method, test.path, test.body, test.header)
		refused := test.status == 403 && !strings.HasPrefix(test.path, "/com.book")
		if passes := test.status < 300; passes != (got.received.Method != "") || (passes || refused) && got.status != test.status {
			t.Errorf("%s: %d, and the upstream received %+v, want %d", test.name, got.status, got.received, test.status)
		}
		if test.status < 300 && len(got.header.Get("X-Decision")) != 36 {
			t.Errorf("%s: decision %q in Envoy's metadata, want an id", test.name, got.header.Get("X-Decision"))
		}
	}
	wantMutations(t, stack, as)
}

// askedAs sends a request to the listener where that client is.
func askedAs(t *testing.T, stack *bank.Stack, client, method, path, body string, header http.Header) seen {
	t.Helper()
	listener := bank.PlainTLS
	if client != "" || path == "/workloads" {
		listener = bank.MTLS
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "https://"+stack.Address(listener)+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	return see(t, stack.Client(client), request)
}

// wantMutations holds that what a policy changes of request and answer is changed.
func wantMutations(t *testing.T, stack *bank.Stack, as func(string) http.Header) {
	t.Helper()
	header := as(bob)
	header.Set("X-Debug", "1")
	got := askedAs(t, stack, "", "GET", "/headers?admin=1&page=2", "", header)
	headers := got.received.Headers
	if headers["x-user"] != "bob" || headers["x-debug"] != "" {
		t.Errorf("the upstream received %v", headers)
	}
	if query := got.received.Path; !strings.Contains(query, "user=bob") || !strings.Contains(query, "page=2") || strings.Contains(query, "admin") {
		t.Errorf("the upstream received %q", query)
	}
	if got.header.Get("X-Policy") != "shop" || strings.Join(got.header.Values("Set-Cookie"), " ") != "a=1 b=2" || got.header.Get("X-Metadata") != "bob" {
		t.Errorf("the client received %v", got.header)
	}
	refused := askedAs(t, stack, "", "GET", "/headers", "", http.Header{})
	if refused.status != 401 || string(refused.body) != "who are you?" || refused.header.Get("Www-Authenticate") != "Basic realm=shop" {
		t.Errorf("refused with %d %q, %v", refused.status, refused.body, refused.header)
	}
}
