package bank

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"time"
)

// Origin is where the bank's clients call it, wherever this machine listens: their
// proofs are for URLs there.
const Origin = "https://api.bank.example"

// What a token is bound to, beside the client's certificate, which "" means.
const (
	toKey  = "key"
	toBoth = "both"
)

// Ways in which a proof is badly made, beside what its claims may hold.
const (
	forgedProof = "forged" // shows the client's key, and is signed by another
	otherType   = "type"   // is no proof by its type
)

// Proof says which proof of possession a request carries (RFC 9449).
type Proof struct {
	// By is the client whose key makes it; "" means acme.
	By string `json:"by"`
	// Claims replace the usual ones; null takes one away. Of iat, text is a duration
	// from now, such as "-5m".
	Claims map[string]any `json:"claims"`
	// Bad is a way in which the proof is badly made, or "".
	Bad string `json:"bad"`
}

// holders are the keys that clients prove to hold.
type holders map[string]*ecdsa.PrivateKey

func newHolders() (holders, error) {
	keys := holders{}
	for _, client := range []string{Acme, Zeta} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
		keys[client] = key
	}
	return keys, nil
}

// jwk is the client's public key.
func (h holders) jwk(client string) (map[string]string, error) {
	key, known := h[client]
	if !known {
		return nil, fmt.Errorf("proof: no client is called %q", client)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:65])}, nil
}

// thumbprint is the client's key as a token is bound to it (RFC 7638 §3).
func (h holders) thumbprint(client string) (string, error) {
	jwk, err := h.jwk(client)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, jwk["x"], jwk["y"]))
	return encode(sum[:]), nil
}

// prove makes the proof for a request that a token is sent with, now.
func (b *Bank) prove(proof Proof, method, target, token, nonce string) (string, error) {
	if proof.By == "" {
		proof.By = Acme
	}
	header, err := b.proofHeader(proof)
	if err != nil {
		return "", err
	}
	path, _, _ := strings.Cut(target, "?")
	digest := sha256.Sum256([]byte(token))
	claims := map[string]any{
		"jti": rand.Text(), "htm": method, "htu": Origin + path, "iat": "0s", "ath": encode(digest[:]), "nonce": nonce,
	}
	maps.Copy(claims, proof.Claims)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	if err := fixTimes(claims, time.Now()); err != nil {
		return "", err
	}
	first, err := part(header)
	if err != nil {
		return "", err
	}
	second, err := part(claims)
	if err != nil {
		return "", err
	}
	key := b.holders[proof.By]
	if proof.Bad == forgedProof {
		key = b.Issuer.stranger
	}
	digest = sha256.Sum256([]byte(first + "." + second))
	signature, err := ecdsaSignature(key, digest[:])
	if err != nil {
		return "", fmt.Errorf("proof: %w", err)
	}
	return first + "." + second + "." + encode(signature), nil
}

func (b *Bank) proofHeader(proof Proof) (map[string]any, error) {
	jwk, err := b.holders.jwk(proof.By)
	if err != nil {
		return nil, err
	}
	header := map[string]any{"typ": "dpop+jwt", "alg": ES256, "jwk": jwk}
	switch proof.Bad {
	case "", forgedProof: // The header is a good proof's.
	case otherType:
		header["typ"] = "JWT"
	default:
		return nil, fmt.Errorf("proof: no way to make a proof badly is called %q", proof.Bad)
	}
	return header, nil
}
