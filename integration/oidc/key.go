package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"
)

// Key is a client's ES256 key.
type Key struct{ private *ecdsa.PrivateKey }

// NewKey makes a key.
func NewKey(t testing.TB) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{private: private}
}

// JWK is the public key (RFC 7517).
func (k *Key) JWK(t testing.TB) map[string]string {
	t.Helper()
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
}

// Thumbprint is the public key as a token is bound to it (RFC 7638 §3).
func (k *Key) Thumbprint(t testing.TB) string {
	t.Helper()
	// Members in the order of their names, as encoding/json writes a map's.
	text, err := json.Marshal(k.JWK(t))
	if err != nil {
		t.Fatal(err)
	}
	return hash(string(text))
}

// Proof shows that the client holds the key, for a request now (RFC 9449 §4.2). claims
// stand beside those that every proof has.
func (k *Key) Proof(t testing.TB, method, url string, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix()}
	maps.Copy(all, claims)
	return k.sign(t, map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": k.JWK(t)}, all)
}

// Ath is a token as proofs name it (RFC 9449 §4.2).
func Ath(token string) string { return hash(token) }

// sign makes a JWT in the compact serialisation (RFC 7515 §7.1).
func (k *Key) sign(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	first, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := encode(first) + "." + encode(second)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	var signature [64]byte // RFC 7518 §3.4
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode(signature[:])
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return encode(sum[:])
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
