package authz

import (
	"fmt"
	"time"
)

// maxRevocationAge is how old what is known of revocations may be where the contract
// requires to know of them.
const maxRevocationAge = 5 * time.Second

// stands refuses a token that is revoked, as far as that is known; any token while nothing
// was ever known, or one that was revoked before we started would be good again; and any
// where the operation requires that it is known as of now, and it is not.
func (p *Pipeline) stands(f *Facts) error {
	if f.Token == nil {
		return nil
	}
	revoked, asOf := false, time.Time{}
	if p.Revocations != nil {
		revoked, asOf = p.Revocations.Revoked(f.Token)
	}
	required := f.Match.Operation != nil && f.Match.Operation.RequireRevocations
	switch {
	case revoked:
		return fmt.Errorf("revocation: %w", TokenRevoked)
	case p.Revocations != nil && asOf.IsZero():
		return fmt.Errorf("revocation: %w: it was never known what is revoked", RevocationsUnavailable)
	case required && f.Time.Sub(asOf) > maxRevocationAge:
		return fmt.Errorf("revocation: %w: what is known is over %v old", RevocationsUnavailable, maxRevocationAge)
	}
	return nil
}
