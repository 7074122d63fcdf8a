// Package dpop verifies proofs of possession (RFC 9449): that whoever sends a token
// holds the key that the token is bound to, and made the proof for this request, now,
// and once.
//
// The checks are those of §4.3 in that order; the earlier failure wins. A proof is
// held against the API's public origins, never against a header by which a client
// could say where it believes to be. It is counted as used last of all, so that only
// good proofs take up room. Nothing that was verified is remembered: every request
// needs a proof of its own.
package dpop

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

const (
	maxProof = 4 << 10
	// maxText bounds jti and nonce.
	maxText = 256
	// maxAhead is how far a client's clock may be ahead of ours.
	maxAhead = 10 * time.Second
	// maxRSABits and maxExponent bound the work of verifying a proof.
	maxRSABits  = 4096
	maxExponent = 65537
)

// Replays remembers which proofs were used. It is safe for concurrent use.
type Replays interface {
	// Fresh reports whether the key is offered for the first time, and remembers it
	// until then at least: of any number who offer it at once, one is told true. A
	// store that cannot tell, or cannot remember, is an error.
	Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error)
}

// Verifier verifies the proofs of one API. It is immutable and safe for concurrent use.
type Verifier struct {
	origins    []string
	algorithms []string
	maxAge     time.Duration
	// demands says that proofs must hold one of nonces.
	demands bool
	nonces  *Nonces
	replays Replays
}

// New returns a verifier for an API with a checked configuration. nonces may be nil where
// none is demanded.
func New(cfg Config, nonces *Nonces, replays Replays) *Verifier {
	v := &Verifier{algorithms: cfg.Accepted(), maxAge: cfg.MaxAge, demands: cfg.Nonce, nonces: nonces, replays: replays}
	for _, origin := range cfg.Origins {
		normal, _ := normalOrigin(origin)
		v.origins = append(v.origins, normal)
	}
	if v.maxAge == 0 {
		v.maxAge = defaultMaxAge
	}
	return v
}

// Proofs are what the API asks of proofs.
func (v *Verifier) Proofs(at time.Time) *authz.Proofs {
	asked := &authz.Proofs{Algorithms: v.algorithms}
	if v.demands {
		asked.Nonce = v.nonces.at(at)
	}
	return asked
}

// Call is what a proof is held against.
type Call struct {
	Request *authz.Request
	// Token is the access token as sent, and Key the jkt that it is bound to.
	Token string
	Key   [sha256.Size]byte
	At    time.Time
}

// Verify checks the proof that came with a request, and counts it as used. next is the
// nonce that the client's next proof must hold where this one's is soon refused, or "".
// The error wraps one of the reasons authz.ProofMissing to ReplaysUnavailable; of the
// proof it says nothing.
func (v *Verifier) Verify(ctx context.Context, call Call) (next string, err error) {
	text, err := header(call.Request)
	if err != nil {
		return "", err
	}
	p, err := parse(text)
	if err != nil {
		return "", err
	}
	if err := v.signed(p); err != nil {
		return "", err
	}
	url, err := v.meant(p, call.Request)
	if err != nil {
		return "", err
	}
	if next, err = v.timely(p, call.At); err != nil {
		return "", err
	}
	if err := p.belongs(call); err != nil {
		return "", err
	}
	return next, v.spend(ctx, p, url)
}

// header is the one proof of a request (§4.3 check 1). Envoy joins fields of one name by a
// comma, which no proof holds.
func header(request *authz.Request) (string, error) {
	value, count := "", 0
	for v := range request.Headers.Values("dpop") {
		value = v
		count++
	}
	switch {
	case count == 0:
		return "", fmt.Errorf("proof: %w", authz.ProofMissing)
	case count > 1 || strings.Contains(value, ","):
		return "", fmt.Errorf("proof: %w: more than one", authz.ProofMalformed)
	}
	return value, nil
}

