package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// fakeReplays remember for ever what was used.
type fakeReplays struct {
	mu    sync.Mutex
	used  map[[32]byte]bool
	fault error
}

func (f *fakeReplays) Fresh(_ context.Context, key [32]byte, _ time.Time) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used == nil {
		f.used = map[[32]byte]bool{}
	}
	used := f.used[key]
	f.used[key] = true
	return !used, f.fault
}

var testNonces = dpop.NewNonces("k1", []byte("0123456789abcdef0123456789abcdef"))

// proving is a configuration whose API takes proofs.
func proving() Config {
	cfg := goodConfig()
	cfg.APIs[accounts] = API{Audiences: []string{audience}, DPoP: &dpop.Config{Origins: []string{"https://rs.example"}}}
	return cfg
}

var holder = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })

// jkt is the holder's key as a token is bound to it.
func jkt() string {
	thumbprint := jose.ParseKey(jwkOf(holder(), "k")).Thumbprint
	return encode(thumbprint[:])
}

// prove makes the holder's proof for a token and a GET of /accounts.
func prove(token string, changes ...any) string {
	digest := sha256.Sum256([]byte(token))
	input := signingInput(object{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwkOf(holder(), "k")}, with(object{
		"jti": rand.Text(), "htm": "GET", "htu": "https://rs.example/accounts", "iat": now.Unix(), "ath": encode(digest[:]),
	}, changes...))
	return input + "." + encode(signature("ES256", holder(), input))
}

// sent is a GET of /accounts with these Authorization and DPoP headers.
func sent(authorization string, proofs ...string) *authz.Request {
	request := &authz.Request{Method: "GET", Target: "/accounts", Headers: authz.Headers{{Name: "authorization", Value: authorization}}}
	for _, proof := range proofs {
		request.Headers = append(request.Headers, authz.Header{Name: "dpop", Value: proof})
	}
	return request
}

// TestSchemeAndBinding has every way to send a token that is bound in every way.
func TestSchemeAndBinding(t *testing.T) {
	own := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("own"))}
	other := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("other"))}
	thumbprint := encode(own.Thumbprint[:])
	toKey, toBoth := object{"jkt": jkt()}, object{"jkt": jkt(), "x5t#S256": thumbprint}
	const none, good, bad = "", "good", "bad"
	tests := []struct {
		name          string
		scheme, proof string
		cnf           any
		certificate   *authz.Certificate
		want          authz.Reason
	}{
		{"B3 DPoP, and bound to the key", "DPoP", good, toKey, nil, authz.Internal},
		{"B3 the scheme's case is of no matter", "dpop", good, toKey, nil, authz.Internal},
		{"B3 DPoP, and no proof", "DPoP", none, toKey, nil, authz.ProofMissing},
		{"B3 DPoP, and a bad proof", "DPoP", bad, toKey, nil, authz.ProofMethod},
		{"B3 DPoP, and bound to another key", "DPoP", good, object{"jkt": encode(make([]byte, 32))}, nil, authz.ProofKey},
		{"B3 DPoP, and not bound", "DPoP", good, absent, nil, authz.ProofUnbound},
		{"B3 DPoP, and bound to a certificate", "DPoP", good, object{"x5t#S256": thumbprint}, own, authz.ProofUnbound},
		{"B3 Bearer, and bound to the key", "Bearer", good, toKey, nil, authz.ProofDowngraded},
		{"B3 Bearer, bound to the key, and no proof", "Bearer", none, toKey, nil, authz.ProofDowngraded},
		{"B3 Bearer, and bound to both", "Bearer", good, toBoth, own, authz.ProofDowngraded},
		{"B3 Bearer, not bound, and a proof that nobody asks for", "Bearer", bad, absent, nil, authz.Internal},
		{"B5 DPoP, and bound by nothing that is known", "DPoP", good, object{"kid": "1"}, nil, authz.BindingUnsupported},
		{"B6 both", "DPoP", good, toBoth, own, authz.Internal},
		{"B6 both, and no certificate", "DPoP", good, toBoth, nil, authz.CertificateMissing},
		{"B6 both, and another certificate", "DPoP", good, toBoth, other, authz.CertificateMismatch},
		{"B6 both, and no proof", "DPoP", none, toBoth, own, authz.ProofMissing},
		{"a padded jkt", "DPoP", good, object{"jkt": jkt() + "="}, nil, authz.TokenClaims},
		{"a short jkt", "DPoP", good, object{"jkt": "abc"}, nil, authz.TokenClaims},
		{"a jkt that is no string", "DPoP", good, object{"jkt": 1}, nil, authz.TokenClaims},
		{"a null jkt", "DPoP", good, object{"jkt": nil}, nil, authz.TokenClaims},
		{"unknown members beside it", "DPoP", good, object{"jkt": jkt(), "x": 1}, nil, authz.Internal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, proving(), newFakeKeys(allKeys()...))
			credential := sign(goodHeader(), with(goodClaims(), "cnf", test.cnf))
			// Twice: a token that is remembered is held to the same.
			for range 2 {
				request := sent(test.scheme + " " + credential)
				switch test.proof {
				case good:
					request = sent(test.scheme+" "+credential, prove(credential))
				case bad:
					request = sent(test.scheme+" "+credential, prove(credential, "htm", "POST"))
				}
				token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, test.certificate, now)
				wantReason(t, token, err, test.want)
				proven := strings.EqualFold(test.scheme, "DPoP")
				if token != nil && slices.Contains(token.Bindings, authz.DPoP) != proven {
					t.Errorf("Bindings = %v", token.Bindings)
				}
			}
		})
	}
}

