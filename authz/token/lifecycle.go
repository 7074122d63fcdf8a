package token

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Client is what is known of one of an issuer's clients.
type Client struct {
	// Addresses are the networks that it calls from, such as 192.0.2.0/24: its tokens
	// are good from no other.
	Addresses []string `yaml:"addresses"`
}

// lifecycle bounds for how long, where and from where tokens are good, beyond what they
// say themselves. Zero durations and a nil map bound nothing.
type lifecycle struct {
	maxLifetime, maxAge time.Duration
	// claim is the one with the environment, which must be ours; "" asks for none.
	claim, environment string
	addresses          map[authz.ClientID][]netip.Prefix
}

func (i Issuer) lifecycle(environment string) lifecycle {
	l := lifecycle{maxLifetime: i.MaxLifetime, maxAge: i.MaxAge, claim: i.Claims.Environment, environment: environment,
		addresses: map[authz.ClientID][]netip.Prefix{}}
	for id, client := range i.Clients {
		for _, text := range client.Addresses {
			// Checked before.
			network, _ := netip.ParsePrefix(text)
			l.addresses[id] = append(l.addresses[id], network)
		}
	}
	return l
}

// Tolerance is how far the issuer's clock may be from ours.
func (i Issuer) Tolerance() time.Duration { return cmp.Or(i.Skew, defaultSkew) }

// Longest is how long after now a token can still be good that was issued by now, by the
// issuer's clock or ours; zero where nothing but the token says.
func (i Issuer) Longest() time.Duration {
	longest := cmp.Or(i.MaxLifetime, i.MaxAge)
	if i.MaxAge > 0 {
		longest = min(longest, i.MaxAge)
	}
	if longest == 0 {
		return 0
	}
	// It may have been issued ahead of our clock, and is taken for as much longer.
	return longest + 2*i.Tolerance() + time.Second
}

// checkEnvironment holds the environment that a token was issued for against ours. A
// token that does not tell may be for any.
func (l *lifecycle) checkEnvironment(claimed string) error {
	if l.claim != "" && claimed != l.environment {
		return fmt.Errorf("token: %w: %s is not that of this deployment", authz.TokenEnvironment, l.claim)
	}
	return nil
}

// checkLife bounds how long a token may live and has lived. What it says of its end
// itself is for checkTimes.
func (l *lifecycle) checkLife(c *claims, skew time.Duration, at time.Time) error {
	switch {
	case l.maxLifetime > 0 && c.expiresAt.Sub(c.issuedAt) > l.maxLifetime:
		return fmt.Errorf("token: %w: over %v", authz.TokenLifetime, l.maxLifetime)
	case l.maxAge > 0 && at.Sub(c.issuedAt) > l.maxAge+skew:
		return fmt.Errorf("token: %w: over %v", authz.TokenAge, l.maxAge)
	}
	return nil
}

func (i Issuer) lifecycleProblems(environment string) authz.Problems {
	var problems authz.Problems
	if i.MaxLifetime < 0 {
		problems.Add("max_lifetime", fmt.Sprintf("%v is out of range", i.MaxLifetime), "use a duration such as 10m, or remove it")
	}
	if i.MaxAge < 0 {
		problems.Add("max_token_age", fmt.Sprintf("%v is out of range", i.MaxAge), "use a duration such as 1h, or remove it")
	}
	if i.Claims.Environment != "" && environment == "" {
		problems.Add("claims.environment", "is named, but environment is not set: there is nothing to hold it against",
			"say which environment this deployment is, such as environment: production, or remove the claim")
	}
	for _, id := range slices.Sorted(maps.Keys(i.Clients)) {
		problems = append(problems, i.Clients[id].problems().Under("clients."+string(id))...)
	}
	return problems
}

func (c Client) problems() authz.Problems {
	var problems authz.Problems
	if len(c.Addresses) == 0 {
		problems.Add("addresses", "is empty", "name the networks that the client calls from, or remove the client")
	}
	for n, text := range c.Addresses {
		key := fmt.Sprintf("addresses[%d]", n)
		network, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			problems.Add(key, fmt.Sprintf("%q is no network", text), "write an address and the bits that count, such as 192.0.2.0/24 or 192.0.2.7/32")
		case network.Addr().Is4In6():
			problems.Add(key, fmt.Sprintf("%q is IPv4 written as IPv6", text), "write it as IPv4, such as 192.0.2.0/24: clients that come so count as IPv4")
		case network != network.Masked():
			problems.Add(key, fmt.Sprintf("%q has bits beyond those that count", text), fmt.Sprintf("write %v, or %v/%d for one address", network.Masked(), network.Addr(), network.Addr().BitLen()))
		}
	}
	return problems
}
