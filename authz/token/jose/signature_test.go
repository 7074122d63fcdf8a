package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"slices"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newEC(curve elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }

// signers are a key for each algorithm. Those of RSA share one, which is slow to make.
var signers = func() map[string]crypto.Signer {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	made := map[string]crypto.Signer{
		"ES256": newEC(elliptic.P256()), "ES384": newEC(elliptic.P384()), "ES512": newEC(elliptic.P521()), "EdDSA": must(edwards, err),
	}
	shared := must(rsa.GenerateKey(rand.Reader, minRSABits))
	for _, algorithm := range Algorithms {
		if made[algorithm] == nil {
			made[algorithm] = shared
		}
	}
	return made
}()

// sign signs by another library.
func sign(algorithm, text string) *Compact {
	signer := must(jws.NewSigner(jwa.SignatureAlgorithm(algorithm)))
	return &Compact{Algorithm: algorithm, Signed: text, Signature: must(signer.Sign([]byte(text), signers[algorithm]))}
}

func TestSignatures(t *testing.T) {
	for _, algorithm := range Algorithms {
		good := sign(algorithm, "a.b")
		key := signers[algorithm].Public()
		if err := good.Verify(key); err != nil {
			t.Errorf("%s: Verify() = %v", algorithm, err)
		}
		size := len(good.Signature)
		for name, signature := range map[string][]byte{
			"nothing":                 nil,
			"one byte short":          good.Signature[:size-1],
			"one byte long":           append(slices.Clip(good.Signature), 0),
			"one byte long in front":  append([]byte{0}, good.Signature...),
			"the first bit the other": flip(good.Signature, 0),
			"the last bit the other":  flip(good.Signature, size-1),
			"all zero":                make([]byte, size),
		} {
			if bad := (&Compact{Algorithm: algorithm, Signed: "a.b", Signature: signature}); bad.Verify(key) == nil {
				t.Errorf("%s: a signature with %s is taken", algorithm, name)
			}
		}
		if other := (&Compact{Algorithm: algorithm, Signed: "a.c", Signature: good.Signature}); other.Verify(key) == nil {
			t.Errorf("%s: the signature of another text is taken", algorithm)
		}
	}
}

func flip(data []byte, at int) []byte {
	data = slices.Clone(data)
	data[at] ^= 1
	return data
}

func TestSignatureUnderAnotherAlgorithm(t *testing.T) {
	for _, signedAs := range Algorithms {
		for _, named := range append([]string{"none", "", "HS256", "es256", "Ed25519", "ES256K"}, Algorithms...) {
			if named == signedAs {
				continue
			}
			bad := sign(signedAs, "a.b")
			bad.Algorithm = named
			if bad.Verify(signers[signedAs].Public()) == nil {
				t.Errorf("what was signed as %s is taken as %q", signedAs, named)
			}
		}
	}
}

// TestNumbersOfECDSA signs with r and s that mean the same as good ones, or nothing
// (H9).
func TestNumbersOfECDSA(t *testing.T) {
	for _, algorithm := range []string{"ES256", "ES384", "ES512"} {
		key := signers[algorithm].Public().(*ecdsa.PublicKey)
		order := key.Params().N
		good := sign(algorithm, "a.b").Signature
		half := len(good) / 2
		r, s := new(big.Int).SetBytes(good[:half]), new(big.Int).SetBytes(good[half:])
		zero := new(big.Int)
		for name, numbers := range map[string][2]*big.Int{
			"r is zero": {zero, s}, "s is zero": {r, zero}, "r is the order": {order, s}, "s is the order": {r, order},
			"r and s change places": {s, r}, "r is over the order": {new(big.Int).Add(r, order), s}, "s is over the order": {r, new(big.Int).Add(s, order)},
		} {
			if numbers[0].BitLen() > 8*half || numbers[1].BitLen() > 8*half {
				continue // It cannot be written.
			}
			signature := append(numbers[0].FillBytes(make([]byte, half)), numbers[1].FillBytes(make([]byte, half))...)
			if (&Compact{Algorithm: algorithm, Signed: "a.b", Signature: signature}).Verify(key) == nil {
				t.Errorf("%s: %s, and it is taken", algorithm, name)
			}
		}
	}
}

func TestKeyThatIsNoneOfOurs(t *testing.T) {
	good := sign("EdDSA", "a.b")
	for _, key := range []crypto.PublicKey{nil, ed25519.PublicKey{}, signers["EdDSA"], "key"} {
		if good.Verify(key) == nil {
			t.Errorf("%T verifies", key)
		}
	}
}

// FuzzSignature holds every verdict on what a good signature is turned into against the
// other library's, whose only difference is that it takes salts of any length.
func FuzzSignature(f *testing.F) {
	good := map[string]*Compact{}
	for i, algorithm := range Algorithms {
		good[algorithm] = sign(algorithm, "a.b")
		f.Add(i, []byte{})
		f.Add(i, []byte{0x80})
	}
	f.Fuzz(func(t *testing.T, index int, mask []byte) {
		algorithm := Algorithms[uint(index)%uint(len(Algorithms))]
		key := signers[algorithm].Public()
		bad := *good[algorithm]
		bad.Signature = slices.Clone(bad.Signature)
		for i, bits := range mask {
			if i == len(bad.Signature) {
				bad.Signature = append(bad.Signature, 0)
			}
			bad.Signature[i] ^= bits
		}
		verifier := must(jws.NewVerifier(jwa.SignatureAlgorithm(algorithm)))
		want := verifier.Verify([]byte(bad.Signed), bad.Signature, key)
		if got := bad.Verify(key); (got == nil) != (want == nil) && (got == nil || algorithm[:2] != "PS") {
			t.Errorf("%s: Verify() = %v, and the other library's = %v", algorithm, got, want)
		}
	})
}
