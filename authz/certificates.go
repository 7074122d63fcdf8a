package authz

import (
	"fmt"
	"slices"
	"strings"
)

// certified holds the client's certificate against the roles that the contract asks
// for. It is asked beside the token's binding and whatever comes of that: a
// certificate that is good enough to bind a token to need not say who its holder is.
func certified(f *Facts) error {
	needed := f.Match.Operation.PSD2
	if len(needed) == 0 {
		return nil
	}
	if f.Certificate == nil {
		return fmt.Errorf("certificate: %w", CertificateRequired)
	}
	if known := f.Certificate.Identity; known != nil && !known.standsAt(f.Time) {
		return fmt.Errorf("certificate: %w", CertificateExpired)
	}
	return carries(f.Identity(), needed)
}

// carries finds one of each list among the roles of an identity, which may be nil.
func carries(identity *Identity, needed [][]string) error {
	switch {
	case identity == nil:
		return fmt.Errorf("certificate: %w: only its thumbprint is known", CertificateRole)
	case identity.PSD2 == nil && identity.Doubt != "":
		return fmt.Errorf("certificate: %w: %s", CertificateRole, identity.Doubt)
	case identity.PSD2 == nil:
		return fmt.Errorf("certificate: %w: it has no PSD2 statement", CertificateRole)
	}
	for _, anyOf := range needed {
		carried := func(role string) bool { return slices.Contains(identity.PSD2.Roles, role) }
		if !slices.ContainsFunc(anyOf, carried) {
			return fmt.Errorf("certificate: %w: %s is not among its roles", CertificateRole, strings.Join(anyOf, " or "))
		}
	}
	return nil
}
