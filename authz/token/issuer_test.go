package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

const (
	issuerName = "https://as.example"
	accounts   = authz.API("accounts")
	audience   = "https://rs.example/accounts"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// object is a header or claims.
type object = map[string]any

// with is a copy of o with further members, by name and value in turn; a value of
// absent takes the member away.
func with(o object, members ...any) object {
	o = maps.Clone(o)
	for i := 0; i < len(members); i += 2 {
		if name := members[i].(string); members[i+1] == absent {
			delete(o, name)
		} else {
			o[name] = members[i+1]
		}
	}
	return o
}

var absent = new(int)

var encode = base64.RawURLEncoding.EncodeToString

// privateKeys make one key of each kind, once: RSA keys are slow to make.
var privateKeys = map[string]func() crypto.Signer{
	"RS": sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }),
	"ES256": sync.OnceValue(func() crypto.Signer {
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	}),
	"ES384": sync.OnceValue(func() crypto.Signer {
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	}),
	"ES512": sync.OnceValue(func() crypto.Signer {
		return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	}),
	"EdDSA": sync.OnceValue(func() crypto.Signer {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	}),
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// keyFor is the key that signs with an algorithm.
func keyFor(algorithm string) crypto.Signer {
	if key, ok := privateKeys[algorithm]; ok {
		return key()
	}
	return privateKeys["RS"]()
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// signature signs as RFC 7518 §3 has it, independently of the library under test.
func signature(algorithm string, key crypto.Signer, input string) []byte {
	if algorithm == "EdDSA" {
		return must(key.Sign(nil, []byte(input), crypto.Hash(0)))
	}
	hash := hashes[algorithm[2:]]
	digest := hash.New()
	digest.Write([]byte(input))
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest.Sum(nil))
		must(r, err)
		size := (private.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		if algorithm[0] == 'P' {
			return must(rsa.SignPSS(rand.Reader, private, hash, digest.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
	}
	return must(key.Sign(rand.Reader, digest.Sum(nil), hash))
}

func marshal(value any) []byte { return must(json.Marshal(value)) }

// signingInput is the first two parts of a token.
func signingInput(header, claims object) string {
	return encode(marshal(header)) + "." + encode(marshal(claims))
}

// sign makes a token, signed with the key of the header's alg.
func sign(header, claims object) string {
	algorithm := header["alg"].(string)
	input := signingInput(header, claims)
	return input + "." + encode(signature(algorithm, keyFor(algorithm), input))
}

func goodHeader() object { return object{"alg": "ES256", "typ": "at+jwt", "kid": "ES256"} }

func goodClaims() object {
	return object{
		"iss": issuerName, "aud": audience, "sub": "ann", "client_id": "acme", "jti": "1",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(), "scope": "accounts payments",
	}
}

// jwkOf is the public JWK of a key.
func jwkOf(key crypto.Signer, kid string) object {
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		return object{"kid": kid, "kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(public.Bytes())[1:]
		return object{"kid": kid, "kty": "EC", "crv": public.Params().Name, "x": encode(point[:len(point)/2]), "y": encode(point[len(point)/2:])}
	case ed25519.PublicKey:
		return object{"kid": kid, "kty": "OKP", "crv": "Ed25519", "x": encode(public)}
	}
	panic(fmt.Sprintf("no JWK for %T", key))
}

// fakeKeys are an issuer's keys without a place to fetch them from.
type fakeKeys struct {
	set   atomic.Pointer[jwks.Set]
	fault error
	// asked counts look-ups.
	asked atomic.Int64
	// gate, if not nil, holds every look-up, with what it has found, until it is
	// closed; arrived tells of each that is held.
	gate, arrived chan struct{}
}

func newFakeKeys(keys ...object) *fakeKeys {
	f := &fakeKeys{}
	f.publish(keys...)
	return f
}

// allKeys are the public keys of privateKeys, each with its name for a kid.
func allKeys() []object {
	var keys []object
	for kid, key := range privateKeys {
		keys = append(keys, jwkOf(key(), kid))
	}
	return keys
}

func (f *fakeKeys) publish(keys ...object) {
	f.set.Store(must(jwks.ParseSet(marshal(object{"keys": append([]object{}, keys...)}))))
}

// hold has every look-up wait until the gate is closed.
func (f *fakeKeys) hold() {
	f.gate, f.arrived = make(chan struct{}), make(chan struct{}, 100)
}

func (f *fakeKeys) Key(ctx context.Context, kid, algorithm string) (*jwks.Key, error) {
	f.asked.Add(1)
	key := f.set.Load().Find(kid, algorithm)
	if f.gate != nil {
		f.arrived <- struct{}{}
		select {
		case <-f.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.fault != nil {
		return nil, f.fault
	}
	if key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("keys: %w", authz.TokenKey)
}

func (f *fakeKeys) Holds(key *jwks.Key) bool { return f.set.Load().Holds(key) }

// goodConfig takes tokens of all algorithms from one issuer.
func goodConfig() Config {
	return Config{
		Issuers: []Issuer{{
			Issuer: issuerName, JWKS: jwks.Config{URL: issuerName + "/jwks"}, Profile: "oauth", Algorithms: jose.Algorithms, Kind: "customer",
			Claims: ClaimNames{Roles: "roles", Region: "region", Tenant: "tenant", Consent: "openbanking_intent_id"},
		}},
		APIs: map[authz.API]API{accounts: {Audiences: []string{audience}}},
	}
}

func newVerifier(t testing.TB, cfg Config, keys Keys) *Verifier {
	t.Helper()
	byIssuer := map[string]Keys{}
	for _, issuer := range cfg.Issuers {
		byIssuer[issuer.Issuer] = keys
	}
	verifier, err := New(cfg, Environment{Keys: byIssuer, Replays: &fakeReplays{}, Nonces: testNonces})
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	return verifier
}

func bearing(token string) *authz.Request {
	return &authz.Request{Target: "/accounts", Headers: authz.Headers{{Name: "authorization", Value: "Bearer " + token}}}
}

// verify verifies a token for the accounts API, now, without a certificate.
func verify(verifier *Verifier, token string) (*authz.Token, error) {
	return verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(token), nil, now)
}

// wantReason fails the test unless err wraps the reason, and there is no token. The
// zero Reason, Internal, stands for no error.
func wantReason(t *testing.T, token *authz.Token, err error, want authz.Reason) {
	t.Helper()
	switch {
	case want == authz.Internal && (err != nil || token == nil):
		t.Errorf("Verify() = %v, %v, want a token", token, err)
	case want != authz.Internal && (authz.ReasonOf(err) != want || token != nil):
		t.Errorf("Verify() = %v, %v, want %v", token, err, want)
	}
}
