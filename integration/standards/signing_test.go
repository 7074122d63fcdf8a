package standards

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for PS512 and ES512
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"sync"

	"github.com/countersign-io/countersign/authz/token/jose"
)

// object is a header or claims.
type object = map[string]any

var encode = base64.RawURLEncoding.EncodeToString

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func marshal(value any) []byte { return must(json.Marshal(value)) }

// signers are the private keys of all who sign here, each made when it is first needed.
var signers = map[string]func() crypto.Signer{
	"es256":    newEC(elliptic.P256()),
	"es384":    newEC(elliptic.P384()),
	"ps256":    newRSA(2048),
	"eddsa":    sync.OnceValue(func() crypto.Signer { _, key, err := ed25519.GenerateKey(rand.Reader); return must(key, err) }),
	"stranger": newEC(elliptic.P256()),
	"staff":    newEC(elliptic.P256()),
	"holder":   newEC(elliptic.P256()),
	"thief":    newEC(elliptic.P256()),
	"rsa":      newRSA(2048),
	"weak":     newRSA(1024),
}

func newEC(curve elliptic.Curve) func() crypto.Signer {
	return sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) })
}

func newRSA(bits int) func() crypto.Signer {
	return sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, bits)) })
}

// jwk is the public key of a name, which is its kid, with further members.
func jwk(name string, members ...any) object {
	key := object{"kid": name}
	switch public := signers[name]().Public().(type) {
	case *rsa.PublicKey:
		maps.Copy(key, object{"kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes())})
	case *ecdsa.PublicKey:
		point := must(public.Bytes())[1:]
		maps.Copy(key, object{"kty": "EC", "crv": public.Params().Name, "x": encode(point[:len(point)/2]), "y": encode(point[len(point)/2:])})
	case ed25519.PublicKey:
		maps.Copy(key, object{"kty": "OKP", "crv": "Ed25519", "x": encode(public)})
	default:
		panic(fmt.Sprintf("no JWK for %T", public))
	}
	for i := 0; i < len(members); i += 2 {
		key[members[i].(string)] = members[i+1]
	}
	return key
}

// thumbprint is the key of a name as a token is bound to it (RFC 7638).
func thumbprint(name string) string {
	digest := jose.ParseKey(jwk(name)).Thumbprint
	return encode(digest[:])
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// digestOf is what an algorithm signs of a text.
func digestOf(algorithm, text string) (crypto.Hash, []byte) {
	hash := hashes[algorithm[2:]]
	digest := hash.New()
	digest.Write([]byte(text))
	return hash, digest.Sum(nil)
}

// signature signs as RFC 7518 §3 has it, independently of what verifies it. An algorithm
// that is none of the key's is signed for as the key's type does.
func signature(algorithm, name, text string) []byte {
	private := signers[name]()
	if key, ok := private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, []byte(text))
	}
	if len(algorithm) < 5 || hashes[algorithm[2:]] == 0 {
		algorithm = "??256"
	}
	hash, digest := digestOf(algorithm, text)
	switch key := private.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		must(r, err)
		size := (key.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		if algorithm[0] == 'R' {
			return must(rsa.SignPKCS1v15(rand.Reader, key, hash, digest))
		}
		return must(rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	}
	panic("no way to sign with it")
}

// jws is a token or a proof that is to be made.
type jws struct {
	header, claims object
	// signer is whose key signs it.
	signer string
	// texts are changed before they are signed, so that nothing but their form is wrong.
	headerText, claimsText func(string) string
	// encoded changes header and payload as they are encoded, before they are signed.
	encoded func(header, payload string) (string, string)
	// signed makes the signature in place of signature.
	signed func(text string) []byte
	// compact changes the whole once it is signed.
	compact func(string) string
}

// make makes it.
func (j *jws) make() string {
	texts := [2]string{string(marshal(j.header)), string(marshal(j.claims))}
	for i, change := range []func(string) string{j.headerText, j.claimsText} {
		if change != nil {
			texts[i] = change(texts[i])
		}
	}
	header, payload := encode([]byte(texts[0])), encode([]byte(texts[1]))
	if j.encoded != nil {
		header, payload = j.encoded(header, payload)
	}
	input := header + "." + payload
	algorithm, _ := j.header["alg"].(string)
	sign := j.signed
	if sign == nil {
		sign = func(text string) []byte { return signature(algorithm, j.signer, text) }
	}
	made := input + "." + encode(sign(input))
	if j.compact != nil {
		made = j.compact(made)
	}
	return made
}
