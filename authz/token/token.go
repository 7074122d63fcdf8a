// Package token verifies access tokens: JWTs as RFC 9068 has them, signed by a
// configured issuer, for one of the API's audiences, and bound, where they are
// bound, to the client certificate of this very request, or to a key of which it
// brings a proof.
//
// What is said once is checked in this order: the Authorization header, the
// token's form, its issuer, type and algorithm, the signature, the claims, the
// environment, times, audience, the binding. Nothing but iss is read from the claims before
// the signature is verified. Signature and claims of a token that came before are
// remembered; everything that depends on the request, the API, the time or the
// issuer's current keys is checked each time; a proof is good once.
//
// It never accepts a token from anywhere but the header, never fetches what a token
// names, and never decides what a caller may do.
package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/dpop"
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

// Verifier verifies the access tokens of requests. It is immutable but for its cache,
// which it may share with the one before it, and safe for concurrent use.
type Verifier struct {
	issuers map[string]*issuer
	apis    map[authz.API]*api
	cache   *cache
	terms   terms
	prepare func(claims map[string]any) any
}

var (
	_ authz.Tokens     = (*Verifier)(nil)
	_ authz.ProofTerms = (*Verifier)(nil)
)

// Environment is what a verifier works with.
type Environment struct {
	// Keys are those of the issuers, by issuer.
	Keys map[string]Keys
	// Prepare puts the claims of a token into the policy engine's form, once, before the
	// token is handed out; it must not keep or change them, and nil leaves
	// Token.Prepared nil.
	Prepare func(claims map[string]any) any
	// Prepares tells one Prepare from another: those of the same name make the same of the
	// same claims. "" is like no other.
	Prepares string
	// Before is a verifier whose tokens are known to the new one, too, where all that they
	// were verified by is the same; nil is none.
	Before *Verifier
	// Replays and Nonces may be nil where no API takes proofs of possession.
	Replays dpop.Replays
	Nonces  *dpop.Nonces
}

// issuer is one configured issuer, ready for use.
type issuer struct {
	name       string
	keys       Keys
	algorithms []string
	types      []string
	// bindings are those of which a token must have one; nil asks for none.
	bindings            []authz.Binding
	untyped, scopeArray bool
	skew                time.Duration
	lifecycle           lifecycle
	kinds               kinds
	names               ClaimNames
}

// api is what tokens must be to be taken for one API.
type api struct {
	audiences []string
	issuers   []string
	// proofs is nil where none are taken.
	proofs *dpop.Verifier
}

// errUnknownAPI is a fault of the configuration, not of the request.
var errUnknownAPI = errors.New("token: no audience is configured for this API")

// errNoReplays is a fault of whoever calls New.
var errNoReplays = errors.New("token: an API takes proofs, and nothing is there to count them or to make nonces")

