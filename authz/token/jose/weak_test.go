package jose

import (
	"crypto/ed25519"
	"math/big"
	"slices"
	"strconv"
	"testing"
)

// edwards is the JWK of an encoded point, its number written as RFC 8032 §5.1.2 has it.
func edwards(y *big.Int, negative bool) map[string]any {
	data := y.FillBytes(make([]byte, ed25519.PublicKeySize))
	if negative {
		data[0] |= 0x80
	}
	slices.Reverse(data)
	return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(data)}
}

// TestKeysUnderWhichAnybodySigns has a signature that nobody made: it verifies what is
// signed, or one message in eight, under each point of small order, all of them refused.
func TestKeysUnderWhichAnybodySigns(t *testing.T) {
	if len(smallOrder) != 5 {
		t.Fatalf("%d are known, want the five y of the eight points", len(smallOrder))
	}
	nobodys := make([]byte, ed25519.SignatureSize)
	nobodys[0] = 1 // The neutral point, and the number 0.
	for _, y := range smallOrder {
		members := edwards(y, false)
		key, _ := octets(members, "x")
		verified := false
		for n := range 200 {
			verified = verified || ed25519.Verify(key, []byte(strconv.Itoa(n)), nobodys)
		}
		if !verified {
			t.Errorf("y = %x: the signature verifies nothing, so that this is no point of small order", y)
		}
		for _, negative := range []bool{false, true} {
			if ParseKey(edwards(y, negative)) != nil {
				t.Errorf("y = %x, negative %t: ParseKey() = a key", y, negative)
			}
		}
	}
}

// TestEd25519HasOneEncoding holds that what is taken is a point, in its only form: of two
// numbers about one is the y of a point. Every key that is made is taken.
func TestEd25519HasOneEncoding(t *testing.T) {
	points := 0
	for n := range int64(200) {
		y := big.NewInt(n + 2)
		taken := ParseKey(edwards(y, n%2 == 0)) != nil
		if taken {
			points++
		}
		if again := new(big.Int).Add(y, edwardsField); again.BitLen() <= 255 && ParseKey(edwards(again, false)) != nil {
			t.Errorf("%d and the field: ParseKey() = a key", n+2)
		}
	}
	if points < 60 || points > 140 {
		t.Errorf("%d of 200 numbers are points, want about half", points)
	}
	if ParseKey(edwards(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(1)), true)) != nil {
		t.Error("all bits set: ParseKey() = a key")
	}
	for range 100 {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil || ParseKey(published(t, public)) == nil {
			t.Fatalf("ParseKey(%x) = nil, %v, want every key that is made", public, err)
		}
	}
}

// TestModuliWithSmallFactors has a good modulus times each of some primes.
func TestModuliWithSmallFactors(t *testing.T) {
	members := published(t, signers["PS256"].Public())
	good := number(members, "n")
	for prime, want := range map[int64]bool{1: true, 3: false, 5: false, 167: false, 743: false, 751: false, 757: true} {
		members["n"] = encode(new(big.Int).Mul(good, big.NewInt(prime)).Bytes())
		if got := ParseKey(members) != nil; got != want {
			t.Errorf("times %d: taken is %t, want %t", prime, got, want)
		}
	}
}
