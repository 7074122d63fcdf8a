package authz

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// TestClientAddress holds a token that is good from some networks only against where the
// request came from.
func TestClientAddress(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	tests := []struct {
		name, address string
		networks      []netip.Prefix
		want          Reason
	}{
		{"the first address of a network", "192.0.2.0", networks, Granted},
		{"the last address of a network", "192.0.2.255", networks, Granted},
		{"the address behind it", "192.0.3.0", networks, ClientAddress},
		{"IPv6", "2001:db8:1::1", networks, Granted},
		{"IPv6 from elsewhere", "2001:db9::1", networks, ClientAddress},
		{"IPv4 mapped to IPv6", "::ffff:192.0.2.7", networks, Granted},
		{"IPv4 from elsewhere, mapped to IPv6", "::ffff:198.51.100.7", networks, ClientAddress},
		{"IPv6 with a zone", "2001:db8::1%eth0", networks, ClientAddress},
		{"no address is known", "", networks, ClientAddress},
		{"what is no address", "unix", networks, ClientAddress},
		{"no network at all", "192.0.2.0", []netip.Prefix{}, ClientAddress},
		{"a client that may call from anywhere", "198.51.100.7", nil, Granted},
		{"a client that may call from anywhere, from nowhere that is known", "", nil, Granted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := allowing()
			token := *ann
			token.Addresses = test.networks
			f.token = func(context.Context) (*Token, error) { return &token, nil }
			request := getAccount()
			request.Address = test.address
			got := f.pipeline().Check(t.Context(), request)
			if got.Reason != test.want {
				t.Errorf("Check() = %v (%s), want %v", got.Reason, got.Detail, test.want)
			}
			if test.want != Granted && (len(f.asked) > 0 || got.Caller.Client != "acme") {
				t.Errorf("asked %v of %v, want nothing more, and a refusal that names the client", f.asked, got.Caller)
			}
		})
	}
}

// TestClientAddressIsToldBeforeTheContract holds that who calls from elsewhere does not
// learn which paths there are.
func TestClientAddressIsToldBeforeTheContract(t *testing.T) {
	f := allowing()
	f.match = func() (Match, error) { return Match{API: "bank"}, UnknownPath }
	token := *ann
	token.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	f.token = func(context.Context) (*Token, error) { return &token, nil }
	for address, want := range map[string]Reason{"198.51.100.7": ClientAddress, "192.0.2.7": UnknownPath} {
		request := getAccount()
		request.Address = address
		if got := f.pipeline().Check(t.Context(), request); got.Reason != want {
			t.Errorf("Check() from %s = %v, want %v", address, got.Reason, want)
		}
	}
}

// TestExpiring holds which tokens are told to be expiring: long ones, near their end.
func TestExpiring(t *testing.T) {
	tests := []struct {
		name             string
		lifetime, remain time.Duration
		want             bool
	}{
		{"a long one with 48 h to go", 90 * 24 * time.Hour, 48 * time.Hour, true},
		{"a long one with a moment more", 90 * 24 * time.Hour, 48*time.Hour + 1, false},
		{"a long one in the skew behind its end", 90 * 24 * time.Hour, -5 * time.Second, true},
		{"one of just over 48 h", 48*time.Hour + 1, time.Hour, true},
		{"a short one, which always is near its end", 48 * time.Hour, time.Hour, false},
		{"one of minutes", 10 * time.Minute, time.Minute, false},
	}
	for _, test := range tests {
		f := allowing()
		token := *ann
		token.ExpiresAt = testTime.Add(test.remain)
		token.IssuedAt = token.ExpiresAt.Add(-test.lifetime)
		f.token = func(context.Context) (*Token, error) { return &token, nil }
		if got := f.pipeline().Check(t.Context(), getAccount()); got.Expiring != test.want || !got.Allowed {
			t.Errorf("%s: Check() = allowed %v, expiring %v, want an allow, expiring %v", test.name, got.Allowed, got.Expiring, test.want)
		}
	}
	f := allowing()
	f.token = func(context.Context) (*Token, error) { return nil, NoCredentials }
	if got := f.pipeline().Check(t.Context(), getAccount()); got.Expiring {
		t.Error("no token is expiring")
	}
}

// TestEnvironmentIsAFact holds that the policy is told which environment this is.
func TestEnvironmentIsAFact(t *testing.T) {
	f := allowing()
	p := f.pipeline()
	snapshot := *p.snapshot.Load()
	snapshot.Environment = "production"
	p.Load(&snapshot)
	p.Check(t.Context(), getAccount())
	if offers := f.offers(); len(offers) != 1 || offers[0].Facts.Environment != "production" {
		t.Errorf("records %+v, want one of production", offers)
	}
}
