package rego

import (
	"crypto/fips140"
	"strings"
	"testing"
)

// TestUnapprovedHashesAreRefusedWhereFIPSIsEnforced loads a policy that would panic there
// in every decision; elsewhere it is good.
func TestUnapprovedHashesAreRefusedWhereFIPSIsEnforced(t *testing.T) {
	for _, call := range []string{`crypto.md5("a")`, `crypto.sha1("a")`, `crypto.hmac.md5("a", "b")`, `crypto.hmac.sha1("a", "b")`} {
		_, err := New(Config{Path: write(t, map[string]string{"site.rego": "package countersign.site\n\ndeny contains \"x\" if " + call + " == \"b\"\n"})})
		want := call[:strings.Index(call, "(")] + " is not for policies: FIPS 140-3 is enforced"
		if refused := err != nil && strings.Contains(err.Error(), want); refused != fips140.Enforced() || err != nil && !refused {
			t.Errorf("New with %s = %v where FIPS 140-3 is enforced: %v", call, err, fips140.Enforced())
		}
	}
}
