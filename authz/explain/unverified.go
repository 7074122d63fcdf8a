package explain

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Limits on what is read of a token that was refused.
const (
	maxUnverified = 16 << 10
	maxDepth      = 16
	maxClaim      = 256
)

// unverified tells what a refused token says of itself, which anybody may have
// written: without its exp nobody can tell why it is expired.
func unverified(w *words, request *authz.Request, now time.Time) {
	value, _ := request.Headers.Value("authorization")
	_, credential, _ := strings.Cut(value, " ")
	segments := strings.Split(credential, ".")
	if len(segments) != 3 || len(credential) > maxUnverified {
		return
	}
	header, claims := object(segments[0]), object(segments[1])
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

// object is nil where a part of a token is no object in base64url.
func object(segment string) map[string]any {
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return nil
	}
	value, err := authz.ParseJSON(text, maxDepth)
	if err != nil {
		return nil
	}
	found, _ := value.(map[string]any)
	return found
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
