package token

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// FuzzSigned proves that of what the issuer signs, whatever it is, nothing is accepted
// that a plain reading of RFC 9068 refuses: the reference below, which shares nothing
// with the verifier.
func FuzzSigned(f *testing.F) {
	verifier := newVerifier(f, goodConfig(), newFakeKeys(allKeys()...))
	header, claims := string(marshal(goodHeader())), string(marshal(goodClaims()))
	f.Add(header, claims)
	for _, change := range []object{
		with(goodClaims(), "aud", []string{"x", audience}, "act", object{"sub": "agent"}, "acr", "1", "amr", []string{"pwd"}),
		with(goodClaims(), "exp", 1.5e9), with(goodClaims(), "nbf", 4e9), with(goodClaims(), "cnf", object{"jkt": jkt()}),
		with(goodClaims(), "scope", absent), with(goodClaims(), "sub", "acme"), with(goodClaims(), "auth_time", now.Unix()),
	} {
		f.Add(header, string(marshal(change)))
	}
	for _, change := range []object{with(goodHeader(), "crit", []string{"x"}), with(goodHeader(), "typ", "JWT"), with(goodHeader(), "kid", absent)} {
		f.Add(string(marshal(change)), claims)
	}
	f.Add(header, claims[:len(claims)-1]+`,"sub":"bob"}`)
	if fault := faultOf(header, claims); fault != "" {
		f.Fatalf("a good token's %s", fault)
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		input := encode([]byte(header)) + "." + encode([]byte(claims))
		_, err := verify(verifier, input+"."+encode(signature("ES256", keyFor("ES256"), input)))
		if fault := faultOf(header, claims); err == nil && fault != "" {
			t.Errorf("Verify() accepted %s . %s, whose %s", header, claims, fault)
		}
		if err != nil && authz.ReasonOf(err) == authz.Internal {
			t.Errorf("Verify() = %v, want a reason", err)
		}
	})
}

// faultOf says what is wrong with a token that the ES256 key signed, or "".
func faultOf(headerText, claimsText string) string {
	var header, claims object
	if repeats(headerText) || repeats(claimsText) || json.Unmarshal([]byte(headerText), &header) != nil || json.Unmarshal([]byte(claimsText), &claims) != nil {
		return "text is no JSON object, or has a name twice"
	}
	for _, name := range []string{"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip"} {
		if _, there := header[name]; there {
			return "header has " + name
		}
	}
	for _, name := range []string{"sub", "client_id", "jti"} {
		if text, _ := claims[name].(string); text == "" {
			return name + " is no text"
		}
	}
	kid, named := header["kid"]
	kind, _ := header["typ"].(string)
	audiences, _ := claims["aud"].([]any)
	_, bound := claims["cnf"]
	second := float64(now.Unix())
	// A nanosecond is the least that is told apart.
	least, most := second-10, second+10+1e-9
	switch {
	case header["alg"] != "ES256" || named && kid != "ES256":
		return "key is another"
	case !slices.Contains([]string{"at+jwt", "application/at+jwt"}, strings.ToLower(kind)):
		return "type is another"
	case claims["iss"] != issuerName || claims["aud"] != audience && !slices.Contains(audiences, any(audience)):
		return "issuer or audience is another"
	case !between(claims, "exp", least, 1<<53) || !between(claims, "iat", 0, most):
		return "time is not now"
	case claims["nbf"] != nil && !between(claims, "nbf", 0, most):
		return "time is to come"
	case bound:
		return "binding is not satisfied"
	}
	return ""
}

// between reports a number that is above the one and not above the other.
func between(claims object, name string, above, most float64) bool {
	number, ok := claims[name].(float64)
	return ok && (number > above || above == 0 && number == 0) && number <= most
}

// repeats reports what is not one JSON value, or has an object with a name twice.
func repeats(text string) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	if !valueOnce(decoder) {
		return true
	}
	_, err := decoder.Token()
	return err != io.EOF
}

// valueOnce reads a value in which no object has a name twice.
func valueOnce(decoder *json.Decoder) bool {
	token, err := decoder.Token()
	delimiter, opens := token.(json.Delim)
	if err != nil || !opens {
		return err == nil
	}
	seen := map[string]bool{}
	for decoder.More() {
		if delimiter == '{' {
			name, err := decoder.Token()
			text, isText := name.(string)
			if err != nil || !isText || seen[text] {
				return false
			}
			seen[text] = true
		}
		if !valueOnce(decoder) {
			return false
		}
	}
	_, err = decoder.Token()
	return err == nil
}
