package explain

import (
	"encoding/json"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// maxClaim bounds what is told of one claim.
const maxClaim = 256

// Said reads what a token says of itself, which anybody may have written: nil maps where it
// cannot be read.
type Said func(*authz.Request) (header, claims map[string]any)

// unverified tells what a refused token says of itself: without its exp nobody can tell
// why it is expired.
func (t *telling) unverified(w *words) {
	if t.said == nil {
		return
	}
	now := t.facts.Time
	header, claims := t.said(t.facts.Request)
	for _, name := range []string{"typ", "alg", "kid"} {
		w.say("unverified "+name, claim(header[name])...)
	}
	for _, name := range []string{"iss", "aud"} {
		w.say("unverified "+name, claim(claims[name])...)
	}
	for _, name := range []string{"iat", "nbf", "exp"} {
		w.say("unverified "+name, moment(claims[name], now)...)
	}
	if confirmation, bound := claims["cnf"].(map[string]any); bound {
		for _, name := range []string{"x5t#S256", "jkt"} {
			w.say("unverified "+name, claim(confirmation[name])...)
		}
	}
}

// claim is a string, or the strings of an array.
func claim(value any) []string {
	list, many := value.([]any)
	if !many {
		list = []any{value}
	}
	var values []string
	for _, element := range list {
		if text, ok := element.(string); ok && len(text) <= maxClaim {
			values = append(values, text)
		}
	}
	return values
}

// moment is a NumericDate (RFC 7519 §2) in whole seconds.
func moment(value any, now time.Time) []string {
	number, _ := value.(json.Number)
	seconds, err := number.Int64()
	if err != nil {
		return nil
	}
	return when(time.Unix(seconds, 0), now)
}
