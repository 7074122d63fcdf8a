package dpop

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

var encode = base64.RawURLEncoding.EncodeToString

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

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// keys make one key of each kind, once.
var keys = map[string]func() crypto.Signer{
	"ES256": sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	"ES384": sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
	"PS256": sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) }),
	"EdDSA": sync.OnceValue(func() crypto.Signer { _, key, err := ed25519.GenerateKey(rand.Reader); return must(key, err) }),
}

func keyFor(algorithm string) crypto.Signer {
	if key, ok := keys[algorithm]; ok {
		return key()
	}
	return keys["PS256"]()
}

// jwk is the public JWK of a key.
func jwk(key crypto.Signer) object {
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		return object{"kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(public.Bytes())[1:]
		return object{"kty": "EC", "crv": public.Params().Name, "x": encode(point[:len(point)/2]), "y": encode(point[len(point)/2:])}
	default:
		return object{"kty": "OKP", "crv": "Ed25519", "x": encode(public.(ed25519.PublicKey))}
	}
}

// signature signs as RFC 7518 §3 has it.
func signature(algorithm string, input string) []byte {
	key := keyFor(algorithm)
	hash := crypto.SHA256
	if algorithm == "ES384" {
		hash = crypto.SHA384
	}
	digest := hash.New()
	digest.Write([]byte(input))
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest.Sum(nil))
		must(r, err)
		size := (private.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return must(private.Sign(nil, []byte(input), crypto.Hash(0)))
	}
	if algorithm == "PS256" {
		return must(rsa.SignPSS(rand.Reader, key.(*rsa.PrivateKey), hash, digest.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	}
	return must(key.Sign(rand.Reader, digest.Sum(nil), hash))
}

// prove makes a proof, signed with the key of the header's alg.
func prove(header, claims object) string {
	return signParts(string(must(json.Marshal(header))), string(must(json.Marshal(claims))), header["alg"].(string))
}

func signParts(header, claims, algorithm string) string {
	input := encode([]byte(header)) + "." + encode([]byte(claims))
	return input + "." + encode(signature(algorithm, input))
}

func goodHeader(algorithm string) object {
	return object{"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk(keyFor(algorithm))}
}

func goodClaims() object {
	digest := sha256.Sum256([]byte(token))
	return object{"jti": rand.Text(), "htm": "GET", "htu": "https://api.bank.example/accounts/22289", "iat": now.Unix(), "ath": encode(digest[:])}
}

// fakeReplays remember keys for ever.
type fakeReplays struct {
	mu    sync.Mutex
	until map[[32]byte]time.Time
	fault error
}

func (f *fakeReplays) Fresh(_ context.Context, key [32]byte, until time.Time) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil {
		return false, f.fault
	}
	_, used := f.until[key]
	if f.until == nil {
		f.until = map[[32]byte]time.Time{}
	}
	f.until[key] = until
	return !used, nil
}

var testNonces = NewNonces("k1", []byte("0123456789abcdef0123456789abcdef"))

func goodConfig() Config {
	return Config{Origins: []string{"https://other.example", "https://api.bank.example"}, Algorithms: []string{"ES256", "ES384", "PS256", "EdDSA"}}
}

func demanding() Config {
	cfg := goodConfig()
	cfg.Nonce = true
	return cfg
}

// call is a request with these proofs, for a token that is bound to the ES256 key.
func call(proofs ...string) Call {
	request := &authz.Request{Method: "GET", Scheme: "http", Host: "evil.example", Target: "/accounts/22289?page=2"}
	for _, proof := range proofs {
		request.Headers = append(request.Headers, authz.Header{Name: "dpop", Value: proof})
	}
	return Call{Request: request, Token: token, Key: jose.ParseKey(jwk(keyFor("ES256"))).Thumbprint, At: now}
}

// wantReason fails the test unless err wraps the reason; the zero Reason stands for no error.
func wantReason(t *testing.T, err error, want authz.Reason) {
	t.Helper()
	if want == authz.Internal && err != nil || want != authz.Internal && authz.ReasonOf(err) != want {
		t.Errorf("Verify() = %v, want %v", err, want)
	}
}
