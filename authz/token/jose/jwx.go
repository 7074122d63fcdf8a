package jose

import (
	"crypto"
	"crypto/rsa"
	"encoding/json"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Algorithms are all that can be configured: asymmetric, so that nothing here could be
// used to sign (RFC 8725 §3.2).
var Algorithms = []string{
	"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512",
}

// DefaultAlgorithms are those of FAPI 2.0 §5.4.1.
var DefaultAlgorithms = []string{"PS256", "ES256", "EdDSA"}

// Verify checks the signature (RFC 7515 §5.2 step 8) with a key that fits the
// algorithm. This file alone knows the library.
func (c *Compact) Verify(key crypto.PublicKey) error {
	switch c.Algorithm {
	case "PS256":
		return c.verifyPSS(crypto.SHA256, key)
	case "PS384":
		return c.verifyPSS(crypto.SHA384, key)
	case "PS512":
		return c.verifyPSS(crypto.SHA512, key)
	}
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(c.Algorithm))
	if err != nil {
		return err
	}
	return verifier.Verify([]byte(c.Signed), c.Signature, key)
}

// verifyPSS is our own, since the library takes salts of any length: RFC 7518 §3.5
// wants one as long as the hash.
func (c *Compact) verifyPSS(hash crypto.Hash, public crypto.PublicKey) error {
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return rsa.ErrVerification
	}
	digest := hash.New()
	digest.Write([]byte(c.Signed))
	return rsa.VerifyPSS(key, hash, digest.Sum(nil), c.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}

// parsePublic hands the public parts to the library, and nothing else, or returns nil
// where they make no sound key.
func parsePublic(members map[string]any) *Key {
	public := map[string]string{}
	for _, name := range []string{"kty", "crv", "n", "e", "x", "y"} {
		value, there := members[name]
		if !there {
			continue
		}
		text, ok := value.(string)
		// The library takes padding and the standard alphabet, too.
		if _, err := Decode(text); !ok || err != nil && name != "kty" && name != "crv" {
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
	return soundKey(parsed)
}

func soundKey(parsed jwk.Key) *Key {
	var key Key
	var exponent []byte
	if source, ok := parsed.(jwk.RSAPublicKey); ok {
		exponent = source.E()
	}
	if parsed.Raw(&key.Public) != nil || !isSound(key.Public, exponent) {
		return nil
	}
	thumbprint, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil
	}
	key.Thumbprint = [len(key.Thumbprint)]byte(thumbprint)
	return &key
}
