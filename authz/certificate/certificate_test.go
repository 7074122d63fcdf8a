package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// The dates of certificates that are made here.
var (
	notBefore = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
)

// issue makes a self-signed certificate of a key of its own, DER.
func issue(t testing.TB, template *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, template)
}

func issueFor(t testing.TB, key *ecdsa.PrivateKey, template *x509.Certificate) []byte {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = notBefore, notAfter
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func toPEM(blockType string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

// forward is a certificate as Envoy forwards it: these five characters are
// encoded, and no other.
func forward(text string) string {
	return strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(text)
}

func encodeAll(text string) string {
	var encoded strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&encoded, "%%%02x", text[i])
	}
	return encoded.String()
}

// reader reads as the configuration says.
func reader(t testing.TB, cfg Config) *Reader {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t testing.TB, forwarded string) (*authz.Certificate, error) {
	t.Helper()
	return reader(t, Config{}).Read(&authz.Request{Certificate: forwarded})
}

func TestNoCertificateIsNone(t *testing.T) {
	got, err := read(t, "")
	if got != nil || err != nil {
		t.Errorf("Read = %v, %v, want nil, nil", got, err)
	}
}

func TestCertificateIsRead(t *testing.T) {
	uri, err := url.Parse("spiffe://bank.example/ns/demo/sa/client")
	if err != nil {
		t.Fatal(err)
	}
	full := issue(t, &x509.Certificate{
		Subject: pkix.Name{Country: []string{"GB", "NO"}, Organization: []string{"Acme"}, OrganizationalUnit: []string{"TPP"}, CommonName: "Client; One, Ltd"},
		URIs:    []*url.URL{uri}, DNSNames: []string{"client.acme.example", "other.acme.example"},
	})
	bare := issue(t, &x509.Certificate{})
	said := authz.Identity{
		Subject: `CN=Client\; One\, Ltd,OU=TPP,O=Acme,C=GB+C=NO`, Country: "GB", SPIFFE: "spiffe://bank.example/ns/demo/sa/client",
		URIs: []string{"spiffe://bank.example/ns/demo/sa/client"}, DNS: []string{"client.acme.example", "other.acme.example"},
	}
	tests := []struct {
		name      string
		der       []byte
		forwarded string
		want      authz.Identity
	}{
		{"all fields, as Envoy forwards them", full, forward(toPEM(pemType, full)), said},
		{"no fields", bare, forward(toPEM(pemType, bare)), authz.Identity{}},
		{"a plus that is not encoded is a plus", full, strings.ReplaceAll(forward(toPEM(pemType, full)), "%2B", "+"), said},
		{"every character encoded", bare, encodeAll(toPEM(pemType, bare)), authz.Identity{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.NotBefore, test.want.NotAfter = notBefore, notAfter
			got, err := read(t, test.forwarded)
			if err != nil {
				t.Fatal(err)
			}
			want := &authz.Certificate{Thumbprint: sha256.Sum256(test.der), Identity: &test.want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("certificate (-want +got):\n%s", diff)
			}
		})
	}
}

// The certificate of RFC 8705 Appendix A has the thumbprint that stands there.
func TestRFC8705AppendixA(t *testing.T) {
	der, err := base64.StdEncoding.DecodeString("MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVow" +
		"DzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ" +
		"/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+" +
		"hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=")
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t, forward(toPEM(pemType, der)))
	if err != nil {
		t.Fatal(err)
	}
	if text, want := hex.EncodeToString(got.Thumbprint[:]), "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd"; text != want {
		t.Errorf("thumbprint is %s, want %s", text, want)
	}
	if text, want := base64.RawURLEncoding.EncodeToString(got.Thumbprint[:]), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"; text != want {
		t.Errorf("x5t#S256 is %s, want %s", text, want)
	}
	if got.Identity.Subject != "CN=mtls" {
		t.Errorf("subject is %q, want CN=mtls", got.Identity.Subject)
	}
}

// TestRenewedCertificateIsAnother holds that a token which is bound to a certificate is
// not bound to the next one, though that has the same key and names.
func TestRenewedCertificateIsAnother(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "client"}}
	bound, err := read(t, forward(toPEM(pemType, issueFor(t, key, template))))
	if err != nil {
		t.Fatal(err)
	}
	for _, renewed := range []struct {
		name string
		key  *ecdsa.PrivateKey
	}{{"M5 renewed with another key", another}, {"M6 renewed with the same key", key}} {
		got, err := read(t, forward(toPEM(pemType, issueFor(t, renewed.key, template))))
		if err != nil {
			t.Fatal(err)
		}
		if got.Thumbprint == bound.Thumbprint || got.Identity.Subject != bound.Identity.Subject {
			t.Errorf("%s: the same thumbprint, or another subject than %q", renewed.name, got.Identity.Subject)
		}
	}
}

