package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// rsaKeys makes keys of each size once: they are slow to make.
var rsaKeys = map[int]func() *rsa.PublicKey{1024: newRSA(1024), 2048: newRSA(2048)}

func newRSA(bits int) func() *rsa.PublicKey {
	return sync.OnceValue(func() *rsa.PublicKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: 65537}
		}
		return &key.PublicKey
	})
}

func newEC(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func newEd25519(t testing.TB) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// jwkOf is a key's JWK; with are further members, by name and value in turn.
func jwkOf(key crypto.PublicKey, with ...any) map[string]any {
	encode := base64.RawURLEncoding.EncodeToString
	members := map[string]any{}
	switch key := key.(type) {
	case *rsa.PublicKey:
		members["kty"], members["n"], members["e"] = "RSA", encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		half := 1 + len(point)/2
		members["kty"], members["crv"] = "EC", key.Params().Name
		members["x"], members["y"] = encode(point[1:half]), encode(point[half:])
	case ed25519.PublicKey:
		members["kty"], members["crv"], members["x"] = "OKP", "Ed25519", encode(key)
	}
	for i := 0; i < len(with); i += 2 {
		members[with[i].(string)] = with[i+1]
	}
	return members
}

func setOf(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	if keys == nil {
		keys = []map[string]any{}
	}
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestKeysThatAreLeftOut(t *testing.T) {
	p256 := newEC(t, elliptic.P256())
	offCurve := jwkOf(p256)
	offCurve["y"] = offCurve["x"]
	tests := []struct {
		name string
		key  map[string]any
		kept int
	}{
		{"a P-256 key is kept", jwkOf(p256, "kid", "a", "use", "sig", "key_ops", []string{"verify"}, "alg", "ES256"), 1},
		{"a P-384 key is kept", jwkOf(newEC(t, elliptic.P384())), 1},
		{"a P-521 key is kept", jwkOf(newEC(t, elliptic.P521())), 1},
		{"an Ed25519 key is kept", jwkOf(newEd25519(t)), 1},
		{"an Ed25519 key with RFC 9864's name is kept", jwkOf(newEd25519(t), "alg", "Ed25519"), 1},
		{"an RSA key of 2048 bits is kept", jwkOf(rsaKeys[2048]()), 1},
		{"a key with members that mean nothing here is kept", jwkOf(p256, "x5c", "nonsense", "iat", 1), 1},

		{"H2 RSA of 1024 bits is left out", jwkOf(rsaKeys[1024]()), 0},
		{"H2 RSA with exponent 1 is left out", jwkOf(&rsa.PublicKey{N: rsaKeys[2048]().N, E: 1}), 0},
		{"H2 RSA with an even exponent is left out", jwkOf(&rsa.PublicKey{N: rsaKeys[2048]().N, E: 65538}), 0},
		{"H2 RSA with an exponent over 64 bits is left out", jwkOf(rsaKeys[2048](), "e", "AQAAAAAAAAAAAAEAAQ"), 0},
		{"H2 RSA with an even modulus is left out", jwkOf(&rsa.PublicKey{N: new(big.Int).Lsh(rsaKeys[2048]().N, 1), E: 65537}), 0},
		{"H2 RSA over 8192 bits is left out", jwkOf(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 9000, 1), E: 65537}), 0},
		{"H2 a point off the curve is left out", offCurve, 0},
		{"an unknown curve is left out", jwkOf(p256, "crv", "secp256k1"), 0},
		{"a curve that is not for signing is left out", jwkOf(newEd25519(t), "crv", "X25519"), 0},
		{"an unknown type is left out", map[string]any{"kty": "LMS", "x": "AAAA"}, 0},
		{"H1 a symmetric key is left out", map[string]any{"kty": "oct", "k": "c2VjcmV0"}, 0},
		{"a private key is left out", jwkOf(p256, "d", "AAAA"), 0},
		{"use enc is left out", jwkOf(p256, "use", "enc"), 0},
		{"use of another type is left out", jwkOf(p256, "use", []string{"sig"}), 0},
		{"key_ops without verify is left out", jwkOf(p256, "key_ops", []string{"sign", "encrypt"}), 0},
		{"key_ops of another type is left out", jwkOf(p256, "key_ops", "verify"), 0},
		{"an alg of another type is left out", jwkOf(p256, "alg", 256), 0},
		{"a kid over 256 bytes is left out", jwkOf(p256, "kid", strings.Repeat("k", 257)), 0},
		{"padded base64url is left out", jwkOf(p256, "x", jwkOf(p256)["x"].(string)+"="), 0},
		{"a short Ed25519 key is left out", jwkOf(newEd25519(t)[:31]), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, err := ParseSet(setOf(t, test.key))
			if err != nil {
				t.Fatalf("ParseSet() = %v", err)
			}
			if len(set.keys) != test.kept {
				t.Errorf("ParseSet() kept %d keys, want %d", len(set.keys), test.kept)
			}
		})
	}
}

