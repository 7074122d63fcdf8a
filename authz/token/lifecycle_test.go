package token

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// issuedBy is a configuration whose issuer is changed.
func issuedBy(change func(*Config)) Config {
	cfg := goodConfig()
	change(&cfg)
	return cfg
}

func TestLifetimeIsBounded(t *testing.T) {
	seconds := func(d time.Duration) float64 { return float64(now.Add(d).UnixMilli()) / 1000 }
	life := func(issued, expires time.Duration) []any {
		return []any{"iat", seconds(issued), "exp", seconds(expires)}
	}
	lifetime := issuedBy(func(c *Config) { c.Issuers[0].MaxLifetime = 10 * time.Minute })
	age := issuedBy(func(c *Config) { c.Issuers[0].MaxAge = 10 * time.Minute })
	tests := []struct {
		name    string
		cfg     Config
		members []any
		want    authz.Reason
	}{
		{"J6 any lifetime where none is set", goodConfig(), life(-time.Hour, 9000*time.Hour), authz.Internal},
		{"J6 the longest lifetime", lifetime, life(-time.Minute, 9*time.Minute), authz.Internal},
		{"J6 a second longer", lifetime, life(-time.Minute, 9*time.Minute+time.Second), authz.TokenLifetime},
		{"J6 a lifetime beyond all measure", lifetime, []any{"iat", 0, "exp", 253402300799}, authz.TokenLifetime},
		{"J6 expired is told before its lifetime", lifetime, life(-time.Hour, -time.Minute), authz.TokenExpired},
		{"J6 the oldest", age, life(-10*time.Minute-10*time.Second, time.Minute), authz.Internal},
		{"J6 a second older", age, life(-10*time.Minute-11*time.Second, time.Minute), authz.TokenAge},
		{"J6 as old as time", age, life(-now.Sub(time.Unix(0, 0)), time.Minute), authz.TokenAge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, test.cfg, newFakeKeys(allKeys()...))
			credential := sign(goodHeader(), with(goodClaims(), test.members...))
			for range 2 {
				token, err := verify(verifier, credential)
				wantReason(t, token, err, test.want)
			}
		})
	}
}

// TestAgeIsBoundedOfTokensThatAreRemembered lets a token grow old in the cache.
func TestAgeIsBoundedOfTokensThatAreRemembered(t *testing.T) {
	cfg := issuedBy(func(c *Config) { c.Issuers[0].MaxAge = 2 * time.Minute })
	keys := newFakeKeys(allKeys()...)
	verifier := newVerifier(t, cfg, keys)
	request := bearing(sign(goodHeader(), goodClaims())) // a minute old
	for _, step := range []struct {
		after time.Duration
		want  authz.Reason
	}{{0, authz.Internal}, {70 * time.Second, authz.Internal}, {71 * time.Second, authz.TokenAge}} {
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, nil, now.Add(step.after))
		wantReason(t, token, err, step.want)
	}
	if asked := keys.asked.Load(); asked != 1 {
		t.Errorf("the token was verified %d times, want once", asked)
	}
}

func TestEnvironmentMustBeOurs(t *testing.T) {
	ours := issuedBy(func(c *Config) { c.Environment, c.Issuers[0].Claims.Environment = "production", "env" })
	unclaimed := issuedBy(func(c *Config) { c.Environment = "production" })
	tests := []struct {
		name    string
		cfg     Config
		members []any
		want    authz.Reason
		told    string
	}{
		{"ours", ours, []any{"env", "production"}, authz.Internal, "production"},
		{"another", ours, []any{"env", "sandbox"}, authz.TokenEnvironment, ""},
		{"in another case", ours, []any{"env", "Production"}, authz.TokenEnvironment, ""},
		{"absent", ours, []any{"env", absent}, authz.TokenEnvironment, ""},
		{"empty", ours, []any{"env", ""}, authz.TokenClaims, ""},
		{"null", ours, []any{"env", nil}, authz.TokenClaims, ""},
		{"a list with ours in it", ours, []any{"env", []string{"production"}}, authz.TokenClaims, ""},
		{"of an issuer that does not tell", unclaimed, []any{"env", "sandbox"}, authz.Internal, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, test.cfg, newFakeKeys(allKeys()...))
			credential := sign(goodHeader(), with(goodClaims(), test.members...))
			for range 2 {
				token, err := verify(verifier, credential)
				wantReason(t, token, err, test.want)
				if token != nil && token.Environment != test.told {
					t.Errorf("environment %q, want %q", token.Environment, test.told)
				}
			}
		})
	}
}

// TestAddressesAreTheClientsOwn holds that a client's networks go with its tokens alone.
func TestAddressesAreTheClientsOwn(t *testing.T) {
	cfg := issuedBy(func(c *Config) {
		c.Issuers[0].Clients = map[authz.ClientID]Client{"acme": {Addresses: []string{"192.0.2.0/24", "2001:db8::/32"}}}
	})
	verifier := newVerifier(t, cfg, newFakeKeys(allKeys()...))
	for client, want := range map[string][]netip.Prefix{
		"acme": {netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		"zeta": nil, "Acme": nil,
	} {
		token, err := verify(verifier, sign(goodHeader(), with(goodClaims(), "client_id", client)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, token.Addresses, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("addresses of %s (-want +got):\n%s", client, diff)
		}
	}
}

func TestLifecycleFaults(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"negative bounds", issuedBy(func(c *Config) { c.Issuers[0].MaxLifetime, c.Issuers[0].MaxAge = -1, -1 }),
			[]string{"issuers[0].max_lifetime", "issuers[0].max_token_age"}},
		{"an environment's claim without an environment", issuedBy(func(c *Config) { c.Issuers[0].Claims.Environment = "env" }),
			[]string{"issuers[0].claims.environment"}},
		{"clients without addresses", issuedBy(func(c *Config) { c.Issuers[0].Clients = map[authz.ClientID]Client{"zeta": {}, "acme": {}} }),
			[]string{"issuers[0].clients.acme.addresses", "issuers[0].clients.zeta.addresses"}},
		{"what is no network", issuedBy(func(c *Config) {
			c.Issuers[0].Clients = map[authz.ClientID]Client{"acme": {Addresses: []string{
				"192.0.2.0/24", "192.0.2.7", "192.0.2.7/24", "::ffff:192.0.2.0/120", "192.0.2.0/33", "fe80::1%eth0/64", "", "acme.example"}}}
		}), []string{"issuers[0].clients.acme.addresses[1]", "issuers[0].clients.acme.addresses[2]", "issuers[0].clients.acme.addresses[3]",
			"issuers[0].clients.acme.addresses[4]", "issuers[0].clients.acme.addresses[5]", "issuers[0].clients.acme.addresses[6]", "issuers[0].clients.acme.addresses[7]"}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, problemKeys(test.cfg.Check())); diff != "" {
			t.Errorf("%s: Check() (-want +got):\n%s", test.name, diff)
		}
	}
}
