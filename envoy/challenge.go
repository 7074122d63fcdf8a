package envoy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// The authentication schemes, as challenges name them.
const (
	bearer = "Bearer"
	dpop   = "DPoP"
)

// challenges are the values of WWW-Authenticate (RFC 6750 §3, RFC 9449 §7.1, RFC 9470
// §3), or none where the answer is not about authorization. A 401 always has one (RFC
// 9110 §15.5.2), for each scheme that the API takes; the error code, if there is one,
// is in that of the scheme that was used, which comes first. Each says where the API's
// metadata is (RFC 9728 §5.1).
func challenges(request *authz.Request, d *authz.Decision, status int, realm string) []string {
	failure := failureOf(d)
	switch {
	case status == http.StatusUnauthorized:
	case failure != "" && (status == http.StatusBadRequest || status == http.StatusForbidden):
	default:
		return nil
	}
	var values []string
	for _, scheme := range schemes(request, d) {
		value := scheme + ` realm="` + quotable(realm) + `"`
		// Of two credentials neither is the one that was used (RFC 9449 §7.2). Whoever
		// cannot write one is told of all that are taken.
		if len(values) == 0 || d.Reason == authz.RepeatedCredentials {
			value += failure
		} else if status != http.StatusUnauthorized && d.Reason != authz.MalformedCredentials {
			break
		}
		if scheme == dpop {
			value += parameter("algs", names(d.Proofs.Algorithms))
		}
		value += parameter("resource_metadata", quotable(d.Answers.Metadata))
		values = append(values, value)
	}
	return values
}

// schemes are those that the API takes, the one that the request used first. Of two it
// used neither, however Envoy sent them.
func schemes(request *authz.Request, d *authz.Decision) []string {
	switch {
	case d.Proofs == nil:
		return []string{bearer}
	case d.Reason == authz.RepeatedCredentials:
		return []string{bearer, dpop}
	}
	for value := range request.Headers.Values("authorization") {
		if used, _, _ := strings.Cut(value, " "); strings.EqualFold(used, dpop) {
			return []string{dpop, bearer}
		}
	}
	return []string{bearer, dpop}
}

// failureOf are a challenge's parameters that say what is wrong, or "" where no
// credentials were sent (RFC 6750 §3.1).
func failureOf(d *authz.Decision) string {
	code := d.Reason.OAuthError()
	if code == "" {
		return ""
	}
	text := parameter("error", code) + parameter("error_description", quotable(d.Reason.Title()))
	text += parameter("scope", names(d.Scopes))
	if stepUp := d.Verdict.StepUp; stepUp != nil {
		text += parameter("acr_values", names(stepUp.ACRValues))
		if stepUp.MaxAge > 0 {
			text += parameter("max_age", strconv.FormatInt(int64(stepUp.MaxAge/time.Second), 10))
		}
	}
	return text
}

// nextNonce is what the caller's next proof must hold, or "" where that need not be
// told: it goes with every 401 of an API that demands one, so that a client need not
// fail twice, and with other answers where the one that was used is soon refused.
func nextNonce(d *authz.Decision, status int) string {
	if d.Proofs != nil && status == http.StatusUnauthorized {
		return d.Proofs.Nonce
	}
	return d.NextNonce
}

func parameter(name, value string) string {
	if value == "" {
		return ""
	}
	return ", " + name + `="` + value + `"`
}

// quotable is s without what may not stand in error_description (RFC 6750 §3):
// controls, what is not ASCII, the quotation mark and the backslash.
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s)
}

// names is a list of scopes or ACR values. One that the grammar has no room for is
// left out: with characters taken away it would be another.
func names(values []string) string {
	var fit []string
	for _, value := range values {
		if value != "" && value == quotable(value) && !strings.Contains(value, " ") {
			fit = append(fit, value)
		}
	}
	return strings.Join(fit, " ")
}
