package token

import (
	"fmt"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// maxText bounds claims that become header values and keys.
const maxText = 256

// claims are those that mean something here, typed. Times are zero where absent.
type claims struct {
	audiences    []string
	issuedAt     time.Time
	expiresAt    time.Time
	notBefore    time.Time
	authTime     time.Time
	acr          string
	amr          []string
	details      details
	environment  string
	confirmation confirmation
	caller       authz.Caller
}

// readClaims reads the claims of a verified token (RFC 9068 §2.2). Its error wraps
// authz.TokenClaims: one that is required is absent, or one is of the wrong type.
func readClaims(payload map[string]any, issuer *issuer) (*claims, error) {
	r := &reader{claims: payload}
	r.need("exp", "aud", "sub", "client_id", "iat", "jti")
	for _, name := range []string{"jti", "sub", "client_id"} {
		r.text(name)
	}
	c := &claims{
		audiences: r.texts("aud"),
		issuedAt:  r.moment("iat"),
		expiresAt: r.moment("exp"),
		notBefore: r.moment("nbf"),
		authTime:  r.moment("auth_time"),
		acr:       r.string("acr"),
		amr:       r.array("amr"),
		details:   readDetails(payload),
	}
	c.environment = r.mapped(issuer.names.Environment)
	c.confirmation = r.confirmation()
	c.caller = r.caller(issuer)
	// Nobody authenticates after the token that tells of it was issued; taken at its
	// word, such a time would satisfy every step-up.
	if c.authTime.After(c.issuedAt.Add(issuer.skew)) {
		r.fault("auth_time", "is after iat")
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// token is the claims as the steps after this one know them.
func (c *claims) token(payload map[string]any, issuer *issuer) *authz.Token {
	return &authz.Token{
		Caller:    c.caller,
		Issuer:    issuer.name,
		Claims:    payload,
		IssuedAt:  c.issuedAt,
		ExpiresAt: c.expiresAt,
		AuthTime:  c.authTime,
		ACR:       c.acr,
		AMR:       c.amr,
		Bindings:  c.confirmation.bindings(),

		Details:      c.details.all,
		DetailsDoubt: c.details.doubt,
		Environment:  c.environment,
		Addresses:    issuer.lifecycle.addresses[c.caller.Client],
	}
}

// reader reads claims and keeps the first fault. What it returns after a fault
// means nothing.
type reader struct {
	claims map[string]any
	err    error
}

// fault names the claim, never its value.
func (r *reader) fault(name, what string) {
	if r.err == nil {
		r.err = fmt.Errorf("token: %w: %s %s", authz.TokenClaims, name, what)
	}
}

func (r *reader) need(names ...string) {
	for _, name := range names {
		if _, there := r.claims[name]; !there {
			r.fault(name, "is absent")
		}
	}
}

// string is the claim, or "" where it is absent.
func (r *reader) string(name string) string {
	value, there := r.claims[name]
	text, ok := value.(string)
	if there && !ok {
		r.fault(name, "is no string")
	}
	return text
}

// text is a claim that may stand in a header, or "" where it is absent.
func (r *reader) text(name string) string {
	text := r.string(name)
	if _, there := r.claims[name]; there && !isText(text) {
		r.fault(name, "is not 1 to 256 printable ASCII characters")
	}
	return text
}

// array is an array of strings, or nil where the claim is absent.
func (r *reader) array(name string) []string {
	value, there := r.claims[name]
	if !there {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		r.fault(name, "is no array")
	}
	texts := make([]string, 0, len(list))
	for _, element := range list {
		text, ok := element.(string)
		if !ok {
			r.fault(name, "holds what is no string")
		}
		texts = append(texts, text)
	}
	return texts
}

// texts is a string or an array of strings, as aud is (RFC 7519 §4.1.3).
func (r *reader) texts(name string) []string {
	if text, ok := r.claims[name].(string); ok {
		return []string{text}
	}
	return r.array(name)
}

// words is a space-delimited string, as scope is (RFC 6749 §3.3), or nil where the
// claim is absent.
func (r *reader) words(name string) []string {
	text := r.string(name)
	if text == "" {
		return nil
	}
	var words []string
	for word := range strings.SplitSeq(text, " ") {
		if word != "" {
			words = append(words, word)
		}
	}
	return words
}

// moment is a NumericDate (RFC 7519 §2), or the zero time where it is absent.
func (r *reader) moment(name string) time.Time {
	value, there := r.claims[name]
	if !there {
		return time.Time{}
	}
	moment, ok := jose.Time(value)
	if !ok {
		r.fault(name, "is no time")
	}
	return moment
}

// isText reports a value that is fit for a header: printable ASCII, not empty, and
// not too long.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}
