package jose

import "math/big"

// rocaPrimes are the smallest odd primes, whose product goes into the primes that some
// smart cards make: each of those is a power of 65537, modulo all of these at once
// (CVE-2017-15361).
var rocaPrimes = []int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
	101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

const rocaGenerator = 65537

// isROCA reports a modulus that was made in that way, from which its factors can be
// found. Of other moduli about one in 2²⁸ looks like one, and is refused with them.
func isROCA(modulus *big.Int) bool {
	for _, prime := range rocaPrimes {
		rest := new(big.Int).Mod(modulus, big.NewInt(prime)).Int64()
		if !isPower(rest, prime) {
			return false
		}
	}
	return true
}

// isPower reports a power of the generator modulo a prime.
func isPower(rest, prime int64) bool {
	for power := int64(1); ; {
		if power == rest {
			return true
		}
		if power = power * rocaGenerator % prime; power == 1 {
			return false
		}
	}
}
