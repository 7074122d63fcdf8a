package envoy

import (
	"context"
	"testing"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// seen is the request that the checker is given for a CheckRequest sent over a
// real connection.
func seen(t *testing.T, cfg Config, check *authv3.CheckRequest, trace ...string) *authz.Request {
	t.Helper()
	requests := make(chan *authz.Request, 1)
	_, connection := start(t, cfg, fakeChecker{func(_ context.Context, request *authz.Request) authz.Decision {
		requests <- request
		return authz.Decision{}
	}})
	ctx := metadata.AppendToOutgoingContext(t.Context(), trace...)
	if _, err := authv3.NewAuthorizationClient(connection).Check(ctx, check, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("Check() = %v, want a response", err)
	}
	return <-requests
}

func TestRequestAsEnvoySendsIt(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b91cdd5412ac23ad-01"
	check := httpCheck("POST", "/payments?secret=abc&x=1", map[string]string{
		":authority": "api.example.com", ":method": "POST", ":path": "/payments?secret=abc&x=1", ":scheme": "https",
		"content-type": "application/json", "authorization": "Bearer a.b.c", "x-multi": "a,b",
		"traceparent":               "00-11111111111111111111111111111111-2222222222222222-00",
		"x-envoy-auth-partial-body": "false", "x-envoy-external-address": "198.51.100.1",
	})
	check.Attributes.Source.Principal = "spiffe://parts.test/client1"
	check.Attributes.Source.Certificate = "-----BEGIN%20CERTIFICATE-----%0A"
	check.Attributes.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "api.example.com"}
	check.Attributes.Request.Http.RawBody = []byte("{\"a\":\"\xff\"}")
	check.Attributes.Request.Http.Body = "altered"

	got := seen(t, Config{}, check, "traceparent", parent, "tracestate", "a=1")
	want := &authz.Request{
		API: "accounts", Method: "POST", Scheme: "https", Host: "api.example.com",
		Target: "/payments?secret=abc&x=1",
		Headers: authz.Headers{
			{Name: "authorization", Value: "Bearer a.b.c"},
			{Name: "content-type", Value: "application/json"},
			{Name: "traceparent", Value: "00-11111111111111111111111111111111-2222222222222222-00"},
			{Name: "x-envoy-auth-partial-body", Value: "false"},
			{Name: "x-envoy-external-address", Value: "198.51.100.1"},
			{Name: "x-multi", Value: "a,b"},
		},
		Body:        []byte("{\"a\":\"\xff\"}"),
		Address:     "192.0.2.7",
		Principal:   "spiffe://parts.test/client1",
		Certificate: "-----BEGIN%20CERTIFICATE-----%0A",
		SNI:         "api.example.com",
		Traceparent: parent,
		Tracestate:  "a=1",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(authz.Request{}, "Attributes")); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestRawHeadersAreKeptApartAndPreferred(t *testing.T) {
	check := httpCheck("GET", "/accounts", map[string]string{"authorization": "Bearer joined"})
	check.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: ":path", RawValue: []byte("/accounts")},
		{Key: "DPoP", RawValue: []byte("x.y.z")},
		{Key: "x-latin", RawValue: []byte("caf\xe9")},
		{Key: "dpop", RawValue: []byte("u.v.w")},
		{Key: "x-plain", Value: "as text"},
		{Key: "x-empty"},
	}}
	want := authz.Headers{
		{Name: "dpop", Value: "x.y.z"},
		{Name: "x-latin", Value: "caf\xe9"},
		{Name: "dpop", Value: "u.v.w"},
		{Name: "x-plain", Value: "as text"},
		{Name: "x-empty", Value: ""},
	}
	if diff := cmp.Diff(want, seen(t, Config{}, check).Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// TestTargetIsTheUpstreams holds a path that is not UTF-8, of which Envoy's text form
// tells another.
func TestTargetIsTheUpstreams(t *testing.T) {
	check := httpCheck("GET", "/accounts/1!?x=1", nil)
	if got := seen(t, Config{}, check).Target; got != "/accounts/1!?x=1" {
		t.Errorf("target without raw headers = %q, want Envoy's path", got)
	}
	for _, raw := range []string{"/accounts/1\xff?x=1", ""} {
		check.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
			{Key: ":method", RawValue: []byte("GET")}, {Key: ":path", RawValue: []byte(raw)},
		}}
		if got := seen(t, Config{}, check).Target; got != raw {
			t.Errorf("target = %q, want the raw :path %q", got, raw)
		}
	}
}

