package envoy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// challenge is the value of WWW-Authenticate (RFC 6750 §3, RFC 9470 §3), or "" where
// the answer is not about authorization. A 401 always has one (RFC 9110 §15.5.2);
// without an error code where no credentials were sent (RFC 6750 §3.1).
func challenge(d *authz.Decision, status int, realm string) string {
	failure := d.Reason.OAuthError()
	switch {
	case status == http.StatusUnauthorized:
	case failure != "" && (status == http.StatusBadRequest || status == http.StatusForbidden):
	default:
		return ""
	}
	value := `Bearer realm="` + quotable(realm) + `"`
	if failure == "" {
		return value
	}
	value += parameter("error", failure) + parameter("error_description", quotable(d.Reason.Title()))
	value += parameter("scope", names(d.Scopes))
	if stepUp := d.Verdict.StepUp; stepUp != nil {
		value += parameter("acr_values", names(stepUp.ACRValues))
		if stepUp.MaxAge > 0 {
			value += parameter("max_age", strconv.FormatInt(int64(stepUp.MaxAge/time.Second), 10))
		}
	}
	return value
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
