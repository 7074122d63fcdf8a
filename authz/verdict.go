package authz

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Outcome is Countersign's own reason for a verdict.
func (v *Verdict) Outcome() Reason {
	switch {
	case v.Allowed:
		return Granted
	case v.StepUp != nil:
		return StepUpRequired
	}
	return PolicyDenied
}

// Check refuses a verdict that could not be given to Envoy as it stands, before
// it is recorded, so that nothing can fail after "allowed" is on disk. Its error
// wraps PolicyError and names the field and the header, never a value.
func (v *Verdict) Check() error {
	if v.Reason != "" && !IsCode(v.Reason) {
		return fmt.Errorf("verdict: %w: reason is not [a-z0-9_]{1,64}", PolicyError)
	}
	if v.Allowed && v.StepUp != nil {
		return fmt.Errorf("verdict: %w: step_up with an allow", PolicyError)
	}
	if v.Reply.Status != 0 && !DenialStatus(v.Reply.Status) {
		return fmt.Errorf("verdict: %w: http_status %d cannot be sent with a denial", PolicyError, v.Reply.Status)
	}
	if err := v.checkLimits(); err != nil {
		return err
	}
	return v.Reply.checkHeaders(reserved)
}

// checkTickets refuses a ticket that is a name of the request's: it stands in records and in
// the log as it is, and names a case. A table that an operator wrote has none of them, but
// a policy may make one of its input.
func (f *Facts) checkTickets(tickets []string) error {
	for _, ticket := range tickets {
		if f.names(ticket) {
			return fmt.Errorf("verdict: %w: waived: a ticket is a name that the request has", PolicyError)
		}
	}
	return nil
}

// names reports the name of a person, a consent or an object that the facts hold, in any
// case of letters.
func (f *Facts) names(text string) bool {
	c := f.Caller()
	names := []string{string(c.Subject), string(c.Actor), string(c.Consent), f.Request.Address}
	for _, named := range f.Inspection.Objects {
		names = append(names, string(named.ID))
	}
	if f.Consent != nil {
		names = append(names, string(f.Consent.ID), string(f.Consent.Subject))
		for _, object := range f.Consent.Objects {
			names = append(names, string(object.ID))
		}
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, text) })
}

// CheckBare is Check for a PolicyOnly's verdict, which is answered bare: the challenge is
// the policy's then, and a refusal may look like a success, as it can with opa-envoy-plugin.
func (v *Verdict) CheckBare() error {
	if v.Reply.Status != 0 && !bareStatus(v.Reply.Status) {
		return fmt.Errorf("verdict: %w: http_status %d cannot be sent", PolicyError, v.Reply.Status)
	}
	return v.Reply.checkHeaders(framing)
}

// checkHeaders refuses names that are reserved, and whatever is no header.
func (r *Reply) checkHeaders(reserved func(name string) bool) error {
	for _, header := range r.Headers {
		if err := checkHeader("headers", header, reserved); err != nil {
			return err
		}
	}
	for _, header := range r.ResponseHeaders {
		if err := checkHeader("response_headers_to_add", header, reserved); err != nil {
			return err
		}
	}
	for _, name := range r.RemoveHeaders {
		if err := checkHeader("request_headers_to_remove", Header{Name: name}, reserved); err != nil {
			return err
		}
	}
	return nil
}

func checkHeader(field string, header Header, reserved func(name string) bool) error {
	name := strings.ReplaceAll(strings.ToLower(header.Name), "_", "-")
	if !isToken(name) {
		return fmt.Errorf("verdict: %w: %s: %q is no header name (RFC 9110 §5.1)", PolicyError, field, header.Name)
	}
	if reserved(name) {
		return fmt.Errorf("verdict: %w: %s: %q is not the policy's to change", PolicyError, field, header.Name)
	}
	if !isFieldValue(header.Value) {
		return fmt.Errorf("verdict: %w: %s: the value of %q is no header value (RFC 9110 §5.5)", PolicyError, field, header.Name)
	}
	return nil
}

// reserved names, with hyphens for underscores, which some servers take for the same,
// are framing, routing, Envoy's own, and what tells the upstream
// who calls.
func reserved(name string) bool {
	switch name {
	case "www-authenticate", "dpop-nonce", "ratelimit", "ratelimit-policy":
		return true
	}
	return strings.HasPrefix(name, "x-envoy-") || framing(name)
}

// framing names say where a message ends and whom it is for, or are our own.
func framing(name string) bool {
	switch name {
	case "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive":
		return true
	}
	return strings.HasPrefix(name, OwnHeaderPrefix)
}

// OwnHeaderPrefix begins the names of the headers by which Countersign tells an
// upstream what it verified. A client's own copies never reach the upstream.
const OwnHeaderPrefix = "x-countersign-"

// DenialStatus reports a status that a denial can be sent with: one that Envoy's API
// lists, and that does not mean success.
func DenialStatus(status int) bool {
	return status >= 300 && status <= 511 && status != http.StatusTeapot && status != http.StatusUnavailableForLegalReasons &&
		status != http.StatusTooEarly && status != 306 && http.StatusText(status) != ""
}

// bareStatus reports a status that an answer without an upstream can end with: an
// interim one (RFC 9110 §15.2) would leave the client waiting.
func bareStatus(status int) bool {
	return status >= 200 && status < 300 && http.StatusText(status) != "" || DenialStatus(status)
}

// IsCode reports a reason's code: [a-z0-9_]{1,64}.
func IsCode(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// isToken reports an RFC 9110 §5.6.2 token in lower case.
func isToken(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			continue
		}
		if !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

func isFieldValue(s string) bool {
	if strings.Trim(s, " \t") != s || len(s) > 8192 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '\t' && (c < 0x20 || c == 0x7f) {
			return false
		}
	}
	return true
}
