package explain

import (
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// FuzzCredentialsAreHidden holds that nothing of a token's stays that is long enough to be
// known by, wherever it stands in a text.
func FuzzCredentialsAreHidden(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl", "a ", " b", 3)
	f.Add("0123456789abcdefé0123456789", "é", "\xff", 17)
	f.Fuzz(func(t *testing.T, token, before, after string, from int) {
		if strings.ContainsAny(token, " \t,;=\"[]\uFFFD") || len(token) < shortest {
			return
		}
		c := credentialsOf(&authz.Request{Headers: authz.Headers{{Name: "authorization", Value: "Bearer " + token}}})
		part := token[max(0, min(from, len(token)-shortest)):]
		told := c.hide(before + part + after)
		for i := 0; i+shortest <= len(token); i++ {
			if strings.Contains(told, token[i:i+shortest]) {
				t.Errorf("hide(%q) = %q, which tells %q", before+part+after, told, token[i:i+shortest])
			}
		}
	})
}