// New returns a verifier. All faults of the configuration are returned in one go, as
// authz.Problems.
func New(cfg Config, env Environment) (*Verifier, error) {
	problems := cfg.problems()
	for i, each := range cfg.Issuers {
		if env.Keys[each.Issuer] == nil {
			problems.Add(fmt.Sprintf("issuers[%d].jwks", i), "is not open: key sets are opened at start", "restart to add an issuer")
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	terms := termsOf(cfg, env)
	remembered, err := cacheFor(terms, env.Before)
	if err != nil {
		return nil, err
	}
	v := &Verifier{issuers: map[string]*issuer{}, apis: map[authz.API]*api{}, cache: remembered, terms: terms, prepare: env.Prepare}
	for _, each := range cfg.Issuers {
		v.issuers[each.Issuer] = each.build(env.Keys[each.Issuer], cfg.Environment)
	}
	for name, each := range cfg.APIs {
		built := &api{audiences: each.Audiences, issuers: each.Issuers}
		if each.DPoP != nil {
			if env.Replays == nil || env.Nonces == nil {
				return nil, errNoReplays
			}
			built.proofs = dpop.New(*each.DPoP, env.Nonces, env.Replays)
		}
		v.apis[name] = built
	}
	return v, nil
}

// Proofs implements authz.ProofTerms.
func (v *Verifier) Proofs(name authz.API, at time.Time) *authz.Proofs {
	api, ok := v.apis[name]
	if !ok || api.proofs == nil {
		return nil
	}
	return api.proofs.Proofs(at)
}

// Verify implements authz.Tokens.
func (v *Verifier) Verify(ctx context.Context, match authz.Match, request *authz.Request, certificate *authz.Certificate, at time.Time) (*authz.Token, error) {
	sent, err := credentialOf(request)
	if err != nil {
		return nil, err
	}
	api, ok := v.apis[match.API]
	switch {
	case !ok:
		return nil, errUnknownAPI
	case sent.proven && api.proofs == nil:
		return nil, fmt.Errorf("credentials: %w: DPoP, and no proofs are taken here", authz.UnsupportedScheme)
	}
	known, err := v.genuine(ctx, sent.token, api, at)
	if err != nil {
		return nil, err
	}
	if err := known.admit(api, at); err != nil {
		return nil, err
	}
	return known.sentBy(ctx, sender{certificate, sent, request, api.proofs, match.BestEffort()}, at)
}

// genuine returns the credential's token, from the cache or verified now.
func (v *Verifier) genuine(ctx context.Context, credential string, api *api, at time.Time) (*verified, error) {
	id := idOf(credential)
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
	if err := issuer.lifecycle.checkEnvironment(claims.environment); err != nil {
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

// admit checks what depends on the API and the time, and may differ each time the token
// is sent.
func (k *verified) admit(api *api, at time.Time) error {
	if !api.takes(k.issuer.name) {
		return fmt.Errorf("token: %w: not accepted here", authz.TokenIssuer)
	}
	if err := k.checkTimes(at); err != nil {
		return err
	}
	if !slices.ContainsFunc(k.claims.audiences, func(a string) bool { return slices.Contains(api.audiences, a) }) {
		return fmt.Errorf("token: %w", authz.TokenAudience)
	}
	return nil
}

// sentBy checks that the token was sent by whom it is bound to, and hands it out. Nothing
// of this is remembered.
func (k *verified) sentBy(ctx context.Context, s sender, at time.Time) (*authz.Token, error) {
	if err := k.checkBound(); err != nil {
		return nil, err
	}
	next, err := k.claims.confirmation.check(ctx, s, at)
	// To count the proof is the last check: all the others have passed then.
	uncounted := s.bestEffort && errors.Is(err, authz.ReplaysUnavailable) && errors.Is(err, authz.ErrNoAnswer)
	switch {
	case errors.Is(err, authz.ProofReplayed):
		return nil, &authz.Replayed{Caller: k.token.Caller, Err: err}
	case err != nil && !uncounted:
		return nil, err
	case next == "" && !uncounted:
		return k.token, nil
	}
	token := *k.token
	token.NextNonce, token.Uncounted = next, uncounted
	return &token, nil
}

// checkBound holds that the token is bound in a way that its issuer's profile asks for,
// whoever sent it: FAPI 1.0 Advanced §8.2, FAPI 2.0 §5.3.4.
func (k *verified) checkBound() error {
	asked := k.issuer.bindings
	switch {
	case asked == nil:
		return nil
	case !k.claims.confirmation.bound:
		return fmt.Errorf("binding: %w", authz.TokenUnbound)
	case !slices.ContainsFunc(k.token.Bindings, func(b authz.Binding) bool { return slices.Contains(asked, b) }):
		return fmt.Errorf("binding: %w", authz.BindingUnsupported)
	}
	return nil
}

// checkTimes holds exp, nbf and iat against the clock (RFC 7519 §4.1.4 to §4.1.6),
// give or take the issuer's skew, and against what the issuer's tokens may last.
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
	return k.issuer.lifecycle.checkLife(k.claims, k.issuer.skew, at)
}
