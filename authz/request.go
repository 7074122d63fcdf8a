package authz

import (
	"iter"
	"strings"
)

// Request is one HTTP request as Envoy saw it, before anything is proven. All of
// it but API, Address, Certificate, SNI and Traceparent is the client's own word.
type Request struct {
	// API names the contract, from Envoy's context_extensions, which only the
	// operator can set. Empty means that the contract is chosen by Host, where
	// the configuration lists hosts.
	API API

	Method string
	Scheme string
	Host   string
	// Target is the request target as received: path and query, undecoded.
	Target  string
	Headers Headers

	// Body is what Envoy sent of the body, at most its max_request_bytes.
	Body []byte
	// Truncated means that Body is not the whole of it.
	Truncated bool

	// Address is the client's IP address, or "" where it is not known.
	Address string
	// Principal is the peer's identity as Envoy names it (URI SAN, DNS SAN or
	// subject of the client certificate), or "".
	Principal string
	// Certificate is the client certificate in Envoy's own form, PEM with
	// percent-encoding, or "".
	Certificate string
	// SNI is the server name of the TLS session, or "".
	SNI string

	// Traceparent and Tracestate are those of Envoy's own span (W3C Trace
	// Context), from the call's metadata, never the client's headers.
	Traceparent, Tracestate string

	// Attributes gives the CheckRequest's attributes in opa-envoy-plugin's form,
	// for policies that read input.attributes. It may be nil; it is called at
	// most twice a decision, for the policy and for what is kept of its input, and
	// only when these reach them.
	Attributes func() map[string]any
}

// TraceID is the trace id of Envoy's span, 32 hex digits, or "".
func (r *Request) TraceID() string {
	if len(r.Traceparent) < 55 {
		return ""
	}
	return r.Traceparent[3:35]
}

// Header is one header field; Name is lower case.
type Header struct{ Name, Value string }

// Headers are a request's header fields in the order received. Where Envoy was
// not asked for raw headers, fields of one name arrive joined by a comma.
type Headers []Header

// Values yields the value of every field of that name, which is lower case.
func (h Headers) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, field := range h {
			if field.Name == name && !yield(field.Value) {
				return
			}
		}
	}
}

// Value is the only value of that name. It is "" and false where there is none or
// more than one: what must not be repeated is not there when it is.
func (h Headers) Value(name string) (string, bool) {
	value, count := "", 0
	for v := range h.Values(name) {
		value = v
		count++
	}
	return value, count == 1
}

// IsCredential reports a header, its name in lower case, whose value proves who sends
// a request: whoever reads it could send another. It is nowhere kept or shown.
func IsCredential(name string) bool {
	switch name {
	case "authorization", "proxy-authorization", "dpop", "cookie":
		return true
	}
	return false
}

// MediaType is the request's content type without parameters, in lower case.
func (r *Request) MediaType() string {
	value, _ := r.Headers.Value("content-type")
	mediaType, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}