// TestProofIsNotUsedUpByARefusal holds that a proof counts as used only where all else
// was good: whoever corrects the rest may send it again.
func TestProofIsNotUsedUpByARefusal(t *testing.T) {
	own := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("own"))}
	verifier := newVerifier(t, proving(), newFakeKeys(allKeys()...))
	credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"jkt": jkt(), "x5t#S256": encode(own.Thumbprint[:])}))
	request := sent("DPoP "+credential, prove(credential))
	for _, step := range []struct {
		certificate *authz.Certificate
		at          time.Time
		want        authz.Reason
	}{
		{nil, now, authz.CertificateMissing},
		{own, now.Add(time.Hour), authz.TokenExpired},
		{own, now, authz.Internal},
		{own, now, authz.ProofReplayed},
	} {
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, step.certificate, step.at)
		wantReason(t, token, err, step.want)
	}
}

// TestNextNonceIsThisRequests holds that the nonce to go on with is no part of the token
// that is remembered.
func TestNextNonceIsThisRequests(t *testing.T) {
	cfg := proving()
	cfg.APIs[accounts].DPoP.Nonce = true
	verifier := newVerifier(t, cfg, newFakeKeys(allKeys()...))
	credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"jkt": jkt()}))
	first := verifier.Proofs(accounts, now).Nonce
	later := now.Add(5 * time.Minute)
	second := verifier.Proofs(accounts, later).Nonce
	for _, step := range []struct {
		nonce, next string
		at          time.Time
	}{{first, "", now}, {first, second, later}, {second, "", later}} {
		request := sent("DPoP "+credential, prove(credential, "nonce", step.nonce, "iat", step.at.Unix()))
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, nil, step.at)
		wantReason(t, token, err, authz.Internal)
		if token != nil && token.NextNonce != step.next {
			t.Errorf("NextNonce = %q, want %q", token.NextNonce, step.next)
		}
	}
	token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, sent("DPoP "+credential, prove(credential)), nil, now)
	wantReason(t, token, err, authz.ProofNonce)
}

func TestWhatIsAskedOfProofs(t *testing.T) {
	verifier := newVerifier(t, proving(), newFakeKeys(allKeys()...))
	if got := verifier.Proofs(accounts, now); got == nil || !slices.Equal(got.Algorithms, jose.DefaultAlgorithms) || got.Nonce != "" {
		t.Errorf("Proofs() = %+v, want the default algorithms and no nonce", got)
	}
	if got := newVerifier(t, goodConfig(), newFakeKeys()).Proofs(accounts, now); got != nil || verifier.Proofs("other", now) != nil {
		t.Errorf("Proofs() = %+v where none are taken", got)
	}
}

