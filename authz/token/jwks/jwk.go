package jwks

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz/token/jose"
)

// parseKey returns nil for a JWK that cannot be used to verify signatures.
func parseKey(members map[string]any) *Key {
	id, algorithm, ok := metadata(members)
	if !ok {
		return nil
	}
	parsed := jose.ParseKey(members)
	if parsed == nil {
		return nil
	}
	identity := sha256.Sum256([]byte(string(parsed.Thumbprint[:]) + algorithm + "\x00" + id))
	return &Key{ID: id, Algorithm: algorithm, Public: parsed.Public, identity: identity}
}

// metadata reads what a JWK says of its use (RFC 7517 §4.2 to §4.5). It is not ok
// where the key is not meant for verifying.
func metadata(members map[string]any) (id, algorithm string, ok bool) {
	for name, to := range map[string]*string{"kid": &id, "alg": &algorithm} {
		if value, there := members[name]; there {
			text, isText := value.(string)
			if !isText || text == "" || len(text) > jose.MaxKeyID {
				return "", "", false
			}
			*to = strings.Clone(text) // What is kept must not keep the whole set's text.
		}
	}
	// RFC 9864 §2.2 gives the one use of EdDSA that is taken here its own name.
	if algorithm == "Ed25519" {
		algorithm = "EdDSA"
	}
	if use, there := members["use"]; there && use != "sig" {
		return "", "", false
	}
	if operations, there := members["key_ops"]; there {
		list, isList := operations.([]any)
		if !isList || !slices.Contains(list, any("verify")) {
			return "", "", false
		}
	}
	return id, algorithm, true
}
