package checks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/certificate"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/authz/token/jose"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

type object = map[string]any

const (
	issuer   = "https://as.example"
	accounts = authz.API("accounts")
	// plain takes no proofs.
	plain = authz.API("plain")
)

var (
	now    = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	encode = base64.RawURLEncoding.EncodeToString
	nonces = dpop.NewNonces("k1", []byte("0123456789abcdef0123456789abcdef"))

	issuerKey, clientKey, strangerKey = newKey(), newKey(), newKey()

	clientCertificate, strangerCertificate = newCertificate(clientKey), newCertificate(strangerKey)
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// newCertificate is the DER of one that its key has signed.
func newCertificate(key *ecdsa.PrivateKey) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "acme"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

func jwk(key *ecdsa.PrivateKey) object {
	point := must(key.PublicKey.Bytes())
	return object{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
}

func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return encode(sum[:])
}

// signed is a JWT that is being made. Its key signs whatever its header says.
type signed struct {
	header, claims object
	key            *ecdsa.PrivateKey
	// headerText and payloadText change the JSON, and signatureText the encoded signature.
	headerText, payloadText, signatureText func(string) string
}

func (s *signed) String() string {
	changed := func(text string, change func(string) string) string {
		if change != nil {
			return change(text)
		}
		return text
	}
	header := changed(string(must(json.Marshal(s.header))), s.headerText)
	payload := changed(string(must(json.Marshal(s.claims))), s.payloadText)
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	r, t, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	must(r, err)
	signature := append(r.FillBytes(make([]byte, 32)), t.FillBytes(make([]byte, 32))...)
	return input + "." + changed(encode(signature), s.signatureText)
}

// attempt is a request that is being made.
type attempt struct {
	api                    authz.API
	scheme, method, target string
	token, proof           *signed
	// more and moreProof are added to what is sent as token and as proof.
	more, moreProof string
	certificate     []byte
	// headers are sent besides; without lists those that are not sent.
	headers authz.Headers
	without map[string]bool
	// ath is of another token, where it is not "".
	ath     string
	address string
	// unbound has the issuer's tokens be taken that are bound to nothing.
	unbound bool
	// unread says that what is revoked cannot be read.
	revoked, unread bool

	replayed                             bool
	keysFault, replayFault, certifyFault error
}

// good is an attempt to which every check applies, and that passes them all.
func good() *attempt {
	key := jose.ParseKey(jwk(clientKey)).Thumbprint
	return &attempt{
		api: accounts, scheme: "DPoP", method: "GET", target: "/accounts", certificate: clientCertificate, without: map[string]bool{}, address: "192.0.2.7",
		token: &signed{key: issuerKey, header: object{"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, claims: object{
			"iss": issuer, "aud": "https://rs.example", "sub": "ann", "client_id": "acme", "jti": "1", "scope": "accounts", "kind": "user", "environment": "production",
			"authorization_details": []any{object{"type": "account_information"}},
			"iat":                   now.Add(-time.Minute).Unix(), "exp": now.Add(time.Minute).Unix(),
			"cnf": object{"x5t#S256": thumbprint(clientCertificate), "jkt": encode(key[:])}}},
		proof: &signed{key: clientKey, header: object{"alg": "ES256", "typ": "dpop+jwt", "jwk": jwk(clientKey)}, claims: object{
			"jti": rand.Text(), "htm": "GET", "htu": "https://rs.example/accounts", "iat": now.Unix()}},
	}
}

// bearer is an attempt with a token that is bound to nothing and that says no more than it
// must, where little is known.
func bearer() *attempt {
	a := good()
	a.scheme, a.certificate, a.without["dpop"] = "Bearer", nil, true
	a.unbound, a.address, a.unread = true, "", true
	delete(a.token.claims, "cnf")
	delete(a.token.claims, "authorization_details")
	return a
}

func (a *attempt) cnf() object { return a.token.claims["cnf"].(object) }

func (a *attempt) request(nonce string) *authz.Request {
	text := a.token.String() + a.more
	if _, there := a.proof.claims["nonce"]; !there {
		a.proof.claims["nonce"] = nonce
	}
	digest := sha256.Sum256([]byte(text + a.ath))
	a.proof.claims["ath"] = encode(digest[:])
	request := &authz.Request{API: a.api, Method: a.method, Target: a.target, Address: a.address}
	for _, field := range append(authz.Headers{{Name: "authorization", Value: a.scheme + " " + text}, {Name: "dpop", Value: a.proof.String() + a.moreProof}}, a.headers...) {
		if !a.without[field.Name] {
			request.Headers = append(request.Headers, field)
		}
	}
	if a.certificate != nil {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate})
		request.Certificate = url.PathEscape(string(block))
	}
	return request
}

// Key and Holds implement token.Keys.
func (a *attempt) Key(_ context.Context, kid, algorithm string) (*jwks.Key, error) {
	if a.keysFault != nil {
		return nil, a.keysFault
	}
	public := jwk(issuerKey)
	public["kid"] = "k1"
	set := must(jwks.ParseSet(must(json.Marshal(object{"keys": []any{public}}))))
	if key := set.Find(kid, algorithm); key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("keys: %w", authz.TokenKey)
}

func (a *attempt) Holds(*jwks.Key) bool { return true }

// Fresh implements dpop.Replays.
func (a *attempt) Fresh(context.Context, [32]byte, time.Time) (bool, error) {
	return !a.replayed, a.replayFault
}

// Revoked implements authz.Revocations.
func (a *attempt) Revoked(*authz.Token) (revoked bool, asOf time.Time) {
	if a.unread {
		return false, time.Time{}
	}
	return a.revoked, now
}

// faultyCertificates cannot be read.
type faultyCertificates struct{ error }

func (f faultyCertificates) Read(*authz.Request) (*authz.Certificate, error) { return nil, f.error }

// run has the attempt checked.
func run(t *testing.T, a *attempt) *Report {
	t.Helper()
	report, err := tried(t, a)
	if err != nil {
		t.Fatalf("Run() = %v", err)
	}
	return report
}

func tried(t *testing.T, a *attempt) (*Report, error) {
	t.Helper()
	bound := !a.unbound
	verifier, err := token.New(token.Config{
		Environment: "production",
		Issuers: []token.Issuer{{Issuer: issuer, JWKS: jwks.Config{URL: issuer + "/jwks"}, Profile: "oauth", SenderConstrained: &bound,
			MaxLifetime: 4 * time.Hour, MaxAge: time.Hour, Claims: token.ClaimNames{Environment: "environment"},
			Clients:   map[authz.ClientID]token.Client{"acme": {Addresses: []string{"192.0.2.0/24"}}},
			KindClaim: token.KindClaim{Name: "kind", Values: map[string]string{"user": "customer"}}}},
		APIs: map[authz.API]token.API{
			accounts: {Audiences: []string{"https://rs.example"}, DPoP: &dpop.Config{Origins: []string{"https://rs.example"}, Nonce: true}},
			plain:    {Audiences: []string{"https://rs.example"}},
		},
	}, token.Environment{Keys: map[string]token.Keys{issuer: a}, Replays: a, Nonces: nonces})
	if err != nil {
		t.Fatal(err)
	}
	by := &authz.Snapshot{Certificates: must(certificate.New(certificate.Config{})), Tokens: verifier, Proofs: verifier}
	if a.certifyFault != nil {
		by.Certificates = faultyCertificates{a.certifyFault}
	}
	return Run(t.Context(), by, a, a.request(verifier.Proofs(accounts, now).Nonce), now)
}

var errDown = errors.New("down")
