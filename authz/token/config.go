package token

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// Config says whose tokens are taken, and for which API.
type Config struct {
	Issuers []Issuer
	APIs    map[authz.API]API
	Cache   Cache
	// Environment is that of this deployment, or "".
	Environment string
}

// Issuer is one authorization server. Exactly one of Kind and KindClaim is set.
type Issuer struct {
	// Issuer is the iss of its tokens, compared as it stands (RFC 9068 §4).
	Issuer string      `yaml:"issuer"`
	JWKS   jwks.Config `yaml:"jwks"`
	// Profile is oauth, fapi1-advanced or fapi2: what the standard that the issuer keeps
	// to asks of its tokens. What follows may ask for more, and never for less.
	Profile string `yaml:"profile"`
	// Algorithms are those that it signs with; none means the profile's, of oauth PS256,
	// ES256 and EdDSA.
	Algorithms []string `yaml:"algorithms"`
	// Types are the values of typ that it marks access tokens with, without
	// "application/"; none means at+jwt. Name others only for an issuer that
	// predates RFC 9068: a type that other JWTs of the issuer have too lets them
	// pass for access tokens (RFC 8725 §3.12).
	Types []string `yaml:"types"`
	// SenderConstrained asks that its tokens be bound, as the FAPI profiles do anyway;
	// nil leaves it to the profile.
	SenderConstrained *bool `yaml:"sender_constrained"`
	// Legacy names what is taken of an issuer that predates RFC 9068: untyped, scp.
	Legacy []string `yaml:"legacy"`
	// Skew is how far its clock may be from ours, to 60 s; zero means 10 s.
	Skew time.Duration `yaml:"skew"`
	// MaxLifetime is the longest that a token may be issued for, from iat to exp, and
	// MaxAge the longest that it is taken from iat on; zero means as long as it says.
	MaxLifetime time.Duration `yaml:"max_lifetime"`
	MaxAge      time.Duration `yaml:"max_token_age"`
	// Kind is that of all of its callers: customer, client or staff. A token whose
	// sub is its client_id is always a client's.
	Kind string `yaml:"kind"`
	// KindClaim says which claim tells the kind.
	KindClaim KindClaim `yaml:"kind_claim"`
	// Claims are the issuer's names for what no standard names.
	Claims ClaimNames `yaml:"claims"`
	// Clients are those of which more is known than what their tokens say.
	Clients map[authz.ClientID]Client `yaml:"clients"`
}

// KindClaim is a claim and what its values mean. A token without it, or with another
// value, is refused.
type KindClaim struct {
	Name string `yaml:"name"`
	// Values map the claim's values to customer, client or staff.
	Values map[string]string `yaml:"values"`
}

// ClaimNames are names of top-level claims; "" means that the issuer has no such
// claim. Roles may be an array or a space-delimited string, the others are strings.
type ClaimNames struct {
	Roles   string `yaml:"roles"`
	Region  string `yaml:"region"`
	Tenant  string `yaml:"tenant"`
	Consent string `yaml:"consent"`
	// Environment is the one that a token was issued for: it must be Config's.
	Environment string `yaml:"environment"`
}

// API is what tokens must be to be taken for one API.
type API struct {
	// Audiences are the API's names for itself: a token's aud must hold one of them.
	Audiences []string `yaml:"audiences"`
	// Issuers are those whose tokens are taken; none means all that are configured.
	Issuers []string `yaml:"issuers"`
	// DPoP says what is asked of proofs of possession; nil means that none are taken,
	// and so no tokens that need one.
	DPoP *dpop.Config `yaml:"dpop"`
}

// Cache bounds the memory of verified tokens.
type Cache struct {
	// MaxTokens is how many are remembered; zero means 10,000.
	MaxTokens int `yaml:"max_tokens"`
	// MaxAge is for how long; zero means 5 minutes.
	MaxAge time.Duration `yaml:"max_age"`
}

const (
	defaultSkew = 10 * time.Second
	maxSkew     = time.Minute

	mostTokens = 10_000_000
	mostAge    = time.Hour
)