func TestClientAddress(t *testing.T) {
	pipe := &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/envoy.sock"}}}
	const header = "x-envoy-external-address"
	for name, row := range map[string]struct {
		from   ClientAddress
		source *corev3.Address
		fields map[string]string
		want   string
	}{
		"the peer by default":                 {"", socket("192.0.2.7", 1), map[string]string{header: "198.51.100.1"}, "192.0.2.7"},
		"the peer's IPv6":                     {FromSource, socket("2001:DB8::1", 1), nil, "2001:db8::1"},
		"IPv4 mapped into IPv6 is IPv4":       {FromSource, socket("::ffff:192.0.2.7", 1), nil, "192.0.2.7"},
		"a forwarded header is never read":    {FromSource, pipe, map[string]string{"x-forwarded-for": "192.0.2.9"}, ""},
		"a pipe has no address":               {FromSource, pipe, nil, ""},
		"a name is no address":                {FromSource, socket("localhost", 1), nil, ""},
		"no source":                           {FromSource, nil, nil, ""},
		"Envoy's header":                      {FromEnvoy, socket("192.0.2.7", 1), map[string]string{header: "198.51.100.1"}, "198.51.100.1"},
		"Envoy's header absent":               {FromEnvoy, socket("192.0.2.7", 1), nil, ""},
		"Envoy's header twice, joined":        {FromEnvoy, socket("192.0.2.7", 1), map[string]string{header: "198.51.100.1,192.0.2.9"}, ""},
		"Envoy's header with something else":  {FromEnvoy, nil, map[string]string{header: "unknown"}, ""},
		"a zone does not make another client": {FromSource, socket("fe80::1%eth0", 1), nil, "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			check := httpCheck("GET", "/accounts", row.fields)
			check.Attributes.Source.Address = row.source
			if got := seen(t, Config{ClientAddress: row.from}, check).Address; got != row.want {
				t.Errorf("address = %q, want %q", got, row.want)
			}
		})
	}
}

func TestBodyForms(t *testing.T) {
	for name, row := range map[string]struct {
		raw, text, partial string
		wantBody           string
		wantTruncated      bool
	}{
		"raw":                                 {"raw", "", "false", "raw", false},
		"text":                                {"", "text", "false", "text", false},
		"raw before text":                     {"raw", "text", "false", "raw", false},
		"none":                                {"", "", "", "", false},
		"a part":                              {"ra", "", "true", "ra", true},
		"a client's own word is not believed": {"ra", "", "true,false", "ra", true},
	} {
		t.Run(name, func(t *testing.T) {
			fields := map[string]string{}
			if row.partial != "" {
				fields["x-envoy-auth-partial-body"] = row.partial
			}
			check := httpCheck("POST", "/payments", fields)
			check.Attributes.Request.Http.RawBody = []byte(row.raw)
			check.Attributes.Request.Http.Body = row.text
			got := seen(t, Config{}, check)
			if string(got.Body) != row.wantBody || got.Truncated != row.wantTruncated {
				t.Errorf("body = %q, truncated %v, want %q, %v", got.Body, got.Truncated, row.wantBody, row.wantTruncated)
			}
		})
	}
}

func TestWhatIsNoHTTPRequestGetsNoTarget(t *testing.T) {
	for name, check := range map[string]*authv3.CheckRequest{
		"nothing at all": {},
		"no request":     {Attributes: &authv3.AttributeContext{}},
		"no http":        {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}},
		"no method":      httpCheck("", "/accounts", nil),
		"no path":        httpCheck("GET", "", nil),
		"no host": func() *authv3.CheckRequest {
			check := httpCheck("GET", "/accounts", nil)
			check.Attributes.Request.Http.Host = ""
			return check
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			got := seen(t, Config{}, check)
			if _, err := authz.ParseTarget(got.Target); err == nil {
				t.Errorf("the target %q is one that can be decided on", got.Target)
			}
			if (got.Attributes == nil) != (check.Attributes == nil) {
				t.Errorf("attributes given: %v, sent: %v", got.Attributes != nil, check.Attributes != nil)
			}
		})
	}
}

func TestAPIComesFromTheOperatorOnly(t *testing.T) {
	check := httpCheck("GET", "/accounts", map[string]string{"countersign.api": "lax"})
	check.Attributes.ContextExtensions = map[string]string{"api": "other"}
	if got := seen(t, Config{}, check).API; got != "" {
		t.Errorf("API = %q, want none", got)
	}
}
