package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Limits on what is decoded, in bytes as sent.
const (
	maxToken  = 8 << 10
	maxHeader = 2 << 10
	maxKeyID  = 256
	maxDepth  = 16
)

// forbiddenHeaders would choose a key, a key's location or another way of reading
// the token (RFC 8725 §3.5, RFC 7515 §4.1.11, RFC 7797 §7, RFC 7516 §4.1.3). No
// issuer needs them in an access token, and nothing here honours them.
var forbiddenHeaders = []string{"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip"}

// compact is a JWS in compact serialisation (RFC 7515 §7.1), taken apart and
// nothing of it believed.
type compact struct {
	// algorithm, keyID and kind are the header's alg, kid and typ; the latter two
	// are "" where absent.
	algorithm, keyID, kind string
	claims                 map[string]any
	// signed is what the signature is over.
	signed    string
	signature []byte
}

// parse takes a token apart. Its error wraps authz.TokenTooLarge or TokenMalformed.
func parse(credential string) (*compact, error) {
	if len(credential) > maxToken {
		return nil, fmt.Errorf("token: %w: over %d bytes", authz.TokenTooLarge, maxToken)
	}
	parts := strings.SplitN(credential, ".", 4)
	if len(parts) != 3 {
		return nil, fmt.Errorf("token: %w: not three parts", authz.TokenMalformed)
	}
	if len(parts[0]) > maxHeader {
		return nil, fmt.Errorf("token: %w: header over %d bytes", authz.TokenTooLarge, maxHeader)
	}
	header, err := parsePart("header", parts[0])
	if err != nil {
		return nil, err
	}
	parsed := &compact{signed: credential[:len(parts[0])+1+len(parts[1])]}
	if err := parsed.readHeader(header); err != nil {
		return nil, err
	}
	if parsed.claims, err = parsePart("payload", parts[1]); err != nil {
		return nil, err
	}
	if parsed.signature, err = decode(parts[2]); err != nil {
		return nil, fmt.Errorf("token: %w: signature: %w", authz.TokenMalformed, err)
	}
	return parsed, nil
}

// parsePart decodes a part that is one JSON object.
func parsePart(name, part string) (map[string]any, error) {
	data, err := decode(part)
	if err != nil {
		return nil, fmt.Errorf("token: %w: %s: %w", authz.TokenMalformed, name, err)
	}
	value, err := authz.ParseJSON(data, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("token: %w: %s: %w", authz.TokenMalformed, name, err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("token: %w: %s is no object", authz.TokenMalformed, name)
	}
	return object, nil
}

func (c *compact) readHeader(header map[string]any) error {
	for _, name := range forbiddenHeaders {
		if _, there := header[name]; there {
			return fmt.Errorf("token: %w: header has %s", authz.TokenMalformed, name)
		}
	}
	for name, to := range map[string]*string{"alg": &c.algorithm, "kid": &c.keyID, "typ": &c.kind} {
		value, there := header[name]
		if !there {
			continue
		}
		text, ok := value.(string)
		if !ok || text == "" {
			return fmt.Errorf("token: %w: %s is no string or empty", authz.TokenMalformed, name)
		}
		*to = text
	}
	if len(c.keyID) > maxKeyID {
		return fmt.Errorf("token: %w: kid over %d bytes", authz.TokenMalformed, maxKeyID)
	}
	return nil
}

// accepts holds the header against the issuer's types and algorithms. A type may
// stand with or without "application/", in any case (RFC 9068 §4, RFC 7515 §4.1.9);
// an algorithm must be exact (RFC 8725 §3.1).
func (i *issuer) accepts(parsed *compact) error {
	kind := strings.TrimPrefix(strings.ToLower(parsed.kind), "application/")
	if !slices.Contains(i.types, kind) {
		return fmt.Errorf("token: %w", authz.TokenType)
	}
	if !slices.Contains(i.algorithms, parsed.algorithm) {
		return fmt.Errorf("token: %w", authz.TokenAlgorithm)
	}
	return nil
}

var errBase64URL = errors.New("not base64url without padding")

// decode decodes base64url as RFC 7515 §2 has it: no padding, no line breaks, and no
// bits left over, so that a value has one form only.
func decode(text string) ([]byte, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The library skips line breaks.
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, errBase64URL
	}
	return data, nil
}
