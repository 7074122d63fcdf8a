package envoy

import (
	"strings"

	"github.com/countersign-io/countersign/authz"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// allowed is what an allow changes in the upstream's request: the headers that say
// what was verified, and what the policy asks for.
func allowed(request *authz.Request, d *authz.Decision) *authv3.OkHttpResponse {
	reply := &d.Verdict.Reply
	ok := &authv3.OkHttpResponse{
		ResponseHeadersToAdd: responseHeaders(d),
		QueryParametersToSet: queryParameters(reply.SetQuery),
	}
	for _, name := range reply.RemoveQuery {
		ok.QueryParametersToRemove = append(ok.QueryParametersToRemove, text(name))
	}
	var set []authz.Header
	var remove []string
	if d.InteractionID != "" {
		set = append(set, authz.Header{Name: authz.InteractionHeader, Value: d.InteractionID})
	}
	for _, own := range identity(d) {
		if own.Value == "" {
			remove = append(remove, own.Name)
		} else {
			set = append(set, own)
		}
	}
	for _, field := range request.Headers {
		if isOwn(field.Name) || overrides(field.Name) {
			remove = append(remove, field.Name)
		}
	}
	ok.Headers = overwriting(append(set, reply.Headers...))
	ok.HeadersToRemove = removals(append(remove, reply.RemoveHeaders...), ok.Headers)
	return ok
}

// nonceHeader tells the nonce that a client's next proof must hold.
const nonceHeader = "dpop-nonce"

// responseHeaders go with the upstream's answer.
func responseHeaders(d *authz.Decision) []*corev3.HeaderValueOption {
	left := quota(d)
	fields := append(left, d.Verdict.Reply.ResponseHeaders...)
	replaced := renewal(d)
	if d.InteractionID != "" {
		replaced = append(replaced, option(authz.InteractionHeader, d.InteractionID, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	if len(left)+len(replaced) > 0 {
		fields = append(fields, exposed(d)...)
	}
	return append(appending(fields), replaced...)
}

// renewal tells the client its next nonce with an answer of the upstream's. It is for
// this client alone, so nobody may keep the answer (RFC 9449 §8.2), and there is one.
func renewal(d *authz.Decision) []*corev3.HeaderValueOption {
	if d.NextNonce == "" {
		return nil
	}
	return []*corev3.HeaderValueOption{
		option(nonceHeader, d.NextNonce, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
		option("cache-control", "no-store", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
	}
}

// identity are all headers that tell the upstream who calls and under which
// decision. One with an empty value is not to reach the upstream at all.
func identity(d *authz.Decision) []authz.Header {
	caller := &d.Caller
	return []authz.Header{
		own("decision-id", d.ID.String()),
		own("caller-kind", caller.Kind.String()),
		own("issuer", escape(caller.Issuer, "")),
		own("subject", escape(string(caller.Subject), "")),
		own("client", escape(string(caller.Client), "")),
		own("tenant", escape(string(caller.Tenant), "")),
		own("roles", join(caller.Roles, ",")),
		own("scopes", join(caller.Scopes, " ")),
		own("consent", escape(string(caller.Consent), "")),
		own("operation", escape(d.OperationID(), "")),
		own("actor", escape(string(caller.Actor), "")),
	}
}

func own(name, value string) authz.Header {
	return authz.Header{Name: authz.OwnHeaderPrefix + name, Value: value}
}

// isOwn reports a name that only we may set. An underscore counts as a hyphen: to
// an upstream that reads headers as CGI variables they are the same.
func isOwn(name string) bool {
	return strings.HasPrefix(strings.ReplaceAll(name, "_", "-"), authz.OwnHeaderPrefix)
}

// overrides reports a header that some upstreams read another method or path from
// than the one that was decided on.
func overrides(name string) bool {
	switch strings.ReplaceAll(name, "_", "-") {
	case "x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url", "x-original-method":
		return true
	}
	return false
}

func join(values []string, separator string) string {
	escaped := make([]string, len(values))
	for i, value := range values {
		escaped[i] = escape(value, separator)
	}
	return strings.Join(escaped, separator)
}

// escape percent-encodes what is not visible ASCII, the percent sign and the list's
// separator, so that two different values are never the same header. A space is
// encoded as well: HTTP drops those at either end.
func escape(value, separator string) string {
	return encode(value, func(c byte) bool {
		return c <= 0x20 || c >= 0x7f || c == '%' || strings.IndexByte(separator, c) >= 0
	})
}

// encode percent-encodes the bytes of s that must be.
func encode(s string, must func(c byte) bool) string {
	const digits = "0123456789ABCDEF"
	var encoded strings.Builder
	for i := range len(s) {
		if c := s[i]; must(c) {
			encoded.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			encoded.WriteByte(c)
		}
	}
	return encoded.String()
}

// overwriting replaces what the client sent. Several values of one name become one
// field (RFC 9110 §5.3), since Envoy lets the last of them overwrite the others,
// whatever the append_action.
func overwriting(fields []authz.Header) []*corev3.HeaderValueOption {
	at := make(map[string]*corev3.HeaderValueOption, len(fields))
	var result []*corev3.HeaderValueOption
	for _, field := range fields {
		name := strings.ToLower(field.Name)
		if first, twice := at[name]; twice {
			first.Header.Value += listSeparator(name) + text(field.Value)
			continue
		}
		at[name] = option(name, field.Value, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
		result = append(result, at[name])
	}
	return result
}

func listSeparator(name string) string {
	if name == "cookie" {
		return "; " // RFC 9113 §8.2.3
	}
	return ", "
}

// appending keeps the upstream's fields of the same name, and one field for each
// value, as Set-Cookie needs. It is what opa-envoy-plugin's answers come to.
func appending(fields []authz.Header) []*corev3.HeaderValueOption {
	var result []*corev3.HeaderValueOption
	for _, field := range fields {
		result = append(result, option(field.Name, field.Value, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	return result
}

func option(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: text(strings.ToLower(name)), Value: text(value)},
		AppendAction: action,
	}
}

// removals are the names to remove, each once, and none that is set: Envoy removes
// after it sets.
func removals(names []string, set []*corev3.HeaderValueOption) []string {
	done := make(map[string]bool, len(names)+len(set))
	for _, field := range set {
		done[field.Header.Key] = true
	}
	var result []string
	for _, name := range names {
		name = text(strings.ToLower(name))
		if !done[name] {
			done[name] = true
			result = append(result, name)
		}
	}
	return result
}

// queryParameters encode what would end a parameter or the query, since Envoy
// writes them into the path as they are, or, under validate_mutations, answers 500
// to all that is not unreserved. What the policy has encoded stays so.
func queryParameters(fields []authz.Header) []*corev3.QueryParameter {
	var result []*corev3.QueryParameter
	for _, field := range fields {
		result = append(result, &corev3.QueryParameter{
			Key:   encode(field.Name, func(c byte) bool { return c == '=' || endsParameter(c) }),
			Value: encode(field.Value, endsParameter),
		})
	}
	return result
}

func endsParameter(c byte) bool {
	return c <= 0x20 || c >= 0x7f || c == '&' || c == '#'
}

// text is s with U+FFFD for what is not UTF-8: protobuf refuses to send that, and
// Envoy would be answered with an error.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
