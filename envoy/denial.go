package envoy

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// problemType begins a problem's type. With RFC 9457's about:blank the title would
// have to be the status's own phrase (§4.2.1), and could not say what is wrong.
const problemType = "urn:countersign:reason:"

// problem is a denial's body (RFC 9457 §3). It tells the caller nothing but the
// reason's code and where to find the decision; the detail is for the record.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Code       string `json:"code"`
	DecisionID string `json:"decision_id"`
}

// denied is the caller's answer.
func denied(request *authz.Request, d *authz.Decision, realm string) *authv3.DeniedHttpResponse {
	status := d.Status()
	contentType, body := denialBody(d, status)
	if request.Method == http.MethodHead {
		body = ""
	}
	fields := []authz.Header{{Name: "cache-control", Value: "no-store"}, {Name: "content-type", Value: contentType}}
	if status == http.StatusMethodNotAllowed {
		// RFC 9110 §10.2.1: the field must be there, though it may be empty.
		fields = append(fields, authz.Header{Name: "allow", Value: strings.Join(d.Methods, ", ")})
	}
	if status == http.StatusServiceUnavailable {
		fields = append(fields, authz.Header{Name: "retry-after", Value: "1"})
	}
	if status == http.StatusTooManyRequests && d.Reason == authz.LimitReached {
		fields = append(append(fields, authz.Header{Name: "retry-after", Value: retryAfter(d)}), quota(d)...)
	}
	fields = overridden(fields, policyHeaders(d))
	for _, value := range challenges(request, d, status, realm) {
		fields = append(fields, authz.Header{Name: "www-authenticate", Value: value})
	}
	nonce := nextNonce(d, status)
	if nonce != "" || status == http.StatusTooManyRequests {
		// A nonce that was kept for others would be stale for them (RFC 9449 §8.2), and a
		// 429 must not be kept at all (RFC 6585 §4), whatever the policy says.
		fields = overridden(fields, []authz.Header{{Name: "cache-control", Value: "no-store"}})
	}
	if nonce != "" {
		fields = append(fields, authz.Header{Name: nonceHeader, Value: nonce})
	}
	if d.InteractionID != "" {
		fields = overridden(fields, []authz.Header{{Name: authz.InteractionHeader, Value: d.InteractionID}})
	}
	fields = append(fields, exposed(d)...)
	return &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(status)},
		Headers: appending(fields),
		Body:    body,
	}
}

func denialBody(d *authz.Decision, status int) (contentType, body string) {
	if d.Verdict.Reply.Body != "" {
		return "text/plain; charset=utf-8", text(d.Verdict.Reply.Body)
	}
	// Strings and a number always marshal.
	encoded, _ := json.Marshal(problem{
		Type:       problemType + d.Code(),
		Title:      d.Reason.Title(),
		Status:     status,
		Code:       d.Code(),
		DecisionID: d.ID.String(),
	})
	return "application/problem+json", string(encoded)
}

// policyHeaders are the policy's for the caller. The content type is the policy's
// to say only of a body of its own.
func policyHeaders(d *authz.Decision) []authz.Header {
	var fields []authz.Header
	for _, field := range d.Verdict.Reply.Headers {
		name := strings.ToLower(field.Name)
		if name != "content-type" || d.Verdict.Reply.Body != "" {
			fields = append(fields, authz.Header{Name: name, Value: field.Value})
		}
	}
	return fields
}

// overridden are the defaults that the policy did not set, and all that it did.
func overridden(defaults, policy []authz.Header) []authz.Header {
	set := make(map[string]bool, len(policy))
	for _, field := range policy {
		set[field.Name] = true
	}
	var fields []authz.Header
	for _, field := range defaults {
		if !set[field.Name] {
			fields = append(fields, field)
		}
	}
	return append(fields, policy...)
}
