package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"math/big"
)

// Algorithms are all that can be configured: asymmetric, so that nothing here could be
// used to sign (RFC 8725 §3.2).
var Algorithms = []string{
	"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512",
}

// DefaultAlgorithms are those of FAPI 2.0 §5.4.1.
var DefaultAlgorithms = []string{"PS256", "ES256", "EdDSA"}

var errSignature = errors.New("the signature is not that of the key")

// Verify checks the signature (RFC 7515 §5.2 step 8). By a key that does not fit the
// algorithm nothing is signed.
func (c *Compact) Verify(key crypto.PublicKey) error {
	if !Fits(key, c.Algorithm) || !c.isSignedBy(key) {
		return errSignature
	}
	return nil
}

// isSignedBy takes a key that fits the algorithm.
func (c *Compact) isSignedBy(key crypto.PublicKey) bool {
	switch public := key.(type) {
	case *rsa.PublicKey:
		return c.isSignedByRSA(public)
	case *ecdsa.PublicKey:
		return c.isSignedByECDSA(public)
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(c.Signed), c.Signature)
	}
	return false
}

// isSignedByRSA takes no salt but one as long as the hash (RFC 7518 §3.5). That the
// signature is as long as the modulus is the library's check.
func (c *Compact) isSignedByRSA(key *rsa.PublicKey) bool {
	hash, digest := c.digest()
	if c.Algorithm[0] == 'R' {
		return rsa.VerifyPKCS1v15(key, hash, digest, c.Signature) == nil
	}
	options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return rsa.VerifyPSS(key, hash, digest, c.Signature, &options) == nil
}

// isSignedByECDSA takes r and s one after the other, each as long as the curve's order
// (RFC 7518 §3.4). That both are above zero and below the order is the library's check.
func (c *Compact) isSignedByECDSA(key *ecdsa.PublicKey) bool {
	size := (key.Params().N.BitLen() + 7) / 8
	if len(c.Signature) != 2*size {
		return false
	}
	r, s := new(big.Int).SetBytes(c.Signature[:size]), new(big.Int).SetBytes(c.Signature[size:])
	_, digest := c.digest()
	return ecdsa.Verify(key, digest, r, s)
}

// digest is what is signed, hashed as the algorithm's name ends. A copy of most is made
// on the stack.
func (c *Compact) digest() (crypto.Hash, []byte) {
	var room [2 << 10]byte
	signed := append(room[:0], c.Signed...)
	switch c.Algorithm[2:] {
	case "384":
		digest := sha512.Sum384(signed)
		return crypto.SHA384, digest[:]
	case "512":
		digest := sha512.Sum512(signed)
		return crypto.SHA512, digest[:]
	}
	digest := sha256.Sum256(signed)
	return crypto.SHA256, digest[:]
}