// signed checks the algorithm, that the key is public and sound, and the signature (checks
// 5, 7 and 6: a key is looked at before it is used).
func (v *Verifier) signed(p *proof) error {
	if !slices.Contains(v.algorithms, p.Algorithm) {
		return fmt.Errorf("proof: %w", authz.ProofAlgorithm)
	}
	if p.key = jose.ParseKey(p.Key); p.key == nil || isCostly(p.key.Public) {
		return fmt.Errorf("proof: %w: jwk is absent, or no public key that is taken", authz.ProofMalformed)
	}
	if !jose.Fits(p.key.Public, p.Algorithm) {
		return fmt.Errorf("proof: %w: not of the key's kind", authz.ProofAlgorithm)
	}
	if err := p.Verify(p.key.Public); err != nil {
		return fmt.Errorf("proof: %w", authz.ProofSignature)
	}
	return nil
}

// isCostly reports a key that takes long to verify by, which whoever makes it can choose:
// it is their own work that they have others do.
func isCostly(key crypto.PublicKey) bool {
	public, ok := key.(*rsa.PublicKey)
	return ok && (public.N.BitLen() > maxRSABits || public.E > maxExponent)
}

// meant checks that the proof is for this method and URL (checks 8 and 9), which it
// returns in its normal form.
func (v *Verifier) meant(p *proof, request *authz.Request) (string, error) {
	if p.method != request.Method {
		return "", fmt.Errorf("proof: %w", authz.ProofMethod)
	}
	url, ok := normalURL(p.url)
	if !ok {
		return "", fmt.Errorf("proof: %w: htu is no URL", authz.ProofURL)
	}
	path, ok := requestPath(request.Target)
	if !ok || !slices.ContainsFunc(v.origins, func(origin string) bool { return url == origin+path }) {
		return "", fmt.Errorf("proof: %w", authz.ProofURL)
	}
	return url, nil
}

// timely checks nonce and times (checks 10 and 11). A nonce does not stand for iat: a
// client whose clock is wrong is told so.
func (v *Verifier) timely(p *proof, at time.Time) (next string, err error) {
	if v.demands {
		if next, err = v.nonces.accept(p.nonce, at); err != nil {
			return "", err
		}
	}
	switch latest := at.Add(maxAhead); {
	case p.issuedAt.After(latest):
		return "", fmt.Errorf("proof: %w: iat is to come", authz.ProofTime)
	case p.issuedAt.Before(at.Add(-v.maxAge)):
		return "", fmt.Errorf("proof: %w: iat is over %v ago", authz.ProofTime, v.maxAge)
	case p.notBefore.After(latest):
		return "", fmt.Errorf("proof: %w: nbf is to come", authz.ProofTime)
	case !p.expiresAt.IsZero() && !at.Before(p.expiresAt.Add(maxAhead)):
		return "", fmt.Errorf("proof: %w: exp has passed", authz.ProofTime)
	}
	return next, nil
}

// belongs checks that the proof is for the token, and made with the key that the token
// is bound to (check 12).
func (p *proof) belongs(call Call) error {
	digest := sha256.Sum256([]byte(call.Token))
	if subtle.ConstantTimeCompare(p.token, digest[:]) != 1 {
		return fmt.Errorf("proof: %w", authz.ProofToken)
	}
	if subtle.ConstantTimeCompare(p.key.Thumbprint[:], call.Key[:]) != 1 {
		return fmt.Errorf("proof: %w", authz.ProofKey)
	}
	return nil
}

// spend counts the proof as used (§11.1), for as long as its iat could be accepted by
// any Countersign on the same store: its clock may be behind ours and its max_age longer,
// as ours may be after a reload.
func (v *Verifier) spend(ctx context.Context, p *proof, url string) error {
	until := p.issuedAt.Add(mostMaxAge + maxAhead)
	fresh, err := v.replays.Fresh(ctx, p.identity(url), until)
	switch {
	case err != nil:
		return fmt.Errorf("proof: %w: %w", authz.ReplaysUnavailable, err)
	case !fresh:
		return fmt.Errorf("proof: %w", authz.ProofReplayed)
	}
	return nil
}

// identity is what no two proofs share: the key, the URL that it is for, and its jti.
// The first two are of one length, so that no two proofs are hashed alike.
func (p *proof) identity(url string) [32]byte {
	digest := sha256.Sum256([]byte(url))
	hash := sha256.New()
	hash.Write(p.key.Thumbprint[:])
	hash.Write(digest[:])
	hash.Write([]byte(p.id))
	return [32]byte(hash.Sum(nil))
}
