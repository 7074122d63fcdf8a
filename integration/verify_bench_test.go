package integration

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/certificate"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/rego"
)

// BenchmarkVerification measures what it costs to verify a token that is bound to the
// client's certificate, beside its bare signature. Each iteration does all of them in
// turn, and of all iterations the least is told of each, as processor time: signature,
// what verifies its digest in the standard library; fresh, a token that has not been
// seen before, by a policy that reads one of its claims; all-claims, the same by a policy
// that reads them all; known, a token that was seen before. docs/performance.md reads the
// figures.
func BenchmarkVerification(b *testing.B) {
	for _, algorithm := range []string{bank.ES256, bank.PS256} {
		b.Run(algorithm, func(b *testing.B) {
			v := openVerification(b, algorithm, 1000)
			signature, fresh, all, known := newLeast(b), newLeast(b), newLeast(b), newLeast(b)
			for b.Loop() {
				signature.of(len(v.signatures), v.checkSignatures)
				one, every := v.verifier(b, v.prepare), v.verifier(b, rego.PrepareClaims)
				fresh.of(len(v.requests), func() error { return v.verify(one, v.requests, 1) })
				all.of(len(v.requests), func() error { return v.verify(every, v.requests, 1) })
				known.of(clients*passes, func() error { return v.verify(one, v.requests[:clients], passes) })
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(signature.micros, "signature-µs")
			b.ReportMetric(fresh.micros, "fresh-µs")
			b.ReportMetric(fresh.micros/signature.micros, "fresh/signature")
			b.ReportMetric(all.micros/signature.micros, "all-claims/signature")
			b.ReportMetric(known.micros, "known-µs")
			b.ReportMetric(fresh.micros/known.micros, "fresh/known")
		})
	}
}

// clients is of how many known tokens each is sent passes times for one measurement.
const (
	clients = 100
	passes  = 200
)

// mostForKnown is what a check may allocate to read the certificate and to verify a
// token that it knows to be bound to it.
const mostForKnown = 4

func TestAKnownTokenAllocatesLittle(t *testing.T) {
	for _, algorithm := range []string{bank.ES256, bank.PS256} {
		v := openVerification(t, algorithm, 1)
		verifier := v.verifier(t, v.prepare)
		allocations := testing.AllocsPerRun(warmUp, func() {
			if err := v.verify(verifier, v.requests, 1); err != nil {
				t.Error(err)
			}
		})
		if allocations > mostForKnown {
			t.Errorf("%s: a known token with its certificate makes %.0f allocations, want at most %d", algorithm, allocations, mostForKnown)
		}
	}
}

// verification is requests with tokens of one algorithm, each another, all bound to one
// certificate.
type verification struct {
	cfg          token.Config
	keys         map[string]token.Keys
	certificates *certificate.Reader
	// prepare is the bank's policy's, which reads one claim.
	prepare  func(claims map[string]any) any
	requests []*authz.Request

	public     crypto.PublicKey
	signatures []signature
}

// signature is what the standard library is asked about a token.
type signature struct {
	digest [sha256.Size]byte
	bytes  []byte
	r, s   *big.Int
}

var errSignature = errors.New("a token's own signature is refused")

func openVerification(b testing.TB, algorithm string, count int) *verification {
	b.Helper()
	made := openBank(b)
	system := wireBank(b, made)
	v := &verification{cfg: system.Config.Tokens(), prepare: system.Policy.Preparation(false)}
	ring, err := token.OpenKeys(v.cfg, jwks.Environment{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ring.Close)
	if v.keys, err = ring.Keys(v.cfg); err != nil {
		b.Fatal(err)
	}
	if v.certificates, err = certificate.New(certificate.Config{}); err != nil {
		b.Fatal(err)
	}
	story := bank.Story{Ask: bank.Ask{
		Method: "GET", Path: "/accounts", Listener: bank.MTLS, Certificate: bank.Acme,
		Token: bank.Token{As: "ann", Algorithm: algorithm, Claims: map[string]any{"exp": "1h"}},
	}}
	for range count {
		request, err := story.Request(made, "")
		if err != nil {
			b.Fatal(err)
		}
		v.requests = append(v.requests, request)
		v.readSignature(b, request)
	}
	return v
}

// readSignature keeps what the bare signature of a request's token is verified with.
func (v *verification) readSignature(b testing.TB, request *authz.Request) {
	b.Helper()
	header, _ := request.Headers.Value("authorization")
	parsed, err := jose.Parse(header[len("Bearer "):], len(header))
	if err != nil {
		b.Fatal(err)
	}
	key, err := v.keys[bank.IssuerName].Key(b.Context(), parsed.KeyID, parsed.Algorithm)
	if err != nil {
		b.Fatal(err)
	}
	half := len(parsed.Signature) / 2
	v.public = key.Public
	v.signatures = append(v.signatures, signature{
		digest: sha256.Sum256([]byte(parsed.Signed)), bytes: parsed.Signature,
		r: new(big.Int).SetBytes(parsed.Signature[:half]), s: new(big.Int).SetBytes(parsed.Signature[half:]),
	})
}

func (v *verification) checkSignatures() error {
	for _, each := range v.signatures {
		switch public := v.public.(type) {
		case *ecdsa.PublicKey:
			if !ecdsa.Verify(public, each.digest[:], each.r, each.s) {
				return errSignature
			}
		case *rsa.PublicKey:
			options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			if err := rsa.VerifyPSS(public, crypto.SHA256, each.digest[:], each.bytes, &options); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifier knows no token yet.
func (v *verification) verifier(b testing.TB, prepare func(map[string]any) any) *token.Verifier {
	b.Helper()
	verifier, err := token.New(v.withoutProofs(), token.Environment{Keys: v.keys, Prepare: prepare})
	if err != nil {
		b.Fatal(err)
	}
	return verifier
}

// withoutProofs needs no memory of proofs: a token that is bound to a certificate comes
// with none.
func (v *verification) withoutProofs() token.Config {
	cfg := v.cfg
	cfg.APIs = map[authz.API]token.API{}
	for name, api := range v.cfg.APIs {
		api.DPoP = nil
		cfg.APIs[name] = api
	}
	return cfg
}

// verify reads the certificate and verifies the token of each request, so many times.
func (v *verification) verify(verifier *token.Verifier, requests []*authz.Request, times int) error {
	ctx, now := context.Background(), time.Now()
	for range times {
		for _, request := range requests {
			presented, err := v.certificates.Read(request)
			if err != nil {
				return err
			}
			if _, err := verifier.Verify(ctx, authz.Match{API: request.API}, request, presented, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// least is the least of several measurements.
type least struct {
	b      *testing.B
	micros float64
}

func newLeast(b *testing.B) *least { return &least{b: b, micros: math.Inf(1)} }

// of measures one more, of work that is so many operations.
func (l *least) of(operations int, work func() error) {
	l.b.Helper()
	began := processorTime(l.b)
	if err := work(); err != nil {
		l.b.Fatal(err)
	}
	spent := processorTime(l.b) - began
	l.micros = min(l.micros, float64(spent.Nanoseconds())/1e3/float64(operations))
}
