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
// 9449 §7.1). The other two places that RFC 6750 has, form and query, are not looked into
// but to refuse a token in the query (FAPI 2.0 §5.3.4): it stands in logs by then.
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
	switch {
	// Envoy joins fields of one name by a comma, which no credential here holds.
	case count > 1 || strings.Contains(value, ","):
		return credential{}, fmt.Errorf("credentials: %w: more than one Authorization", authz.RepeatedCredentials)
	case count == 1 && queried:
		return credential{}, fmt.Errorf("credentials: %w: in header and query", authz.RepeatedCredentials)
	case queried:
		return credential{}, fmt.Errorf("credentials: %w: in the query", authz.MalformedCredentials)
	case count == 0:
		return credential{}, fmt.Errorf("credentials: %w", authz.NoCredentials)
	}
	return parseCredential(value)
}

// parseCredential reads ( "Bearer" / "DPoP" ) 1*SP token68 (RFC 9110 §11.4).
func parseCredential(value string) (credential, error) {
	scheme, token, _ := strings.Cut(value, " ")
	proven := strings.EqualFold(scheme, "DPoP")
	switch {
	case !isScheme(scheme):
		return credential{}, fmt.Errorf("credentials: %w: no scheme", authz.MalformedCredentials)
	case !proven && !strings.EqualFold(scheme, "Bearer"):
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

// tokenInQuery reports a parameter access_token in the target's query (RFC 6750
// §2.3), however it is encoded. A query that cannot be decoded was refused before.
func tokenInQuery(target string) bool {
	_, query, _ := strings.Cut(target, "?")
	if !strings.Contains(query, "access_token") && !strings.Contains(query, "%") {
		return false
	}
	values, _ := url.ParseQuery(query)
	return values.Has("access_token")
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
		if !isAlphanumeric(s[i]) && !strings.Contains("-._~+/", s[i:i+1]) {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}
