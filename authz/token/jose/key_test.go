package jose

import (
	"crypto"
	"crypto/elliptic"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/countersign-io/countersign/authz"
)

// published is a key's JWK by the other library.
func published(t testing.TB, public crypto.PublicKey) map[string]any {
	t.Helper()
	key, err := jwk.FromRaw(public)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(must(json.Marshal(key)), &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func TestParseKeyReadsWhatAnotherLibraryWrites(t *testing.T) {
	for algorithm, signer := range signers {
		members := published(t, signer.Public())
		key := ParseKey(members)
		if key == nil {
			t.Errorf("%s: ParseKey(%v) = nil", algorithm, members)
			continue
		}
		if diff := cmp.Diff(signer.Public(), key.Public); diff != "" {
			t.Errorf("%s: ParseKey() (-want +got):\n%s", algorithm, diff)
		}
		other := must(jwk.FromRaw(signer.Public()))
		if want := must(other.Thumbprint(crypto.SHA256)); !slices.Equal(key.Thumbprint[:], want) {
			t.Errorf("%s: Thumbprint = %x, want %x", algorithm, key.Thumbprint, want)
		}
	}
}

// TestLeadingZeros has numbers longer and shorter than they should be written: the key
// and its thumbprint are the same.
func TestLeadingZeros(t *testing.T) {
	short, x := map[string]any{}, []byte{1}
	for x[0] != 0 { // One key in 256 has such an x.
		short = published(t, newEC(elliptic.P256()).Public())
		x, _ = octets(short, "x")
	}
	long := published(t, signers["PS256"].Public())
	for _, test := range []struct {
		name, member string
		of           map[string]any
		written      func(octets []byte) []byte
	}{
		{"a short x", "x", short, func(octets []byte) []byte { return octets[1:] }},
		{"a long y", "y", short, func(octets []byte) []byte { return append(make([]byte, 8), octets...) }},
		{"a long n", "n", long, func(octets []byte) []byte { return append([]byte{0}, octets...) }},
		{"a long e", "e", long, func(octets []byte) []byte { return append(make([]byte, 5), octets...) }},
	} {
		members := maps.Clone(test.of)
		number, _ := octets(members, test.member)
		members[test.member] = encode(test.written(number))
		if diff := cmp.Diff(ParseKey(test.of), ParseKey(members)); diff != "" {
			t.Errorf("%s: ParseKey() (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	ec, edwards, modulus := published(t, signers["ES256"].Public()), published(t, signers["EdDSA"].Public()), published(t, signers["PS256"].Public())
	tests := []struct {
		name   string
		of     map[string]any
		member string
		value  any
	}{
		{"no type", ec, "kty", nil},
		{"a type in lower case", ec, "kty", "ec"},
		{"a type that is no string", ec, "kty", []any{"EC"}},
		{"no curve", ec, "crv", nil},
		{"a curve that is no string", ec, "crv", 256},
		{"a curve that nobody knows", ec, "crv", "P-257"},
		{"another curve than the point's", ec, "crv", "P-384"},
		{"no x", ec, "x", nil},
		{"no y", ec, "y", nil},
		{"y of another type", ec, "y", 1},
		{"an empty y", ec, "y", ""},
		{"x in the standard alphabet", ec, "x", "+" + ec["x"].(string)[1:]},
		{"x over the field", ec, "x", encode(elliptic.P256().Params().P.Bytes())},
		{"x over its size", ec, "x", encode(new(big.Int).Lsh(big.NewInt(1), 256).Bytes())},
		{"no n", modulus, "n", nil},
		{"no e", modulus, "e", nil},
		{"an empty e", modulus, "e", ""},
		{"an exponent of 2", modulus, "e", "Ag"},
		{"an exponent over 31 bits", modulus, "e", "AQAAAAE"},
		{"no x of Ed25519", edwards, "x", nil},
		{"x of Ed25519 too long", edwards, "x", edwards["x"].(string)[:42] + "AAA"},
		{"Ed448", edwards, "crv", "Ed448"},
		{"a private member", ec, "d", nil},
	}
	for _, test := range tests {
		members := maps.Clone(test.of)
		if members[test.member] = test.value; test.value == nil && test.member != "d" {
			delete(members, test.member)
		}
		if key := ParseKey(members); key != nil {
			t.Errorf("%s: ParseKey(%v) = a key", test.name, members)
		}
	}
}

// FuzzParseKey holds that what is taken for a key the other library takes for the same.
func FuzzParseKey(f *testing.F) {
	for _, algorithm := range Algorithms {
		f.Add(must(json.Marshal(published(f, signers[algorithm].Public()))))
	}
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"","y":""}`))
	f.Add([]byte(`{"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, _ := authz.ParseJSON(data, maxDepth)
		members, _ := value.(map[string]any)
		key := ParseKey(members)
		if key == nil {
			return
		}
		// Only what makes the key: of the rest the other library has opinions of its own.
		public := map[string]any{}
		for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
			if text, ok := members[name].(string); ok {
				public[name] = text
			}
		}
		other, err := jwk.ParseKey(must(json.Marshal(public)))
		if err != nil {
			t.Fatalf("ParseKey(%s) is a key, and to the other library none: %v", data, err)
		}
		var raw crypto.PublicKey
		if err := other.Raw(&raw); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(raw, key.Public); diff != "" {
			t.Errorf("ParseKey(%s) (-other library +ours):\n%s", data, diff)
		}
		if want := must(other.Thumbprint(crypto.SHA256)); !slices.Equal(key.Thumbprint[:], want) {
			t.Errorf("Thumbprint = %x, want %x", key.Thumbprint, want)
		}
	})
}
