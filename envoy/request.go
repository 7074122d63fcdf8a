package envoy

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

const (
	// apiExtension is the key of context_extensions, which only the operator can
	// set, that names the API.
	apiExtension = "countersign.api"
	// partialBody is set by Envoy: "true" where it sends only part of the body.
	partialBody = "x-envoy-auth-partial-body"
	// externalAddress is set by Envoy where its listener has use_remote_address.
	externalAddress = "x-envoy-external-address"
)

// request adapts a CheckRequest, any part of which may be missing. What has no
// method, path or host is no HTTP request: it gets no target, which
// authz.ParseTarget refuses.
func (a *authorization) request(ctx context.Context, check *authv3.CheckRequest) *authz.Request {
	attributes := check.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	request := &authz.Request{
		API:         authz.API(attributes.GetContextExtensions()[apiExtension]),
		Method:      http.GetMethod(),
		Scheme:      http.GetScheme(),
		Host:        http.GetHost(),
		Target:      target(http),
		Headers:     headers(http),
		Body:        body(http),
		Principal:   attributes.GetSource().GetPrincipal(),
		Certificate: attributes.GetSource().GetCertificate(),
		SNI:         attributes.GetTlsSession().GetSni(),
	}
	if request.Method == "" || request.Host == "" {
		request.Target = ""
	}
	request.Truncated = truncated(request.Headers)
	request.Address = a.clientAddress(attributes, request.Headers)
	request.Traceparent, request.Tracestate = traceContext(ctx)
	if attributes != nil {
		request.Attributes = func() map[string]any { return message(attributes.ProtoReflect()) }
	}
	return request
}

// target prefers the raw form: in the other Envoy has altered what is not UTF-8, and
// the upstream would be sent another path than the one that was decided on.
func target(http *authv3.AttributeContext_HttpRequest) string {
	for _, field := range http.GetHeaderMap().GetHeaders() {
		if field.GetKey() == ":path" {
			return asSent(field)
		}
	}
	return http.GetPath()
}

// headers are the request's fields without HTTP/2's pseudo-headers, which have
// fields of their own in a Request. Envoy sends either of the two forms; the raw
// one keeps repeated fields apart and every byte as it was. The other is a map:
// its order is by name.
func headers(http *authv3.AttributeContext_HttpRequest) authz.Headers {
	var fields authz.Headers
	add := func(name, value string) {
		if !strings.HasPrefix(name, ":") {
			fields = append(fields, authz.Header{Name: strings.ToLower(name), Value: value})
		}
	}
	if raw := http.GetHeaderMap().GetHeaders(); len(raw) > 0 {
		for _, field := range raw {
			add(field.GetKey(), asSent(field))
		}
		return fields
	}
	for name, value := range http.GetHeaders() {
		add(name, value)
	}
	slices.SortFunc(fields, func(a, b authz.Header) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

func asSent(field *corev3.HeaderValue) string {
	if raw := field.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return field.GetValue()
}

// body prefers the raw form: in the other Envoy has altered what is not UTF-8.
func body(http *authv3.AttributeContext_HttpRequest) []byte {
	if raw := http.GetRawBody(); len(raw) > 0 {
		return raw
	}
	if text := http.GetBody(); text != "" {
		return []byte(text)
	}
	return nil
}

// truncated takes every value but Envoy's "false" for a body that is not whole:
// where Envoy does not set the header, a client may.
func truncated(fields authz.Headers) bool {
	for value := range fields.Values(partialBody) {
		if value != "false" {
			return true
		}
	}
	return false
}

// clientAddress is an IP address in its canonical form, or "".
func (a *authorization) clientAddress(attributes *authv3.AttributeContext, fields authz.Headers) string {
	text := attributes.GetSource().GetAddress().GetSocketAddress().GetAddress()
	if a.address == FromEnvoy {
		text, _ = fields.Value(externalAddress)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	// An IPv4 address is the same whichever family the listener's socket has.
	return address.Unmap().WithZone("").String()
}
