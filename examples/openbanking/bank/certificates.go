package bank

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Certificates are the demo's: an authority, Envoy's own, and one of each client's.
// All are ECDSA P-256 and valid for a day.
type Certificates struct {
	// Authorities holds the demo's one authority, which signed all the others.
	Authorities *x509.CertPool

	clients map[string]tls.Certificate
	ca      *authority
	dir     string
}

// authority signs the demo's certificates.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	now         time.Time
}

// newCertificates makes the certificates and writes them to dir as PEM files:
// ca.pem, server.pem, server.key, and for each client its name with .pem and .key.
func newCertificates(dir string, now time.Time) (*Certificates, error) {
	ca, err := newAuthority(dir, now)
	if err != nil {
		return nil, err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Demo Bank"}, CommonName: "api.bank.example"},
		DNSNames:    []string{"localhost", "api.bank.example"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if _, err := ca.issue(server, filepath.Join(dir, "server")); err != nil {
		return nil, err
	}
	made := &Certificates{Authorities: x509.NewCertPool(), clients: map[string]tls.Certificate{}, ca: ca, dir: dir}
	made.Authorities.AddCert(ca.certificate)
	for _, client := range []string{Acme, Zeta} {
		if err := made.Issue(client, identity(client)); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// company is whose certificate a client's is.
type company struct {
	name string
	// id is its organizationIdentifier, and roles are what the authority lets it do.
	id    string
	roles []role
}

// companies are the clients' own: Zeta may look at accounts, and not pay from them.
var companies = map[string]company{
	Acme: {name: "Acme Ltd", id: "PSDGB-FCA-100001", roles: []role{accountInformation, paymentInitiation}},
	Zeta: {name: "Zeta; Sons, Ltd", id: "PSDGB-FCA-100002", roles: []role{accountInformation}},
}

// Issue makes a client's certificate, in place of the one that it had, with that URI:
// clients choose their names themselves.
func (c *Certificates) Issue(client string, uri *url.URL) error {
	of := companies[client]
	statements, err := statementsOf(of.roles)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"GB"}, Organization: []string{of.name}, CommonName: client,
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: organizationIdentifier, Value: of.id}},
		},
		URIs:            []*url.URL{uri},
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{statements},
	}
	c.clients[client], err = c.ca.issue(template, filepath.Join(c.dir, client))
	return err
}

// identity is the URI that a client's certificate names it by.
func identity(client string) *url.URL {
	return &url.URL{Scheme: "https", Host: client + ".example", Path: "/open-banking"}
}

func newAuthority(dir string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	ca := &authority{key: key, now: now}
	ca.certificate = &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Demo Bank"}, CommonName: "Demo Bank authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := ca.sign(ca.certificate, key.Public())
	if err != nil {
		return nil, err
	}
	if ca.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return ca, writePEM(filepath.Join(dir, "ca.pem"), "CERTIFICATE", der)
}

// issue makes a key and a certificate for it, and writes path.pem and path.key.
func (ca *authority) issue(template *x509.Certificate, path string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificates: %w", err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := ca.sign(template, key.Public())
	if err != nil {
		return tls.Certificate{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificates: %w", err)
	}
	if err := writePEM(path+".pem", "CERTIFICATE", der); err != nil {
		return tls.Certificate{}, err
	}
	if err := writePEM(path+".key", "PRIVATE KEY", pkcs8); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (ca *authority) sign(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	template.SerialNumber = serial
	// An hour back, for clocks that differ.
	template.NotBefore, template.NotAfter = ca.now.Add(-time.Hour), ca.now.Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return der, nil
}

// thumbprint is the client's certificate as a token is bound to it: the base64url
// SHA-256 of its DER encoding (RFC 8705 §3.1).
func (c *Certificates) thumbprint(client string) string {
	sum := sha256.Sum256(c.clients[client].Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// XFCC is what a proxy tells of the client's certificate in x-forwarded-client-cert.
// Certificates are no secret: whoever has seen one can write it, too.
func (c *Certificates) XFCC(client string) string {
	sum := sha256.Sum256(c.clients[client].Certificate[0])
	return "Hash=" + hex.EncodeToString(sum[:]) + `;Cert="` + c.forwarded(client) + `"`
}

// forwarded is the client's certificate as Envoy sends it: PEM, percent-encoded.
func (c *Certificates) forwarded(client string) string {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.clients[client].Certificate[0]})
	return envoyEscapes.Replace(string(block))
}

// envoyEscapes are all that Envoy escapes in a certificate.
var envoyEscapes = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

func writePEM(path, kind string, der []byte) error {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	return nil
}