// otherTypes mark JWTs that are something else than access tokens (RFC 9449 §4.2,
// RFC 8417 §2.3, RFC 9701 §5, OpenID Connect Back-Channel Logout §2.4, Token Status
// List): they can never be configured as access tokens.
var otherTypes = []string{"dpop+jwt", "secevent+jwt", "token-introspection+jwt", "logout+jwt", "statuslist+jwt"}

var kindsByName = map[string]authz.Kind{
	authz.Customer.String(): authz.Customer,
	authz.Client.String():   authz.Client,
	authz.Staff.String():    authz.Staff,
}

// Check returns all faults of the configuration as authz.Problems, or nil. It touches
// neither disk nor network.
func (c Config) Check() error { return c.problems().Err() }

func (c Config) problems() authz.Problems {
	var problems authz.Problems
	if len(c.Issuers) == 0 && len(c.APIs) > 0 {
		problems.Add("issuers", "is empty", "name the authorization server")
	}
	if len(c.APIs) == 0 && len(c.Issuers) > 0 {
		problems.Add("apis", "is empty", "give each API its audiences")
	}
	seen := map[string]bool{}
	for i, issuer := range c.Issuers {
		key := fmt.Sprintf("issuers[%d]", i)
		if seen[issuer.Issuer] {
			problems.Add(key+".issuer", "stands twice", "keep one of them")
		}
		seen[issuer.Issuer] = true
		problems = append(problems, issuer.problems(c.Environment).Under(key)...)
	}
	for _, name := range slices.Sorted(maps.Keys(c.APIs)) {
		problems = append(problems, c.APIs[name].problems(c.Issuers).Under(fmt.Sprintf("apis.%s", name))...)
	}
	problems = append(problems, c.Cache.problems().Under("cache")...)
	return problems
}

func (i Issuer) problems(environment string) authz.Problems {
	var problems authz.Problems
	if u, err := url.Parse(i.Issuer); err != nil || u.Scheme == "" || u.RawQuery != "" || u.Fragment != "" {
		problems.Add("issuer", "is no issuer identifier", "use the URL that its metadata and tokens have, to the letter")
	}
	problems = append(problems, authz.ProblemsOf(i.JWKS.Check()).Under("jwks")...)
	for n, algorithm := range i.Algorithms {
		if !slices.Contains(jose.Algorithms, algorithm) {
			problems.Add(fmt.Sprintf("algorithms[%d]", n), fmt.Sprintf("%q is not accepted", algorithm), "use "+strings.Join(jose.Algorithms, ", "))
		}
	}
	for n, kind := range i.Types {
		if !isType(kind) {
			problems.Add(fmt.Sprintf("types[%d]", n), fmt.Sprintf("%q is no type of access tokens", kind), "use at+jwt, or what the issuer has in its place")
		}
	}
	if i.Skew < 0 || i.Skew > maxSkew {
		problems.Add("skew", fmt.Sprintf("%v is out of range", i.Skew), fmt.Sprintf("use 0s to %v", maxSkew))
	}
	i.kindProblems(&problems)
	problems = append(problems, i.profileProblems()...)
	return append(problems, i.lifecycleProblems(environment)...)
}

func (i Issuer) kindProblems(problems *authz.Problems) {
	const fix = "use customer, client or staff"
	byClaim := i.KindClaim.Name != "" || len(i.KindClaim.Values) > 0
	switch {
	case i.Kind == "" && !byClaim:
		problems.Add("kind", "is not said", fix+", or kind_claim where a claim tells")
	case i.Kind != "" && byClaim:
		problems.Add("kind", "stands beside kind_claim", "keep one of them")
	case i.Kind != "" && kindsByName[i.Kind] == authz.Anonymous:
		problems.Add("kind", fmt.Sprintf("%q is no kind of caller", i.Kind), fix)
	case byClaim && i.KindClaim.Name == "":
		problems.Add("kind_claim.name", "is empty", "name the claim")
	case byClaim && len(i.KindClaim.Values) == 0:
		problems.Add("kind_claim.values", "is empty", "say what the claim's values mean")
	}
	for _, value := range slices.Sorted(maps.Keys(i.KindClaim.Values)) {
		if kind := i.KindClaim.Values[value]; value == "" || kindsByName[kind] == authz.Anonymous {
			problems.Add("kind_claim.values."+value, fmt.Sprintf("%q is no kind of caller", kind), fix)
		}
	}
}

