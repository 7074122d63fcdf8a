// Package certificate reads the client certificate that Envoy forwards with each
// request: its thumbprint, so that a token can be held against the key it is bound to,
// and, apart from that, what it says of its holder.
//
// A certificate that is read here says that the client holds its key: Envoy has
// completed the handshake with it. It says nothing of who vouches for the names and
// roles in it; that is for Envoy's validation context. Read is source.certificate,
// which Envoy fills itself, and a header only where the configuration says so.
package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"

	"github.com/maypok86/otter/v2"

	"github.com/countersign-io/countersign/authz"
)

const (
	// maxForwarded bounds a certificate as forwarded; real ones are 1 to 4 KiB.
	maxForwarded = 16 << 10
	// maxRemembered bounds the bytes of the forwarded forms that are remembered:
	// some thousand clients.
	maxRemembered = 8 << 20
)

// Source says where a client's certificate is told.
type Source string

const (
	// FromSource takes that of Envoy's connection, as Envoy tells it in
	// source.certificate. It is the default.
	FromSource Source = "source"
	// FromXFCC takes x-forwarded-client-cert, which is Envoy's word only where Envoy is
	// told to set it, and a client's own elsewhere.
	FromXFCC Source = "xfcc"
)

// Config says where certificates are read. The zero Config reads no header.
type Config struct {
	// From is FromSource where empty.
	From Source `yaml:"client_certificate"`
	// Elements is how many the header has, of which the client's is the first; default 1.
	// With more it is refused: whoever can write one could write its own.
	Elements int `yaml:"xfcc_elements"`
}

// Check returns all faults of the configuration as authz.Problems, or nil.
func (c Config) Check() error {
	var problems authz.Problems
	if c.From != "" && c.From != FromSource && c.From != FromXFCC {
		problems.Add("client_certificate", "not a known source of client certificates", `write "source" or "xfcc"`)
	}
	if c.Elements < 0 || c.Elements > mostElements {
		problems.Add("xfcc_elements", fmt.Sprintf("not between 1 and %d", mostElements), "write how many proxies, Envoy among them, add an element")
	}
	if c.Elements != 0 && c.From != FromXFCC {
		problems.Add("xfcc_elements", "is for client_certificate: xfcc only", "remove it")
	}
	return problems.Err()
}

// Reader reads certificates, and remembers those that it has read. It is safe for
// concurrent use. New makes one.
type Reader struct {
	// elements is how many XFCC must have; 0 leaves the header alone.
	elements   int
	remembered *otter.Cache[string, *authz.Certificate]
}

var _ authz.Certificates = (*Reader)(nil)

// New returns a Reader that remembers nothing yet. Its error is Check's.
func New(cfg Config) (*Reader, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	elements := 0
	if cfg.From == FromXFCC {
		elements = max(cfg.Elements, 1)
	}
	return &Reader{elements: elements, remembered: otter.Must(&otter.Options[string, *authz.Certificate]{
		MaximumWeight: maxRemembered,
		Weigher:       func(forwarded string, _ *authz.Certificate) uint32 { return uint32(len(forwarded)) },
	})}, nil
}

// Read returns the request's client certificate, nil where there is none. It is
// shared between requests and must not be written to. An error wraps
// CertificateMalformed or CertificateConflict and holds nothing of the certificate.
func (r *Reader) Read(request *authz.Request) (*authz.Certificate, error) {
	peer, err := r.read(request.Certificate)
	if err != nil || r.elements == 0 {
		return peer, err
	}
	return r.fromXFCC(request.Headers, peer)
}

// read returns the certificate that Envoy forwards, nil for "".
func (r *Reader) read(forwarded string) (*authz.Certificate, error) {
	switch {
	case forwarded == "":
		return nil, nil
	case len(forwarded) > maxForwarded:
		return nil, fmt.Errorf("certificate: %w: over %d bytes", authz.CertificateMalformed, maxForwarded)
	}
	if certificate, known := r.remembered.GetIfPresent(forwarded); known {
		return certificate, nil
	}
	certificate, err := parse(forwarded)
	if err != nil {
		return nil, err
	}
	// The string may be a part of the whole request, which must not be kept for it.
	r.remembered.Set(strings.Clone(forwarded), certificate)
	return certificate, nil
}

func parse(forwarded string) (*authz.Certificate, error) {
	der, err := decode(forwarded)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		// The parser's own words may quote the certificate.
		return nil, fmt.Errorf("certificate: %w: not X.509", authz.CertificateMalformed)
	}
	return &authz.Certificate{Thumbprint: sha256.Sum256(der), Identity: identify(parsed)}, nil
}

// Marks of PEM (RFC 7468 §2).
const (
	pemBegin = "-----BEGIN"
	pemType  = "CERTIFICATE"
)

// decode returns the DER of the one certificate in Envoy's form: PEM, with the
// characters that a URL reserves percent-encoded. A plus is a plus: base64 has it.
func decode(forwarded string) ([]byte, error) {
	text, err := url.PathUnescape(forwarded)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: bad percent-encoding", authz.CertificateMalformed)
	}
	// The PEM decoder passes over text before a block, and over blocks that it
	// cannot read: what stands here must be one block and nothing else.
	if !strings.HasPrefix(text, pemBegin) || strings.Count(text, pemBegin) != 1 {
		return nil, fmt.Errorf("certificate: %w: not one PEM block", authz.CertificateMalformed)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || len(rest) > 0:
		return nil, fmt.Errorf("certificate: %w: not one PEM block", authz.CertificateMalformed)
	case block.Type != pemType || len(block.Headers) > 0:
		return nil, fmt.Errorf("certificate: %w: not a PEM certificate", authz.CertificateMalformed)
	}
	return block.Bytes, nil
}
