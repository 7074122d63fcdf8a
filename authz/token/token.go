// Package token verifies access tokens: JWTs as RFC 9068 has them, signed by a
// configured issuer, for one of the API's audiences, and bound, where they are
// bound, to the client certificate of this very request.
//
// What is said once is checked in this order: the Authorization header, the
// token's form, its issuer, type and algorithm, the signature, the claims, the
// audience and times, the binding. Nothing but iss is read from the claims before
// the signature is verified. Signature and claims of a token that came before are
// remembered; everything that depends on the request, the API, the time or the
// issuer's current keys is checked each time.
//
// It never accepts a token from anywhere but the header, never fetches what a token
// names, and never decides what a caller may do.
package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// Keys are one issuer's public keys, always the current ones. *jwks.Store is one.
// They outlive the verifiers that use them. All methods are safe for concurrent use.
type Keys interface {
	// Key returns the key to verify a token with; kid is "" where the token has
	// none. Its error wraps authz.TokenKey or authz.KeysUnavailable.
	Key(ctx context.Context, kid, algorithm string) (*jwks.Key, error)
	// Holds reports that the key is still one of the issuer's. It never blocks.
	Holds(key *jwks.Key) bool
}

var _ Keys = (*jwks.Store)(nil)

// Verifier verifies the access tokens of requests. It is immutable but for its cache
// and safe for concurrent use.
type Verifier struct {
	issuers map[string]*issuer
	apis    map[authz.API]*api
	cache   *cache
	prepare func(claims map[string]any) any
}

var _ authz.Tokens = (*Verifier)(nil)

// issuer is one configured issuer, ready for use.
type issuer struct {
	name       string
	keys       Keys
	algorithms []string
	types      []string
	skew       time.Duration
	kinds      kinds
	names      ClaimNames
}

// api is what tokens must be to be taken for one API.
type api struct {
	audiences []string
	issuers   []string
}

// errUnknownAPI is a fault of the configuration, not of the request.
var errUnknownAPI = errors.New("token: no audience is configured for this API")