// TestProofsNeedSomewhereToBeCounted holds that wiring that forgets the store does not
// start.
func TestProofsNeedSomewhereToBeCounted(t *testing.T) {
	keys := map[string]Keys{issuerName: newFakeKeys()}
	for _, env := range []Environment{{Keys: keys}, {Keys: keys, Nonces: testNonces}, {Keys: keys, Replays: &fakeReplays{}}} {
		if verifier, err := New(proving(), env); !errors.Is(err, errNoReplays) || verifier != nil {
			t.Errorf("New() = %v, %v, want %v", verifier, err, errNoReplays)
		}
	}
}

func TestStoreThatFailsIsNotTheClientsFault(t *testing.T) {
	keys := map[string]Keys{issuerName: newFakeKeys(allKeys()...)}
	verifier := must(New(proving(), Environment{Keys: keys, Nonces: testNonces, Replays: &fakeReplays{fault: errors.New("full")}}))
	credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"jkt": jkt()}))
	token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, sent("DPoP "+credential, prove(credential)), nil, now)
	wantReason(t, token, err, authz.ReplaysUnavailable)
}

// A replay is refused with whose token it was, for the record; a proof that is wrong
// tells nothing.
func TestReplayTellsWhoseItWas(t *testing.T) {
	verifier := newVerifier(t, proving(), newFakeKeys(allKeys()...))
	credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"jkt": jkt()}))
	once, wrong := prove(credential), prove(credential, "htm", "POST")
	for _, step := range []struct {
		proof string
		want  authz.Subject
	}{{wrong, ""}, {once, ""}, {once, "ann"}} {
		var replay *authz.Replayed
		_, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, sent("DPoP "+credential, step.proof), nil, now)
		if errors.As(err, &replay) != (step.want != "") {
			t.Fatalf("Verify() = %v, want a replay: %t", err, step.want != "")
		}
		if replay != nil && (replay.Caller.Subject != step.want || replay.Caller.Client != "acme" || strings.Contains(err.Error(), "ann")) {
			t.Errorf("Verify() = %v of %+v, want one of ann through acme, whom the text does not name", err, replay.Caller)
		}
	}
}

// TestBestEffortTakesWhatCannotBeCounted holds that of a proof nothing but whether it was
// used before is forgiven, and that only where the match says so.
func TestBestEffortTakesWhatCannotBeCounted(t *testing.T) {
	away := fmt.Errorf("redis: %w", authz.ErrNoAnswer)
	safe := &authz.Operation{Method: "GET", BestEffort: true}
	credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"jkt": jkt()}))
	tests := []struct {
		name      string
		operation *authz.Operation
		fault     error
		proof     string
		twice     bool
		want      authz.Reason
		uncounted bool
	}{
		{"the store is away", safe, away, prove(credential), false, authz.Internal, true},
		{"the store is full", safe, errors.New("full"), prove(credential), false, authz.ReplaysUnavailable, false},
		{"the store answers", safe, nil, prove(credential), false, authz.Internal, false},
		{"the proof was used before", safe, nil, prove(credential), true, authz.ProofReplayed, false},
		{"the store is away, and no proof came", safe, away, "", false, authz.ProofMalformed, false},
		{"the store is away, and the proof is of another method", safe, away, prove(credential, "htm", "POST"), false, authz.ProofMethod, false},
		{"the store is away, and the proof is of another token", safe, away, prove("another"), false, authz.ProofToken, false},
		{"the store is away, and the method is not safe", &authz.Operation{Method: "POST", BestEffort: true},
			away, prove(credential), false, authz.ReplaysUnavailable, false},
		{"the store is away, and the operation does not say so", &authz.Operation{Method: "GET"}, away, prove(credential), false, authz.ReplaysUnavailable, false},
		{"the store is away, and there is no operation", nil, away, prove(credential), false, authz.ReplaysUnavailable, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			keys := map[string]Keys{issuerName: newFakeKeys(allKeys()...)}
			verifier := must(New(proving(), Environment{Keys: keys, Nonces: testNonces, Replays: &fakeReplays{fault: test.fault}}))
			verify := func() (*authz.Token, error) {
				match := authz.Match{API: accounts, Operation: test.operation}
				return verifier.Verify(context.Background(), match, sent("DPoP "+credential, test.proof), nil, now)
			}
			if test.twice {
				verify()
			}
			token, err := verify()
			wantReason(t, token, err, test.want)
			if token != nil && token.Uncounted != test.uncounted {
				t.Errorf("Uncounted = %t, want %t", token.Uncounted, test.uncounted)
			}
		})
	}
}
