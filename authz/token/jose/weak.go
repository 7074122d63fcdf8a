package jose

import (
	"encoding/hex"
	"math/big"
	"slices"
)

// smallPrimes is the product of the odd primes below 752, none of which divides a sound
// modulus (NIST SP 800-89 §5.3.3).
var smallPrimes = func() *big.Int {
	product := big.NewInt(1)
	for n := int64(3); n < 752; n += 2 {
		if prime := big.NewInt(n); prime.ProbablyPrime(0) {
			product.Mul(product, prime)
		}
	}
	return product
}()

// hasSmallFactor reports a modulus that somebody may have made to be factored.
func hasSmallFactor(modulus *big.Int) bool {
	rest := new(big.Int).Mod(modulus, smallPrimes)
	return rest.GCD(nil, nil, rest, smallPrimes).Cmp(big.NewInt(1)) != 0
}

// The field and the curve of Ed25519 (RFC 8032 §5.1): -x² + y² = 1 + dx²y².
var (
	edwardsField = fromHex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed")
	edwardsD     = fromHex("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3")

	// smallOrder are the y of the points that eight times themselves are nothing. Under
	// one of these anybody can sign some messages, or all.
	smallOrder = []*big.Int{
		big.NewInt(0), big.NewInt(1), new(big.Int).Sub(edwardsField, big.NewInt(1)),
		fromHex("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"),
		fromHex("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"),
	}
)

func fromHex(digits string) *big.Int {
	data, _ := hex.DecodeString(digits)
	return new(big.Int).SetBytes(data)
}

// isSoundEd25519 reports the one encoding of a point of the curve (RFC 8032 §5.1.3) that
// is of no small order.
func isSoundEd25519(key []byte) bool {
	data := slices.Clone(key)
	slices.Reverse(data)
	data[0] &= 0x7f // The first bit is the sign of x.
	y := new(big.Int).SetBytes(data)
	if y.Cmp(edwardsField) >= 0 || slices.ContainsFunc(smallOrder, func(small *big.Int) bool { return small.Cmp(y) == 0 }) {
		return false
	}
	// x² is (y²-1) / (dy²+1): there is such an x if their product is a square.
	square := new(big.Int).Mul(y, y)
	above := new(big.Int).Sub(square, big.NewInt(1))
	below := square.Mul(square, edwardsD)
	below.Add(below, big.NewInt(1))
	return big.Jacobi(above.Mul(above, below).Mod(above, edwardsField), edwardsField) == 1
}
