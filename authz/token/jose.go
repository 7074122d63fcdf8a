package token

import (
	"errors"
	"fmt"
	"slices"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// maxToken bounds a token, in bytes as sent.
const maxToken = 8 << 10

// parse takes a token apart. Its error wraps authz.TokenTooLarge or TokenMalformed.
func parse(credential string) (*jose.Compact, error) {
	parsed, err := jose.Parse(credential, maxToken)
	switch {
	case errors.Is(err, jose.ErrTooLarge):
		return nil, fmt.Errorf("token: %w: %w", authz.TokenTooLarge, err)
	case err != nil:
		return nil, fmt.Errorf("token: %w: %w", authz.TokenMalformed, err)
	case parsed.Key != nil:
		// It would choose the key that the token is verified with (RFC 8725 §3.5).
		return nil, fmt.Errorf("token: %w: header has jwk", authz.TokenMalformed)
	}
	return parsed, nil
}

// accepts holds the header against the issuer's types and algorithms (RFC 9068 §4). An
// algorithm must be exact (RFC 8725 §3.1).
func (i *issuer) accepts(parsed *jose.Compact) error {
	typed := slices.ContainsFunc(i.types, parsed.IsType)
	if !typed && !(i.untyped && parsed.Type == "") {
		return fmt.Errorf("token: %w", authz.TokenType)
	}
	if !slices.Contains(i.algorithms, parsed.Algorithm) {
		return fmt.Errorf("token: %w", authz.TokenAlgorithm)
	}
	return nil
}

// verifySignature checks the signature with a key that must fit the algorithm.
func verifySignature(parsed *jose.Compact, key *jwks.Key) error {
	if !key.Fits(parsed.Algorithm) {
		return fmt.Errorf("token: %w: does not fit the algorithm", authz.TokenKey)
	}
	if err := parsed.Verify(key.Public); err != nil {
		return fmt.Errorf("token: %w", authz.TokenSignature)
	}
	return nil
}
