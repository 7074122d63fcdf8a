package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"math"
	"math/big"
	"slices"
)

// Bounds on RSA keys: FAPI 2.0 §5.4.1 has the lower, the upper bounds the work of
// one verification.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is a public key that can verify signatures.
type Key struct {
	// Public is an *rsa.PublicKey, an *ecdsa.PublicKey or an ed25519.PublicKey.
	Public crypto.PublicKey
	// Thumbprint is the SHA-256 of what makes the key (RFC 7638).
	Thumbprint [sha256.Size]byte
}

// privateMembers are never in a public key (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
// Whoever shows one has lost the key.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseKey reads a JWK. It returns nil for one that cannot be used: of an unknown type
// or curve, symmetric, private, RSA of too few or too many bits, with a bad exponent or
// with factors that can be found, or off its curve. What else the JWK says is not looked at.
func ParseKey(members map[string]any) *Key {
	for _, name := range privateMembers {
		if _, private := members[name]; private {
			return nil
		}
	}
	return parsePublic(members)
}

// isSound reports a key that is as strong as it looks. It takes an RSA key's exponent
// as published: the library cuts it to 64 bits.
func isSound(public crypto.PublicKey, exponent []byte) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return isSoundRSA(key.N, new(big.Int).SetBytes(exponent))
	case *ecdsa.PublicKey:
		// ECDH refuses a point that is not on the curve.
		_, err := key.ECDH()
		return err == nil
	case ed25519.PublicKey:
		return len(key) == ed25519.PublicKeySize
	}
	return false
}

func isSoundRSA(modulus, exponent *big.Int) bool {
	bits := modulus.BitLen()
	return bits >= minRSABits && bits <= maxRSABits && modulus.Bit(0) == 1 && !isROCA(modulus) &&
		exponent.Bit(0) == 1 && exponent.Cmp(big.NewInt(3)) >= 0 && exponent.Cmp(big.NewInt(math.MaxInt32)) <= 0
}

// Fits reports that a key can verify signatures of that algorithm (RFC 7518 §3.1,
// RFC 8037 §3.1): type and curve agree with it.
func Fits(key crypto.PublicKey, algorithm string) bool {
	switch public := key.(type) {
	case *rsa.PublicKey:
		return slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, algorithm)
	case *ecdsa.PublicKey:
		return public.Curve == elliptic.P256() && algorithm == "ES256" ||
			public.Curve == elliptic.P384() && algorithm == "ES384" ||
			public.Curve == elliptic.P521() && algorithm == "ES512"
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}
