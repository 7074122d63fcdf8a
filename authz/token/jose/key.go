package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
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

// ParseKey reads a JWK (RFC 7518 §6.2, §6.3, RFC 8037 §2). It returns nil for one that
// cannot be used: of an unknown type or curve, symmetric, private, RSA of too few or too
// many bits, with a bad exponent or with factors that can be found, off its curve, or of
// small order on it. What else the JWK says is not looked at.
func ParseKey(members map[string]any) *Key {
	for _, name := range privateMembers {
		if _, private := members[name]; private {
			return nil
		}
	}
	switch members["kty"] {
	case "RSA":
		return parseRSA(members)
	case "EC":
		return parseEC(members)
	case "OKP":
		return parseEd25519(members)
	}
	return nil
}

func parseRSA(members map[string]any) *Key {
	modulus, exponent := number(members, "n"), number(members, "e")
	if modulus == nil || exponent == nil || !isSoundRSA(modulus, exponent) {
		return nil
	}
	return &Key{
		Public:     &rsa.PublicKey{N: modulus, E: int(exponent.Int64())},
		Thumbprint: thumbprint(`{"e":"%s","kty":"RSA","n":"%s"}`, encode(exponent.Bytes()), encode(modulus.Bytes())),
	}
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func parseEC(members map[string]any) *Key {
	name, _ := members["crv"].(string)
	curve, known := curves[name]
	x, y := number(members, "x"), number(members, "y")
	if !known || x == nil || y == nil || max(x.BitLen(), y.BitLen()) > curve.Params().BitSize {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	point := make([]byte, 1+2*size)
	point[0] = 4 // Both coordinates follow (SEC 1 §2.3.4).
	x.FillBytes(point[1 : 1+size])
	y.FillBytes(point[1+size:])
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return &Key{
		Public:     public,
		Thumbprint: thumbprint(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, name, encode(point[1:1+size]), encode(point[1+size:])),
	}
}

func parseEd25519(members map[string]any) *Key {
	x, ok := octets(members, "x")
	if !ok || members["crv"] != "Ed25519" || len(x) != ed25519.PublicKeySize || !isSoundEd25519(x) {
		return nil
	}
	return &Key{Public: ed25519.PublicKey(x), Thumbprint: thumbprint(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode(x))}
}

// octets are those of a member in base64url.
func octets(members map[string]any, name string) ([]byte, bool) {
	text, ok := members[name].(string)
	if !ok {
		return nil, false
	}
	data, err := Decode(text)
	return data, err == nil
}

// number is a member's, or nil. That some write it shorter or longer than they should
// (RFC 7518 §6.2.1.2, §6.3.1.1) makes it no other key, nor gives it another thumbprint.
func number(members map[string]any, name string) *big.Int {
	data, ok := octets(members, name)
	if !ok {
		return nil
	}
	return new(big.Int).SetBytes(data)
}

var encode = base64.RawURLEncoding.EncodeToString

// thumbprint hashes the members that make a key, in order of their names and without
// white space (RFC 7638 §3).
func thumbprint(format string, values ...any) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, format, values...))
}

func isSoundRSA(modulus, exponent *big.Int) bool {
	bits := modulus.BitLen()
	return bits >= minRSABits && bits <= maxRSABits && modulus.Bit(0) == 1 && !hasSmallFactor(modulus) && !isROCA(modulus) &&
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
		return algorithm == "EdDSA" && len(public) == ed25519.PublicKeySize
	}
	return false
}
