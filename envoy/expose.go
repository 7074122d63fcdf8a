package envoy

import (
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// ours are the fields of answers that tell a client what to do next, but those that
// scripts may read anyway. Which of them an answer has makes no difference: the list
// tells nothing.
var ours = strings.Join([]string{"WWW-Authenticate", "DPoP-Nonce", "Retry-After", "RateLimit-Policy", "RateLimit", "Allow", authz.InteractionHeader}, ", ")

// exposed lets scripts of other origins read them (Fetch's CORS protocol), where the
// contract has scripts. That their origin may read the answer at all is Envoy's to say.
func exposed(d *authz.Decision) []authz.Header {
	if !d.Answers.Browsers {
		return nil
	}
	return []authz.Header{{Name: "access-control-expose-headers", Value: ours}}
}
