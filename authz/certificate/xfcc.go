package certificate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// xfcc is the header in which Envoys tell one another of client certificates.
const xfcc = "x-forwarded-client-cert"

const (
	// maxXFCC bounds the header; Envoy's own limit for all headers is 60 KiB.
	maxXFCC = 64 << 10
	// mostElements bounds how many proxies may stand between client and upstream.
	mostElements = 8
)

// element is what one proxy wrote: the certificate of whoever connected to it.
type element struct {
	// thumbprint is Hash, which Envoy always writes.
	thumbprint [sha256.Size]byte
	// forwarded is Cert, in the form that source.certificate has, or "".
	forwarded string
}

// fromXFCC is the client's certificate by the header and, where it is not nil, the
// peer's, of which Envoy itself told: the last element must be about that one.
func (r *Reader) fromXFCC(headers authz.Headers, peer *authz.Certificate) (*authz.Certificate, error) {
	fields := slices.Collect(headers.Values(xfcc))
	if len(fields) == 0 {
		if r.elements > 1 {
			return nil, nil // the peer is a proxy of ours, and told of no client's
		}
		return peer, nil
	}
	if len(fields) > 1 {
		return nil, fmt.Errorf("certificate: %w: %s stands more than once", authz.CertificateMalformed, xfcc)
	}
	elements, err := parseXFCC(fields[0])
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: %s: %w", authz.CertificateMalformed, xfcc, err)
	}
	last := elements[len(elements)-1]
	switch {
	case peer != nil && peer.Thumbprint != last.thumbprint:
		return nil, fmt.Errorf("certificate: %w: source.certificate is not the last of %s", authz.CertificateConflict, xfcc)
	case len(elements) > r.elements:
		return nil, fmt.Errorf("certificate: %w: %s has %d elements, and %d are expected", authz.CertificateMalformed, xfcc, len(elements), r.elements)
	case len(elements) < r.elements:
		return nil, nil
	}
	return r.certificate(elements[0])
}

// certificate is an element's, without an identity where it has only the thumbprint.
func (r *Reader) certificate(e element) (*authz.Certificate, error) {
	if e.forwarded == "" {
		return &authz.Certificate{Thumbprint: e.thumbprint}, nil
	}
	read, err := r.read(e.forwarded)
	if err != nil {
		return nil, err
	}
	if read.Thumbprint != e.thumbprint {
		return nil, fmt.Errorf("certificate: %w: %s: Hash is not that of Cert", authz.CertificateMalformed, xfcc)
	}
	return read, nil
}

var (
	errPair     = errors.New("it is not made of key=value pairs")
	errQuote    = errors.New("a quotation mark stands where it can be read in two ways")
	errTwice    = errors.New("a key stands twice in an element")
	errHash     = errors.New("an element has no Hash, or one that is not 64 lower-case hexadecimal digits")
	errCert     = errors.New("a Cert is empty")
	errElements = fmt.Errorf("it is over %d bytes, or has over %d elements", maxXFCC, mostElements)
)

// parseXFCC reads the elements, of which there is one at least. Elements are separated
// by commas, their pairs by semicolons; a value that holds either, or an equals sign, is
// in quotation marks. Its errors hold nothing of the header.
func parseXFCC(header string) ([]element, error) {
	if len(header) > maxXFCC {
		return nil, errElements
	}
	var elements []element
	for len(elements) < mostElements {
		e, rest, err := parseElement(header)
		if err != nil {
			return nil, err
		}
		elements = append(elements, e)
		if rest == "" {
			return elements, nil
		}
		header = rest[1:]
	}
	return nil, errElements
}

// parseElement returns one element, and what follows it: nothing, or a comma and more.
func parseElement(text string) (e element, rest string, err error) {
	seen := map[string]bool{}
	for {
		var key, value string
		if key, value, rest, err = parsePair(text); err != nil {
			return element{}, "", err
		}
		if seen[key] && key != "by" && key != "uri" && key != "dns" {
			return element{}, "", errTwice
		}
		seen[key] = true
		if err = e.set(key, value); err != nil {
			return element{}, "", err
		}
		if rest == "" || rest[0] == ',' {
			break
		}
		text = rest[1:]
	}
	if !seen["hash"] {
		return element{}, "", errHash
	}
	return e, rest, nil
}

// set takes what is read of an element. Its names are not: Envoy writes them without
// the care that it takes of the certificate, which has them all.
func (e *element) set(key, value string) error {
	switch key {
	case "hash":
		digest, err := hex.DecodeString(value)
		if err != nil || len(digest) != len(e.thumbprint) || strings.ToLower(value) != value {
			return errHash
		}
		copy(e.thumbprint[:], digest)
	case "cert":
		if e.forwarded = value; value == "" {
			return errCert
		}
	}
	return nil
}

// parsePair returns a key in lower case, its value as it stands, and what follows:
// nothing, a semicolon or a comma, and more.
func parsePair(text string) (key, value, rest string, err error) {
	key, rest, found := strings.Cut(text, "=")
	if !found || key == "" || strings.ContainsFunc(key, notLetter) {
		return "", "", "", errPair
	}
	if quoted, in := strings.CutPrefix(rest, `"`); in {
		value, rest, err = parseQuoted(quoted)
	} else {
		end := strings.IndexAny(rest, ",;")
		if end < 0 {
			end = len(rest)
		}
		if value, rest = rest[:end], rest[end:]; strings.ContainsAny(value, `="`) {
			err = errQuote
		}
	}
	if err == nil && rest != "" && rest[0] != ';' && rest[0] != ',' {
		err = errQuote
	}
	return strings.ToLower(key), value, rest, err
}

func notLetter(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') }

// parseQuoted reads up to the mark that ends a value. By Envoy's grammar a mark after
// a backslash is part of the value, and the backslash stands for nothing else; in a
// name in RFC 2253 form, which is what stands here, two of them are one backslash.
// Where the two differ, the client has chosen its name so that they do.
func parseQuoted(text string) (value, rest string, err error) {
	backslashes := 0
	for i := range len(text) {
		switch {
		case text[i] == '\\':
			backslashes++
			continue
		case text[i] == '"' && backslashes == 0:
			return text[:i], text[i+1:], nil
		case text[i] == '"' && backslashes%2 == 0:
			return "", "", errQuote
		}
		backslashes = 0
	}
	return "", "", errQuote
}
