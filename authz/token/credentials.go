package token

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// credential is an access token as it was sent.
type credential struct {
	token string
	// proven says that the scheme is DPoP: the token is bound to a key, and a proof comes
	// with it (RFC 9449 §7.1).
	proven bool
}

// credentialOf returns the access token of the Authorization header (RFC 6750 §2.1, RFC
// 9449 §7.1). The other two places that RFC 6750 has, form and query, are looked into
// only to refuse a token there (FAPI 1.0 Baseline §6.2.1, FAPI 2.0 §5.3.4): one in a query
// stands in logs by then, and an upstream may take either.
//
// Its error wraps authz.NoCredentials, UnsupportedScheme, MalformedCredentials or
// RepeatedCredentials.
func credentialOf(request *authz.Request) (credential, error) {
	value, count := "", 0
	for v := range request.Headers.Values("authorization") {
		value = v
		count++
	}
	queried := tokenInQuery(request.Target)
	posted := tokenInForm(request)
	switch {
	case count > 1 || joined(value):
		return credential{}, fmt.Errorf("credentials: %w: more than one Authorization", authz.RepeatedCredentials)
	case count == 1 && (queried || posted), queried && posted:
		return credential{}, fmt.Errorf("credentials: %w: in two of header, query and form", authz.RepeatedCredentials)
	case queried:
		return credential{}, fmt.Errorf("credentials: %w: in the query", authz.MalformedCredentials)
	case posted:
		return credential{}, fmt.Errorf("credentials: %w: in a form", authz.MalformedCredentials)
	case count == 0:
		return credential{}, fmt.Errorf("credentials: %w", authz.NoCredentials)
	}
	return parseCredential(value)
}

// parseCredential reads ( "Bearer" / "DPoP" ) 1*SP token68 (RFC 9110 §11.4).
func parseCredential(value string) (credential, error) {
	scheme, token, _ := strings.Cut(value, " ")
	proven := strings.EqualFold(scheme, dpopScheme)
	switch {
	case !isScheme(scheme):
		return credential{}, fmt.Errorf("credentials: %w: no scheme", authz.MalformedCredentials)
	case !isOurs(scheme):
		return credential{}, fmt.Errorf("credentials: %w", authz.UnsupportedScheme)
	}
	token = strings.TrimLeft(token, " ")
	if len(token) > maxToken {
		return credential{}, fmt.Errorf("credentials: %w: over %d bytes", authz.TokenTooLarge, maxToken)
	}
	if !isToken68(token) {
		return credential{}, fmt.Errorf("credentials: %w: not a token68", authz.MalformedCredentials)
	}
	return credential{token: token, proven: proven}, nil
}

// The schemes that carry access tokens. Their names have no case (RFC 9110 §11.1).
const (
	bearerScheme = "Bearer"
	dpopScheme   = "DPoP"
)

func isOurs(scheme string) bool {
	return strings.EqualFold(scheme, bearerScheme) || strings.EqualFold(scheme, dpopScheme)
}

// joined reports what may be several fields, one of them ours: Envoy joins those of one
// name by a comma, which no credential of ours holds. Those of other schemes may.
func joined(value string) bool {
	if !strings.Contains(value, ",") {
		return false
	}
	for part := range strings.SplitSeq(value, ",") {
		scheme, _, _ := strings.Cut(strings.Trim(part, " \t"), " ")
		if isOurs(scheme) {
			return true
		}
	}
	return false
}

// tokenInQuery reports a parameter access_token in the target's query (RFC 6750 §2.3).
// A query that cannot be decoded was refused before.
func tokenInQuery(target string) bool {
	_, query, _ := strings.Cut(target, "?")
	return namesToken(query)
}

// tokenInForm reports a parameter access_token in a form (RFC 6750 §2.2), as far as Envoy
// sent the body. A content type that is repeated is a form's if one of them is.
func tokenInForm(request *authz.Request) bool {
	for value := range request.Headers.Values("content-type") {
		if strings.Contains(strings.ToLower(value), "application/x-www-form-urlencoded") {
			return namesToken(string(request.Body))
		}
	}
	return false
}

// namesToken reports a parameter access_token, however it is encoded. Old servers take a
// semicolon for an ampersand.
func namesToken(parameters string) bool {
	if !strings.Contains(parameters, "access_token") && !strings.Contains(parameters, "%") {
		return false
	}
	for parameter := range strings.FieldsFuncSeq(parameters, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(parameter, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && decoded == "access_token" {
			return true
		}
	}
	return false
}

// isScheme reports an auth-scheme made of letters, digits and hyphens, as all
// registered ones are (RFC 9110 §16.4.1).
func isScheme(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return s != ""
}

// isToken68 reports 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
// (RFC 9110 §11.2).
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !inToken68[s[i]] {
			return false
		}
	}
	return s != ""
}

// inToken68 are the characters of a token68, as a table: each byte of each token is looked up.
var inToken68 = func() (table [256]bool) {
	for c := range table {
		table[c] = isAlphanumeric(byte(c)) || strings.IndexByte("-._~+/", byte(c)) >= 0
	}
	return table
}()

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}
