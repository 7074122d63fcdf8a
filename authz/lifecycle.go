package authz

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// notice is how long before its end a token is told to be expiring. Tokens that live no
// longer than that would be from their first day: clients fetch those by themselves.
const notice = 48 * time.Hour

// expiring reports a token that was issued for longer than notice, of which no more than
// that is left.
func (t *Token) expiring(at time.Time) bool {
	return t.ExpiresAt.Sub(t.IssuedAt) > notice && t.ExpiresAt.Sub(at) <= notice
}

// atHome holds the client's address against those that its token is good from. One that
// is not known is none of them.
func atHome(f *Facts) error {
	if f.Token == nil || f.Token.Addresses == nil {
		return nil
	}
	address, err := netip.ParseAddr(f.Request.Address)
	if err != nil {
		return fmt.Errorf("address: %w: the client's is not known", ClientAddress)
	}
	// IPv4 that comes over an IPv6 socket is IPv4.
	address = address.Unmap()
	if !slices.ContainsFunc(f.Token.Addresses, func(p netip.Prefix) bool { return p.Contains(address) }) {
		return fmt.Errorf("address: %w", ClientAddress)
	}
	return nil
}
