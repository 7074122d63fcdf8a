package standards

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz/token/jose"
)

// TestCriticalOfRFC7515 takes the token of Appendix E, which nobody may accept: an
// extension is critical that nobody knows. It is refused for that, and not for being
// unsigned: the same header without it is taken apart.
func TestCriticalOfRFC7515(t *testing.T) {
	const example = "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA."
	if parsed, err := parseForeign(example); err == nil {
		t.Errorf("parseForeign() = %+v, want an error", parsed)
	}
	header := string(must(jose.Decode(strings.Split(example, ".")[0])))
	if !strings.Contains(header, `"crit":["http://example.com/UNDEFINED"]`) {
		t.Fatalf("the header is %s", header)
	}
	without := strings.Replace(header, "crit", "tirc", 1)
	if _, err := parseForeign(encode([]byte(without)) + ".RkFJTA."); err != nil {
		t.Errorf("without crit: %v", err)
	}
}

// TestEd25519OfRFC8037 takes the key, the thumbprint and the signature of Appendix A.2,
// A.3 and A.4.
func TestEd25519OfRFC8037(t *testing.T) {
	const (
		key        = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
		signed     = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
			"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	)
	var members object
	if err := json.Unmarshal([]byte(key), &members); err != nil {
		t.Fatal(err)
	}
	digest := jose.ParseKey(members).Thumbprint
	if got := encode(digest[:]); got != thumbprint {
		t.Errorf("the thumbprint is %s, want %s", got, thumbprint)
	}
	set := publish(t, json.RawMessage(key))
	if !verifies(set, signed) {
		t.Error("the signature is not verified")
	}
	if verifies(set, strings.Replace(signed, ".RXh", ".RXg", 1)) {
		t.Error("the signature is verified for another payload")
	}
}
