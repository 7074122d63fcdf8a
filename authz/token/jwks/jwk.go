package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Bounds on RSA keys: FAPI 2.0 §5.4.1 has the lower, the upper bounds the work of
// one verification.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// privateMembers are never in a public key (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
// Whoever publishes one has lost the key.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseKey returns nil for a JWK that cannot be used to verify signatures.
func parseKey(members map[string]any) *Key {
	id, algorithm, ok := metadata(members)
	if !ok {
		return nil
	}
	for _, name := range privateMembers {
		if _, private := members[name]; private {
			return nil
		}
	}
	parsed := parsePublic(members)
	if parsed == nil {
		return nil
	}
	var public crypto.PublicKey
	if parsed.Raw(&public) != nil || !isSound(public, parsed) {
		return nil
	}
	thumbprint, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil
	}
	identity := sha256.Sum256([]byte(string(thumbprint) + algorithm + "\x00" + id))
	return &Key{ID: id, Algorithm: algorithm, Public: public, identity: identity}
}

// metadata reads what a JWK says of its use (RFC 7517 §4.2 to §4.5). It is not ok
// where the key is not meant for verifying.
func metadata(members map[string]any) (id, algorithm string, ok bool) {
	for name, to := range map[string]*string{"kid": &id, "alg": &algorithm} {
		if value, there := members[name]; there {
			text, isText := value.(string)
			if !isText || text == "" || len(text) > maxKeyID {
				return "", "", false
			}
			*to = text
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

// parsePublic hands the public parts to the library, and nothing else: whatever
// more the JWK says is either checked by metadata or of no meaning here.
func parsePublic(members map[string]any) jwk.Key {
	public := map[string]string{}
	for _, name := range []string{"kty", "crv", "n", "e", "x", "y"} {
		value, there := members[name]
		if !there {
			continue
		}
		text, ok := value.(string)
		// The library takes padding and the standard alphabet, too.
		if !ok || !isBase64URL(text) && name != "kty" && name != "crv" {
			return nil
		}
		public[name] = text
	}
	encoded, err := json.Marshal(public)
	if err != nil {
		return nil
	}
	parsed, err := jwk.ParseKey(encoded)
	if err != nil || parsed.Validate() != nil {
		return nil
	}
	return parsed
}

func isBase64URL(text string) bool {
	_, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && !strings.ContainsAny(text, "\r\n")
}

// isSound reports a key that is as strong as it looks.
func isSound(public crypto.PublicKey, parsed jwk.Key) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		source, ok := parsed.(jwk.RSAPublicKey)
		return ok && isSoundRSA(key.N, new(big.Int).SetBytes(source.E()))
	case *ecdsa.PublicKey:
		// ECDH refuses a point that is not on the curve.
		_, err := key.ECDH()
		return err == nil
	case ed25519.PublicKey:
		return len(key) == ed25519.PublicKeySize
	}
	return false
}

// isSoundRSA looks at the exponent as published: the library cuts it to 64 bits.
func isSoundRSA(modulus, exponent *big.Int) bool {
	bits := modulus.BitLen()
	return bits >= minRSABits && bits <= maxRSABits && modulus.Bit(0) == 1 &&
		exponent.Bit(0) == 1 && exponent.Cmp(big.NewInt(3)) >= 0 && exponent.Cmp(big.NewInt(math.MaxInt32)) <= 0
}