// New returns a verifier over the issuers' keys, which are keyed by issuer. prepare
// puts the claims of a token into the policy engine's form, once, before the token
// is handed out; it must not keep or change them, and nil leaves Token.Prepared
// nil. All faults of the configuration are returned in one go, as authz.Problems.
func New(cfg Config, keys map[string]Keys, prepare func(claims map[string]any) any) (*Verifier, error) {
	problems := cfg.problems()
	for i, each := range cfg.Issuers {
		if keys[each.Issuer] == nil {
			problems.Add(fmt.Sprintf("issuers[%d].jwks", i), "is not open: key sets are opened at start", "restart to add an issuer")
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	remembered, err := newCache(cfg.Cache)
	if err != nil {
		return nil, err
	}
	v := &Verifier{issuers: map[string]*issuer{}, apis: map[authz.API]*api{}, cache: remembered, prepare: prepare}
	for _, each := range cfg.Issuers {
		v.issuers[each.Issuer] = each.build(keys[each.Issuer])
	}
	for name, each := range cfg.APIs {
		v.apis[name] = &api{audiences: each.Audiences, issuers: each.Issuers}
	}
	return v, nil
}

// Verify implements authz.Tokens.
func (v *Verifier) Verify(ctx context.Context, name authz.API, request *authz.Request, certificate *authz.Certificate, at time.Time) (*authz.Token, error) {
	credential, err := bearer(request)
	if err != nil {
		return nil, err
	}
	api, ok := v.apis[name]
	if !ok {
		return nil, errUnknownAPI
	}
	known, err := v.genuine(ctx, credential, api, at)
	if err != nil {
		return nil, err
	}
	if err := known.admit(api, certificate, at); err != nil {
		return nil, err
	}
	return known.token, nil
}

// genuine returns the credential's token, from the cache or verified now.
func (v *Verifier) genuine(ctx context.Context, credential string, api *api, at time.Time) (*verified, error) {
	id := sha256.Sum256([]byte(credential))
	if known := v.cache.fresh(id, at); known != nil {
		return known, nil
	}
	parsed, err := parse(credential)
	if err != nil {
		return nil, err
	}
	issuer, err := v.issuerOf(parsed, api)
	if err != nil {
		return nil, err
	}
	return v.cache.load(ctx, id, func(ctx context.Context) (*verified, error) {
		return v.verify(ctx, parsed, issuer, at)
	})
}

// issuerOf finds the issuer that the token names (RFC 9068 §4), and holds the header
// against what that issuer is configured to send. A token that this API would not
// take in any case causes no look-up of a key.
func (v *Verifier) issuerOf(parsed *jose.Compact, api *api) (*issuer, error) {
	name, ok := parsed.Claims["iss"].(string)
	if !ok {
		return nil, fmt.Errorf("token: %w: iss is absent or no string", authz.TokenClaims)
	}
	issuer, known := v.issuers[name]
	if !known || !api.takes(name) {
		return nil, fmt.Errorf("token: %w: not accepted here", authz.TokenIssuer)
	}
	return issuer, issuer.accepts(parsed)
}

// takes reports that the API takes the issuer's tokens; one that names no issuers
// takes those of all that are configured.
func (a *api) takes(issuer string) bool {
	return len(a.issuers) == 0 || slices.Contains(a.issuers, issuer)
}

// verify checks everything about a token that depends on the token and its issuer
// alone.
func (v *Verifier) verify(ctx context.Context, parsed *jose.Compact, issuer *issuer, at time.Time) (*verified, error) {
	key, err := issuer.keys.Key(ctx, parsed.KeyID, parsed.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if err := verifySignature(parsed, key); err != nil {
		return nil, err
	}
	claims, err := readClaims(parsed.Claims, issuer)
	if err != nil {
		return nil, err
	}
	known := &verified{issuer: issuer, key: key, since: at, claims: claims}
	// A token that is out of its time is not worth remembering.
	if err := known.checkTimes(at); err != nil {
		return nil, err
	}
	known.token = claims.token(parsed.Claims, issuer)
	if v.prepare != nil {
		known.token.Prepared = v.prepare(parsed.Claims)
	}
	return known, nil
}

// verified is a token whose signature and claims were checked. It is immutable and
// shared.
type verified struct {
	token  *authz.Token
	issuer *issuer
	// key is the one that verified it.
	key *jwks.Key
	// since is when it was verified.
	since  time.Time
	claims *claims
}

// admit checks what depends on the API, the time and the request, and may differ
// each time the token is sent.
func (k *verified) admit(api *api, certificate *authz.Certificate, at time.Time) error {
	if !api.takes(k.issuer.name) {
		return fmt.Errorf("token: %w: not accepted here", authz.TokenIssuer)
	}
	if !slices.ContainsFunc(k.claims.audiences, func(a string) bool { return slices.Contains(api.audiences, a) }) {
		return fmt.Errorf("token: %w", authz.TokenAudience)
	}
	if err := k.checkTimes(at); err != nil {
		return err
	}
	return k.claims.confirmation.check(certificate)
}

// checkTimes holds exp, nbf and iat against the clock (RFC 7519 §4.1.4 to §4.1.6),
// give or take the issuer's skew.
func (k *verified) checkTimes(at time.Time) error {
	latest := at.Add(k.issuer.skew)
	switch {
	case !at.Before(k.claims.expiresAt.Add(k.issuer.skew)):
		return fmt.Errorf("token: %w", authz.TokenExpired)
	case k.claims.notBefore.After(latest):
		return fmt.Errorf("token: %w: nbf is to come", authz.TokenNotYetValid)
	case k.claims.issuedAt.After(latest):
		return fmt.Errorf("token: %w: iat is to come", authz.TokenNotYetValid)
	}
	return nil
}
