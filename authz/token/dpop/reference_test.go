package dpop

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// FuzzSigned proves that of what the holder signs, whatever it is, nothing is accepted
// that a plain reading of RFC 9449 §4.3 refuses: the reference below, which shares
// nothing with the verifier.
func FuzzSigned(f *testing.F) {
	header := string(must(json.Marshal(goodHeader("ES256"))))
	f.Add(header, string(must(json.Marshal(goodClaims()))))
	for _, change := range []object{
		with(goodClaims(), "htu", "HTTPS://API.BANK.EXAMPLE:443/x/../%61ccounts/22289?y#z"), with(goodClaims(), "htm", "get"),
		with(goodClaims(), "iat", now.Unix()-61), with(goodClaims(), "exp", 1), with(goodClaims(), "nbf", 4e9), with(goodClaims(), "ath", absent),
		with(goodClaims(), "htu", "https://api.bank.example@evil.example/accounts/22289"),
	} {
		f.Add(header, string(must(json.Marshal(change))))
	}
	f.Add(string(must(json.Marshal(with(goodHeader("ES256"), "crit", []string{"x"})))), string(must(json.Marshal(goodClaims()))))
	if fault := faultOf(header, string(must(json.Marshal(goodClaims())))); fault != "" {
		f.Fatalf("a good proof's %s", fault)
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		_, err := New(goodConfig(), nil, &fakeReplays{}).Verify(t.Context(), call(signParts(header, claims, "ES256")))
		if fault := faultOf(header, claims); err == nil && fault != "" {
			t.Errorf("Verify() accepted %s . %s, whose %s", header, claims, fault)
		}
		if err != nil && (authz.ReasonOf(err) < authz.ProofMissing || authz.ReasonOf(err) > authz.ProofKey) {
			t.Errorf("Verify() = %v, want a reason", err)
		}
	})
}

// faultOf says what is wrong with a proof that the ES256 key signed, or "".
func faultOf(headerText, claimsText string) string {
	var header, claims object
	if json.Unmarshal([]byte(headerText), &header) != nil || json.Unmarshal([]byte(claimsText), &claims) != nil {
		return "text is no JSON object"
	}
	kind, _ := header["typ"].(string)
	key, _ := header["jwk"].(object)
	id, _ := claims["jti"].(string)
	htu, _ := claims["htu"].(string)
	_, critical := header["crit"]
	second := float64(now.Unix())
	made, _ := claims["iat"].(float64)
	expires, ends := claims["exp"].(float64)
	begins, _ := claims["nbf"].(float64)
	switch own := jwk(keyFor("ES256")); {
	case header["alg"] != "ES256" || key["x"] != own["x"] || key["y"] != own["y"] || key["d"] != nil:
		return "key is another, or shows more than it must"
	case critical || strings.TrimPrefix(strings.ToLower(kind), "application/") != "dpop+jwt":
		return "type is another"
	case id == "" || claims["htm"] != "GET" || claims["ath"] != goodClaims()["ath"] || !isHere(htu):
		return "claims are another request's"
	// A nanosecond is the least that is told apart.
	case made < second-60-1e-9 || made > second+10+1e-9 || ends && expires+10 <= second || begins > second+10+1e-9:
		return "time is not now"
	}
	return ""
}

// isHere reports the URL of call, by the standard library's reading of it.
func isHere(htu string) bool {
	parsed, err := url.Parse(htu)
	if err != nil || parsed.User != nil || parsed.Scheme != "https" || parsed.Port() != "" && parsed.Port() != "443" {
		return false
	}
	host := strings.ToLower(parsed.Hostname())
	return (host == "api.bank.example" || host == "other.example") && parsed.JoinPath().Path == "/accounts/22289"
}
