package standards

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// vectors are a file of Wycheproof's.
type vectors struct {
	Groups []struct {
		Comment         string
		Private, Public json.RawMessage
		Tests           []vector
	} `json:"testGroups"`
}

// vector is one case. It has JWS or JWE, either of which may be in the JSON serialisation.
type vector struct {
	ID       int `json:"tcId"`
	Comment  string
	JWS, JWE json.RawMessage
	Result   string
	Flags    []string
}

// readVectors reads a file of which it is known how many cases it has.
func readVectors(t *testing.T, file string, count int) vectors {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	var read vectors
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, group := range read.Groups {
		cases += len(group.Tests)
	}
	if cases != count {
		t.Fatalf("%s has %d cases, want %d", file, cases, count)
	}
	return read
}

// text is a vector's token: a text, or an object's text.
func text(raw json.RawMessage) string {
	var compact string
	if json.Unmarshal(raw, &compact) != nil {
		return string(raw)
	}
	return compact
}

// anySize is above all of Wycheproof's: their limits are the verifier's to say.
const anySize = 1 << 20

// parseForeign takes apart a JWS whose payload is no JSON, as Wycheproof's are: the
// header and the signature are parsed beside another payload, and the signature is over
// the vector's own.
func parseForeign(compact string) (*jose.Compact, error) {
	parts := strings.SplitN(compact, ".", 3)
	if len(parts) != 3 {
		return jose.Parse(compact, anySize)
	}
	if _, err := jose.Decode(parts[1]); err != nil {
		return nil, err
	}
	parsed, err := jose.Parse(parts[0]+".e30."+parts[2], anySize)
	if err != nil {
		return nil, err
	}
	parsed.Signed = parts[0] + "." + parts[1]
	return parsed, nil
}

// publish is a set of one key, or the set that the text is.
func publish(t *testing.T, key json.RawMessage) *jwks.Set {
	t.Helper()
	if !strings.Contains(string(key), `"keys"`) {
		key = json.RawMessage(`{"keys":[` + string(key) + `]}`)
	}
	set, err := jwks.ParseSet(key)
	if err != nil {
		return nil
	}
	return set
}

// verifies takes any algorithm, with the key that an issuer's set has for the header.
func verifies(set *jwks.Set, compact string) bool {
	parsed, err := parseForeign(compact)
	if err != nil || set == nil {
		return false
	}
	key := set.Find(parsed.KeyID, parsed.Algorithm)
	return key != nil && parsed.Verify(key.Public) == nil
}

// Why some of what Wycheproof calls valid is refused.
const (
	isMAC     = "a MAC: whoever can verify one can make one"
	otherAlgo = "the key says that it is for another algorithm than the header's (RFC 7515 §4.1.1)"
)

// refusedSignatures are the cases of the signatures that are labelled valid.
var refusedSignatures = map[int]string{
	1: isMAC, 348: isMAC, 352: isMAC, 357: isMAC, 358: isMAC, 359: isMAC, 376: isMAC, 377: isMAC,
	// Their comments say that a character was inserted, which RFC 7515 §5.2 has refused
	// whatever the algorithm: TestWycheproofsMislabelledCases.
	372: isMAC, 373: isMAC,
	346: otherAlgo, 347: otherAlgo, 350: otherAlgo, 351: otherAlgo,
}

func TestWycheproofSignatures(t *testing.T) {
	wantVerified(t, readVectors(t, "json_web_signature_test.json", 401), refusedSignatures)
}

// TestWycheproofKeys has weak, mistaken and ambiguous keys. Case 1 has a set of symmetric
// and public keys, and case 4 two keys of one kid: both are called invalid, and FAPI
// (2.0 §5.4.3) would have keys told apart by what else they say. Here neither can be
// verified in any case: a symmetric key is no key.
func TestWycheproofKeys(t *testing.T) {
	wantVerified(t, readVectors(t, "json_web_key_test.json", 26), map[int]string{2: isMAC, 13: isMAC, 14: isMAC, 15: isMAC})
}

// TestWycheproofMixture has signatures, keys and, from case 50 on, what is encrypted.
func TestWycheproofMixture(t *testing.T) {
	wantVerified(t, readVectors(t, "json_web_crypto_test.json", 83), map[int]string{1: isMAC, 48: isMAC, 50: isEncrypted, 67: isEncrypted})
}

const isEncrypted = "an encrypted token (J2)"

// wantVerified verifies all cases: what is valid is accepted but for those refused.
func wantVerified(t *testing.T, read vectors, refused map[int]string) {
	t.Helper()
	for _, group := range read.Groups {
		key := group.Public
		if key == nil {
			key = group.Private
		}
		set := publish(t, key)
		for _, each := range group.Tests {
			compact := text(each.JWS)
			if each.JWE != nil {
				compact = text(each.JWE)
			}
			why, listed := refused[each.ID]
			if listed && each.Result != "valid" {
				t.Errorf("case %d is listed (%s), and not labelled valid", each.ID, why)
			}
			if got, want := verifies(set, compact), each.Result == "valid" && !listed; got != want {
				t.Errorf("case %d of %s (%s, %q): verified %v, want %v (%s)", each.ID, group.Comment, each.Comment, each.Flags, got, want, why)
			}
		}
	}
}

// TestWycheproofsOtherAlgorithm holds that nothing but the key's own word keeps those
// from being verified.
func TestWycheproofsOtherAlgorithm(t *testing.T) {
	for _, group := range readVectors(t, "json_web_signature_test.json", 401).Groups {
		for _, each := range group.Tests {
			if refusedSignatures[each.ID] != otherAlgo {
				continue
			}
			value, err := authz.ParseJSON(group.Public, 4)
			if err != nil {
				t.Fatal(err)
			}
			key := jose.ParseKey(value.(map[string]any))
			parsed, err := parseForeign(text(each.JWS))
			if err != nil || key == nil {
				t.Fatalf("case %d: key %v, %v", each.ID, key, err)
			}
			if err := parsed.Verify(key.Public); err != nil {
				t.Errorf("case %d: Verify() = %v", each.ID, err)
			}
		}
	}
}

// TestWycheproofsMislabelledCases holds cases 372 and 373, which are labelled valid, to
// be refused for their form, and not for their algorithm alone: RFC 7515 §5.2 has a
// token refused whose base64url holds another character. What JSON itself lets stand in
// a header, as in 376 and 377, is no fault.
func TestWycheproofsMislabelledCases(t *testing.T) {
	wellFormed := map[int]bool{357: true, 372: false, 373: false, 376: true, 377: true}
	for _, group := range readVectors(t, "json_web_signature_test.json", 401).Groups {
		for _, each := range group.Tests {
			want, named := wellFormed[each.ID]
			if _, err := parseForeign(text(each.JWS)); named && (err == nil) != want {
				t.Errorf("case %d (%s): %v, want well-formed %v", each.ID, each.Comment, err, want)
			}
		}
	}
}

// TestWycheproofEncryption holds that no encrypted token is even taken apart (J2).
func TestWycheproofEncryption(t *testing.T) {
	for _, group := range readVectors(t, "json_web_encryption_test.json", 139).Groups {
		for _, each := range group.Tests {
			if parsed, err := jose.Parse(text(each.JWE), anySize); err == nil {
				t.Errorf("case %d of %s (%s): Parse() = %+v, want an error", each.ID, group.Comment, each.Comment, parsed)
			}
		}
	}
}