func TestSetsThatAreRefused(t *testing.T) {
	key := jwkOf(newEC(t, elliptic.P256()), "kid", "a")
	many := make([]map[string]any, maxKeys+1)
	for i := range many {
		many[i] = key
	}
	tests := []struct {
		name string
		set  []byte
	}{
		{"no JSON", []byte("<html>")},
		{"no object", []byte("[]")},
		{"no keys", []byte("{}")},
		{"keys is no array", []byte(`{"keys":{}}`)},
		{"a key is no object", []byte(`{"keys":["a"]}`)},
		{"a member stands twice", []byte(`{"keys":[],"keys":[]}`)},
		{"over 100 keys", setOf(t, many...)},
		{"over 512 KB", []byte(`{"keys":[],"x":"` + strings.Repeat("x", maxBytes) + `"}`)},
		{"two keys of one type share a kid", setOf(t, key, jwkOf(newEC(t, elliptic.P384()), "kid", "a"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if set, err := ParseSet(test.set); err == nil {
				t.Errorf("ParseSet() = %d keys, want an error", len(set.keys))
			}
		})
	}
}

func TestFind(t *testing.T) {
	set, err := ParseSet(setOf(t,
		jwkOf(newEC(t, elliptic.P256()), "kid", "both"),
		jwkOf(rsaKeys[2048](), "kid", "both", "alg", "PS256"),
		jwkOf(newEC(t, elliptic.P384()), "kid", "a"),
		jwkOf(newEC(t, elliptic.P384()), "kid", "b"),
		jwkOf(newEd25519(t), "alg", "Ed25519"),
	))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, kid, algorithm string
		want                 int // index, or -1
	}{
		{"a kid that two types share is told apart by the algorithm", "both", "ES256", 0},
		{"and by the JWK's alg", "both", "PS256", 1},
		{"H1 another algorithm than the JWK's finds nothing", "both", "RS256", -1},
		{"H1 another curve finds nothing", "both", "ES384", -1},
		{"a symmetric algorithm finds nothing", "both", "HS256", -1},
		{"alg none finds nothing", "both", "none", -1},
		{"an unknown kid finds nothing", "c", "ES384", -1},
		{"no kid and one key that fits", "", "EdDSA", 4},
		{"no kid and one key that fits among others", "", "ES256", 0},
		{"no kid and two keys that fit", "", "ES384", -1},
		{"no kid and no key that fits", "", "ES512", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var want *Key
			if test.want >= 0 {
				want = set.keys[test.want]
			}
			if got := set.Find(test.kid, test.algorithm); got != want {
				t.Errorf("Find(%q, %q) = %v, want %v", test.kid, test.algorithm, got, want)
			}
		})
	}
}

func TestHoldsTheVeryKey(t *testing.T) {
	public, other := newEC(t, elliptic.P256()), newEC(t, elliptic.P256())
	parse := func(key map[string]any) *Set {
		set, err := ParseSet(setOf(t, key))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	set := parse(jwkOf(public, "kid", "a", "alg", "ES256"))
	for name, test := range map[string]struct {
		key  map[string]any
		want bool
	}{
		"the same":           {jwkOf(public, "alg", "ES256", "kid", "a", "use", "sig"), true},
		"another kid":        {jwkOf(public, "kid", "b", "alg", "ES256"), false},
		"another algorithm":  {jwkOf(public, "kid", "a"), false},
		"another public key": {jwkOf(other, "kid", "a", "alg", "ES256"), false},
	} {
		if got := set.Holds(parse(test.key).keys[0]); got != test.want {
			t.Errorf("%s: Holds() = %v, want %v", name, got, test.want)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"the zero Config is refused", Config{}, []string{""}},
		{"file and url", Config{File: "a", URL: "https://as.example/jwks"}, []string{"url"}},
		{"https", Config{URL: "https://as.example/jwks"}, nil},
		{"http to loopback", Config{URL: "http://127.0.0.1:8080/jwks"}, nil},
		{"http to IPv6 loopback", Config{URL: "http://[::1]:8080/jwks"}, nil},
		{"http elsewhere is refused", Config{URL: "http://as.example/jwks"}, []string{"url"}},
		{"a name that begins like loopback is refused", Config{URL: "http://127.0.0.1.as.example/jwks"}, []string{"url"}},
		{"another scheme is refused", Config{URL: "file:///etc/jwks"}, []string{"url"}},
		{"credentials in the URL are refused", Config{URL: "https://me:secret@as.example/jwks"}, []string{"url"}},
		{"a fragment is refused", Config{URL: "https://as.example/jwks#a"}, []string{"url"}},
		{"all faults at once", Config{File: "a", CacheDir: "b", MinRefresh: 1, MaxStale: -1}, []string{"cache_dir", "min_refresh", "max_stale"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems, _ := test.cfg.Check().(authz.Problems)
			var keys []string
			for _, problem := range problems {
				keys = append(keys, problem.Key)
				if strings.Contains(problem.Error(), "secret") {
					t.Error("a problem tells the URL's password")
				}
			}
			if diff := cmp.Diff(test.want, keys); diff != "" {
				t.Errorf("Check() (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add(setOf(f, jwkOf(newEC(f, elliptic.P256()), "kid", "a"), jwkOf(newEd25519(f))))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseSet(data)
		if err != nil {
			return
		}
		for _, key := range set.keys {
			if !set.Holds(key) || key.Fits("HS256") || key.Fits("none") {
				t.Errorf("a parsed key is not held, or fits what it must not")
			}
		}
	})
}