func TestMalformedCertificates(t *testing.T) {
	der := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "secret"}})
	good := toPEM(pemType, der)
	body := strings.Split(good, "\n")[1]
	tests := []struct{ name, forwarded string }{
		{"bad percent-encoding", forward(good) + "%zz"},
		{"not PEM", "secret"},
		{"DER without PEM", url.PathEscape(string(der))},
		{"text before", forward("secret\n" + good)},
		{"newline before", forward("\n" + good)},
		{"text after", forward(good + "secret")},
		{"newline after", forward(good + "\n")},
		{"two certificates", forward(good + good)},
		{"an unreadable block before", forward(strings.Replace(good, body, "!", 1) + good)},
		{"an unreadable block after", forward(good + pemBegin)},
		{"another type", forward(toPEM("TRUSTED CERTIFICATE", der))},
		{"a key", forward(toPEM("PUBLIC KEY", der))},
		{"headers", forward(string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der, Headers: map[string]string{"secret": "secret"}})))},
		{"no end", forward(good[:len(good)-20])},
		{"data after the certificate, within the block", forward(toPEM(pemType, append(der[:len(der):len(der)], 0)))},
		{"truncated", forward(toPEM(pemType, der[:len(der)-1]))},
		{"nothing in the block", forward(toPEM(pemType, nil))},
		{"plus made space", strings.ReplaceAll(forward(toPEM(pemType, withPlus(t))), "%2B", "%20")},
		{"too large", forward(good) + strings.Repeat("%0A", maxForwarded/3)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := read(t, test.forwarded)
			if got != nil || !errors.Is(err, authz.CertificateMalformed) {
				t.Fatalf("Read = %v, %v, want %v", got, err, authz.CertificateMalformed)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the certificate: %v", err)
			}
		})
	}
}

// withPlus is a certificate whose base64 has a plus.
func withPlus(t *testing.T) []byte {
	for {
		if der := issue(t, &x509.Certificate{}); strings.Contains(base64.StdEncoding.EncodeToString(der), "+") {
			return der
		}
	}
}

// A certificate that is seen again is the one that was parsed; another one is not.
func TestCertificatesAreRemembered(t *testing.T) {
	reads := reader(t, Config{})
	first := forward(toPEM(pemType, issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "first"}})))
	second := forward(toPEM(pemType, issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "second"}})))
	read := func(forwarded string) *authz.Certificate {
		certificate, err := reads.Read(&authz.Request{Certificate: forwarded})
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	a, b := read(first), read(second)
	if read(first) != a || read(second) != b {
		t.Error("a certificate was parsed twice")
	}
	if a.Identity.Subject != "CN=first" || b.Identity.Subject != "CN=second" {
		t.Errorf("subjects are %q and %q", a.Identity.Subject, b.Identity.Subject)
	}
}

// What is accepted is one certificate, whose thumbprint is that of its DER.
func FuzzRead(f *testing.F) {
	good := toPEM(pemType, issue(f, &x509.Certificate{Subject: pkix.Name{CommonName: "a"}}))
	for _, seed := range []string{forward(good), good, forward(good + good), "%", pemBegin, forward(strings.TrimSpace(good)), strings.ReplaceAll(good, "\n", "\r\n")} {
		f.Add(seed)
	}
	reads := reader(f, Config{})
	f.Fuzz(func(t *testing.T, forwarded string) {
		got, err := reads.Read(&authz.Request{Certificate: forwarded})
		if err != nil {
			if got != nil || !errors.Is(err, authz.CertificateMalformed) {
				t.Fatalf("Read = %v, %v", got, err)
			}
			return
		}
		if forwarded == "" {
			if got != nil {
				t.Fatal("a certificate of nothing")
			}
			return
		}
		text, err := url.PathUnescape(forwarded)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(text))
		if got.Thumbprint != sha256.Sum256(block.Bytes) || strings.Count(text, pemBegin) != 1 {
			t.Fatalf("Read = %+v", got)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	request := &authz.Request{Certificate: forward(toPEM(pemType, issue(b, &x509.Certificate{})))}
	reads := reader(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reads.Read(request); err != nil {
			b.Fatal(err)
		}
	}
}
