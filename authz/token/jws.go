package token

import (
	"crypto"
	"crypto/rsa"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// algorithms are all that an issuer can be configured with: asymmetric, so that
// nothing here could be used to sign (RFC 8725 §3.2).
var algorithms = []string{
	"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512",
}

// defaultAlgorithms are those of FAPI 2.0 §5.4.1.
var defaultAlgorithms = []string{"PS256", "ES256", "EdDSA"}

// verifySignature checks the signature (RFC 7515 §5.2 step 8) with a key that must
// fit the algorithm. This file alone knows the library.
func verifySignature(parsed *compact, key *jwks.Key) error {
	if !key.Fits(parsed.algorithm) {
		return fmt.Errorf("token: %w: does not fit the algorithm", authz.TokenKey)
	}
	if err := check(parsed, key.Public); err != nil {
		return fmt.Errorf("token: %w", authz.TokenSignature)
	}
	return nil
}

func check(parsed *compact, public crypto.PublicKey) error {
	switch parsed.algorithm {
	case "PS256":
		return checkPSS(crypto.SHA256, parsed, public)
	case "PS384":
		return checkPSS(crypto.SHA384, parsed, public)
	case "PS512":
		return checkPSS(crypto.SHA512, parsed, public)
	}
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(parsed.algorithm))
	if err != nil {
		return err
	}
	return verifier.Verify([]byte(parsed.signed), parsed.signature, public)
}

// checkPSS is our own, since the library takes salts of any length: RFC 7518 §3.5
// wants one as long as the hash.
func checkPSS(hash crypto.Hash, parsed *compact, public crypto.PublicKey) error {
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return rsa.ErrVerification
	}
	digest := hash.New()
	digest.Write([]byte(parsed.signed))
	return rsa.VerifyPSS(key, hash, digest.Sum(nil), parsed.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}
