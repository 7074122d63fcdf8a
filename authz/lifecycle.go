package authz

import (
	"fmt"
	"net/netip"
	"slices"
)

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
