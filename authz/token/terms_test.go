package token

import (
	"context"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// TestTokensStayKnownOnTheSameTerms has a token come to one verifier and then to the one
// after it, which differs in one thing, and tells whether it was verified again.
func TestTokensStayKnownOnTheSameTerms(t *testing.T) {
	as := func(name string) func(map[string]any) any { return func(map[string]any) any { return name } }
	for _, c := range []struct {
		name   string
		change func(cfg *Config, env *Environment)
		known  bool
	}{
		{"nothing", func(*Config, *Environment) {}, true},
		{"what APIs take", func(cfg *Config, _ *Environment) {
			cfg.APIs["payments"] = API{Audiences: []string{"https://rs.example/payments"}}
		}, true},
		{"the cache's defaults in so many words", func(cfg *Config, _ *Environment) {
			cfg.Cache = Cache{MaxTokens: defaultMaxTokens, MaxAge: defaultMaxAge}
		}, true},
		{"no verifier before", func(_ *Config, env *Environment) { env.Before = nil }, false},
		{"an issuer's kind of callers", func(cfg *Config, _ *Environment) { cfg.Issuers[0].Kind = "staff" }, false},
		{"an issuer's algorithms", func(cfg *Config, _ *Environment) { cfg.Issuers[0].Algorithms = []string{"ES256"} }, false},
		{"an issuer's names of claims", func(cfg *Config, _ *Environment) { cfg.Issuers[0].Claims.Tenant = "bank" }, false},
		{"an issuer's skew", func(cfg *Config, _ *Environment) { cfg.Issuers[0].Skew = time.Second }, false},
		{"the environment", func(cfg *Config, _ *Environment) { cfg.Environment = "test" }, false},
		{"the cache", func(cfg *Config, _ *Environment) { cfg.Cache.MaxAge = time.Minute }, false},
		{"an issuer's key set", func(_ *Config, env *Environment) {
			env.Keys = map[string]Keys{issuerName: newFakeKeys(allKeys()...)}
		}, false},
		{"what is prepared", func(_ *Config, env *Environment) { env.Prepare, env.Prepares = as("other"), "other" }, false},
		{"that something is prepared", func(_ *Config, env *Environment) { env.Prepare, env.Prepares = nil, "" }, false},
		{"the name of what is prepared", func(_ *Config, env *Environment) { env.Prepares = "" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := newFakeKeys(allKeys()...)
			env := Environment{Keys: map[string]Keys{issuerName: keys}, Replays: &fakeReplays{}, Nonces: testNonces, Prepare: as("one"), Prepares: "one"}
			before := must(New(goodConfig(), env))
			credential := sign(goodHeader(), goodClaims())
			first := must(verify(before, credential))
			cfg := goodConfig()
			env.Before = before
			c.change(&cfg, &env)
			next, err := New(cfg, env)
			if err != nil {
				t.Fatal(err)
			}
			second, err := verify(next, credential)
			if known := second == first && err == nil; known != c.known {
				t.Errorf("known to the next verifier: %v, want %v (%v)", known, c.known, err)
			}
			if env.Prepare == nil || second == nil {
				return
			}
			if want := env.Prepare(nil); second.Prepared != want {
				t.Errorf("prepared is %v, want %v", second.Prepared, want)
			}
		})
	}
}

// TestWhatHasNoNameIsPreparedAnew holds that preparations without a name are like no other.
func TestWhatHasNoNameIsPreparedAnew(t *testing.T) {
	env := Environment{Keys: map[string]Keys{issuerName: newFakeKeys(allKeys()...)}, Replays: &fakeReplays{}, Nonces: testNonces}
	credential := sign(goodHeader(), goodClaims())
	for _, want := range []string{"one", "two"} {
		env.Prepare = func(map[string]any) any { return want }
		env.Before = must(New(goodConfig(), env))
		if got := must(verify(env.Before, credential)).Prepared; got != want {
			t.Errorf("prepared is %v, want %v", got, want)
		}
	}
}

// TestKnownTokenIsHeldAgainstTheNextTerms holds that a token which stays known is refused
// where the next verifier's APIs do not take it.
func TestKnownTokenIsHeldAgainstTheNextTerms(t *testing.T) {
	keys := map[string]Keys{issuerName: newFakeKeys(allKeys()...)}
	env := Environment{Keys: keys, Replays: &fakeReplays{}, Nonces: testNonces}
	credential := sign(goodHeader(), goodClaims())
	env.Before = must(New(goodConfig(), env))
	must(verify(env.Before, credential))
	cfg := goodConfig()
	cfg.APIs[accounts] = API{Audiences: []string{"https://rs.example/others"}}
	token, err := must(New(cfg, env)).Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), nil, now)
	wantReason(t, token, err, authz.TokenAudience)
}
