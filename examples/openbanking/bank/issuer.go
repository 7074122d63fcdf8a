package bank

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
)

// The issuers' identifiers, the iss of their tokens.
const (
	// IssuerName is the one of customers, and of clients by themselves.
	IssuerName = "https://auth.bank.example"
	// StaffName is the one of the bank's own staff.
	StaffName = "https://staff.bank.example"
)

// Issuer signs the demo's access tokens (RFC 9068) and publishes its keys. It asks
// nobody for a password: it signs whatever a story calls for, good or bad.
type Issuer struct {
	ec, stranger *ecdsa.PrivateKey
	rsa          *rsa.PrivateKey
}

// Key ids of the published keys.
const (
	ecKey  = "demo-es256"
	rsaKey = "demo-ps256"
)

func newIssuer() (*Issuer, error) {
	var issuer Issuer
	var err error
	if issuer.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if issuer.stranger, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if issuer.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return &issuer, nil
}

// JWKS is the published key set (RFC 7517 §5). The stranger's key is not in it.
func (i *Issuer) JWKS() ([]byte, error) {
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	keys := []map[string]string{
		{"kty": "EC", "crv": "P-256", "use": "sig", "alg": ES256, "kid": ecKey,
			"x": encode(point[1:33]), "y": encode(point[33:65])},
		{"kty": "RSA", "use": "sig", "alg": PS256, "kid": rsaKey,
			"n": encode(i.rsa.N.Bytes()), "e": encode(big.NewInt(int64(i.rsa.E)).Bytes())},
	}
	set, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return set, nil
}

// ServeHTTP answers every request with the key set.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	set, err := i.JWKS()
	if err != nil {
		http.Error(w, "no keys", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(set) // A client that is gone needs no keys.
}

// Algorithms of good tokens.
const (
	ES256 = "ES256"
	PS256 = "PS256"
)

// Ways in which a token is badly made, beside what its claims may hold.
const (
	algNone      = "alg_none"         // not signed at all
	publicSecret = "hs256_public_key" // an HMAC keyed with the public key
	unknownKey   = "unknown_key"      // signed by a key that was never published
	forgedKey    = "forged_key"       // signed by that key, under a published key's id
	tampered     = "tampered"         // changed after it was signed
	idToken      = "id_token"         // genuine, but no access token
	notAToken    = "not_a_token"      // three parts of nothing
)

// sign makes a token of the claims, in the compact serialisation (RFC 7515 §7.1).
// The algorithm is ES256 or PS256; bad is one of the ways above, or "".
func (i *Issuer) sign(claims map[string]any, algorithm, bad string) (string, error) {
	kid, known := map[string]string{ES256: ecKey, PS256: rsaKey}[algorithm]
	if !known {
		return "", fmt.Errorf("issuer: no key for the algorithm %q", algorithm)
	}
	header := map[string]any{"typ": "at+jwt", "alg": algorithm, "kid": kid}
	switch bad {
	case "", forgedKey, tampered: // The header is a good token's.
	case algNone:
		header = map[string]any{"typ": "at+jwt", "alg": "none"}
	case publicSecret:
		header["alg"] = "HS256"
	case unknownKey:
		header["kid"] = "demo-unpublished"
	case idToken:
		header["typ"] = "JWT"
	case notAToken:
		return "not.a.token", nil
	default:
		return "", fmt.Errorf("issuer: no way to make a token badly is called %q", bad)
	}
	first, err := part(header)
	if err != nil {
		return "", err
	}
	second, err := part(claims)
	if err != nil {
		return "", err
	}
	signature, err := i.signature([]byte(first+"."+second), algorithm, bad)
	if err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	if bad == tampered {
		claims["sub"] = "bob"
		if second, err = part(claims); err != nil {
			return "", err
		}
	}
	return first + "." + second + "." + encode(signature), nil
}

func (i *Issuer) signature(signed []byte, algorithm, bad string) ([]byte, error) {
	digest := sha256.Sum256(signed)
	switch {
	case bad == algNone:
		return nil, nil
	case bad == publicSecret:
		return i.publicKeyMAC(signed)
	case bad == unknownKey || bad == forgedKey:
		return ecdsaSignature(i.stranger, digest[:])
	case algorithm == PS256:
		return rsa.SignPSS(rand.Reader, i.rsa, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return ecdsaSignature(i.ec, digest[:])
}

// publicKeyMAC is what a verifier computes that takes the algorithm from the token
// and the issuer's public key for a secret (RFC 8725 §2.1).
func (i *Issuer) publicKeyMAC(signed []byte) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(i.ec.Public())
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write(signed)
	return mac.Sum(nil), nil
}

// ecdsaSignature is r and s, 32 bytes each (RFC 7518 §3.4).
func ecdsaSignature(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

func part(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	return encode(text), nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
