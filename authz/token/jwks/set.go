package jwks

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// Limits on a set, whoever publishes it.
const (
	maxBytes = 512 << 10
	maxKeys  = 100
	maxDepth = 16
)

// Faults of a whole set. Their texts hold nothing of it.
var (
	errTooLarge     = fmt.Errorf("key set: over %d bytes", maxBytes)
	errMalformed    = errors.New("key set: not an object with an array of keys")
	errTooMany      = fmt.Errorf("key set: over %d keys", maxKeys)
	errDuplicateKID = errors.New("key set: two keys of one type share a kid")
)

// Key is a public key that may verify signatures. It is immutable and shared.
type Key struct {
	// ID is the JWK's kid, or "".
	ID string
	// Algorithm is the only one that the key may be used with, or "" where its
	// JWK does not tell.
	Algorithm string
	// Public is an *rsa.PublicKey, an *ecdsa.PublicKey or an ed25519.PublicKey.
	Public crypto.PublicKey

	// identity is a hash of key, kid and alg: one that changes in any of them is
	// another key.
	identity [sha256.Size]byte
}

// Fits reports that the key can verify signatures of that algorithm (RFC 7518
// §3.1, RFC 8037 §3.1): type, curve and the JWK's own alg agree with it.
func (k *Key) Fits(algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	return jose.Fits(k.Public, algorithm)
}

// Set is one parsed JWK Set: the keys of it that can verify signatures. It is
// immutable and shared.
type Set struct {
	keys []*Key
	held map[[sha256.Size]byte]bool
}

// ParseSet reads a JWK Set (RFC 7517 §5). Keys that cannot be used are left out:
// of an unknown type or curve, not for verifying, symmetric, private, RSA below
// 2048 bits or otherwise weak, or off their curve. The whole is refused if it is too large, malformed, or ambiguous: two usable keys of one type with one kid.
// A set without usable keys is none the less a set.
func ParseSet(data []byte) (*Set, error) {
	if len(data) > maxBytes {
		return nil, errTooLarge
	}
	document, err := authz.ParseJSON(data, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	object, _ := document.(map[string]any)
	members, ok := object["keys"].([]any)
	if !ok {
		return nil, errMalformed
	}
	if len(members) > maxKeys {
		return nil, errTooMany
	}
	set := &Set{held: make(map[[sha256.Size]byte]bool, len(members))}
	for _, member := range members {
		jwk, ok := member.(map[string]any)
		if !ok {
			return nil, errMalformed
		}
		if err := set.add(parseKey(jwk)); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// add takes a usable key; nil stands for one that is not.
func (s *Set) add(key *Key) error {
	if key == nil {
		return nil
	}
	for _, other := range s.keys {
		if key.ID != "" && other.ID == key.ID && sameType(key.Public, other.Public) {
			return errDuplicateKID
		}
	}
	s.keys = append(s.keys, key)
	s.held[key.identity] = true
	return nil
}

func sameType(a, b crypto.PublicKey) bool {
	return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b)
}

// Find returns the key of that kid that fits the algorithm. Without a kid there
// must be exactly one key that fits. It returns nil where there is none.
func (s *Set) Find(kid, algorithm string) *Key {
	var found *Key
	for _, key := range s.keys {
		if kid != "" && key.ID != kid || !key.Fits(algorithm) {
			continue
		}
		if found != nil {
			return nil
		}
		found = key
	}
	return found
}

// Holds reports that the set has this very key, with the same kid and algorithm.
func (s *Set) Holds(key *Key) bool { return s.held[key.identity] }