func (a API) problems(issuers []Issuer) authz.Problems {
	var problems authz.Problems
	if len(a.Audiences) == 0 || slices.Contains(a.Audiences, "") {
		problems.Add("audiences", "is empty or holds an empty value", "name the aud that the API's tokens have")
	}
	if a.Issuers != nil && len(a.Issuers) == 0 {
		problems.Add("issuers", "is empty", "name those whose tokens are taken, or remove the key to take all that are configured")
	}
	for i, issuer := range a.Issuers {
		if !slices.ContainsFunc(issuers, func(known Issuer) bool { return known.Issuer == issuer }) {
			problems.Add(fmt.Sprintf("issuers[%d]", i), fmt.Sprintf("%q is not among the issuers", issuer), "name one that is configured")
		}
	}
	if a.DPoP != nil {
		problems = append(problems, authz.ProblemsOf(a.DPoP.Check()).Under("dpop")...)
		a.proofProblems(issuers, &problems)
	}
	return problems
}

// takes reports an issuer whose tokens are taken.
func (a API) takes(issuer Issuer) bool {
	return len(a.Issuers) == 0 || slices.Contains(a.Issuers, issuer.Issuer)
}

// proofProblems holds what proofs may be signed with against the profiles of the issuers
// whose tokens are bound to keys (FAPI 2.0 §5.4.1).
func (a API) proofProblems(issuers []Issuer, problems *authz.Problems) {
	for _, issuer := range issuers {
		p, known := profileNamed(issuer.Profile)
		if !known || !a.takes(issuer) || !p.takesKeys() {
			continue
		}
		for n, algorithm := range a.DPoP.Algorithms {
			if slices.Contains(jose.Algorithms, algorithm) && !slices.Contains(p.algorithms, algorithm) {
				problems.Add(fmt.Sprintf("dpop.algorithms[%d]", n), fmt.Sprintf("%q is not one of profile %s, which %s has", algorithm, p.name, issuer.Issuer),
					"use "+strings.Join(p.algorithms, ", "))
			}
		}
	}
}

func (c Cache) problems() authz.Problems {
	var problems authz.Problems
	if c.MaxTokens < 0 || c.MaxTokens > mostTokens {
		problems.Add("max_tokens", fmt.Sprintf("%d is out of range", c.MaxTokens), fmt.Sprintf("use 1 to %d", mostTokens))
	}
	if c.MaxAge < 0 || c.MaxAge > mostAge {
		problems.Add("max_age", fmt.Sprintf("%v is out of range", c.MaxAge), fmt.Sprintf("use up to %v", mostAge))
	}
	return problems
}

func (c Cache) withDefaults() Cache {
	if c.MaxTokens == 0 {
		c.MaxTokens = defaultMaxTokens
	}
	if c.MaxAge == 0 {
		c.MaxAge = defaultMaxAge
	}
	return c
}

// isType reports a typ that may mark access tokens.
func isType(kind string) bool {
	return kind != "" && !strings.Contains(kind, "/") && !slices.Contains(otherTypes, strings.ToLower(kind))
}

// build makes a checked configuration ready for use.
func (i Issuer) build(keys Keys, environment string) *issuer {
	p, _ := profileNamed(i.Profile)
	built := &issuer{name: i.Issuer, keys: keys, algorithms: i.Algorithms, skew: i.Tolerance(), names: i.Claims,
		bindings: p.asked(i), untyped: slices.Contains(i.Legacy, untyped), scopeArray: slices.Contains(i.Legacy, scopeArray),
		lifecycle: i.lifecycle(environment),
		kinds:     kinds{all: kindsByName[i.Kind], claim: i.KindClaim.Name, values: map[string]authz.Kind{}}}
	if len(built.algorithms) == 0 {
		built.algorithms = p.usual
	}
	for _, kind := range i.Types {
		built.types = append(built.types, strings.ToLower(kind))
	}
	if len(built.types) == 0 {
		built.types = []string{usualType}
	}
	for value, kind := range i.KindClaim.Values {
		built.kinds.values[value] = kindsByName[kind]
	}
	return built
}
