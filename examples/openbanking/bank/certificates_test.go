package bank

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"path/filepath"
	"testing"
)

func TestClientCertificates(t *testing.T) {
	certificates := openBank(t).Certificates
	for _, client := range []string{Acme, Zeta} {
		t.Run(client, func(t *testing.T) {
			text, err := url.PathUnescape(certificates.forwarded(client))
			if err != nil {
				t.Fatalf("PathUnescape: %v", err)
			}
			block, rest := pem.Decode([]byte(text))
			if block == nil || len(rest) > 0 {
				t.Fatalf("forwarded is not one PEM block")
			}
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatalf("ParseCertificate: %v", err)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: certificates.Authorities, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != identity(client).String() {
				t.Errorf("URIs = %v, want %v", leaf.URIs, identity(client))
			}
			sum := sha256.Sum256(leaf.Raw)
			if got, want := certificates.thumbprint(client), base64.RawURLEncoding.EncodeToString(sum[:]); got != want {
				t.Errorf("thumbprint = %s, want %s", got, want)
			}
		})
	}
}

func TestCertificateFilesAreKeyPairs(t *testing.T) {
	bank := openBank(t)
	for _, name := range []string{"server", Acme, Zeta} {
		if _, err := tls.LoadX509KeyPair(filepath.Join(bank.Dir, name+".pem"), filepath.Join(bank.Dir, name+".key")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServerCertificateIsForLoopback(t *testing.T) {
	bank := openBank(t)
	pair, err := tls.LoadX509KeyPair(filepath.Join(bank.Dir, "server.pem"), filepath.Join(bank.Dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: bank.Certificates.Authorities, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}
