// Package jose takes apart and verifies what somebody else signed: JWSs in the compact
// serialisation (RFC 7515 §7.1), and the public keys to verify them with (RFC 7517).
// Access tokens and proofs of possession are both that.
//
// It knows nothing of what a token means: which algorithms, types and keys are taken
// is for those who call it, package token and its children. Its errors are no reasons
// and hold nothing of what was sent.
package jose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Limits on what is decoded.
const (
	MaxHeader = 2 << 10 // in bytes as sent
	MaxKeyID  = 256
	maxDepth  = 16
)

// forbiddenHeaders would choose a key, a key's location or another way of reading
// the token (RFC 8725 §3.5, RFC 7515 §4.1.11, RFC 7797 §7, RFC 7516 §4.1.3). Nobody
// needs them in what is read here, and nothing here honours them.
var forbiddenHeaders = []string{"crit", "b64", "jku", "x5u", "x5c", "zip"}

// ErrTooLarge is wrapped by Parse's error where something is over its limit.
var ErrTooLarge = errors.New("too large")

// Compact is a JWS whose payload is a JSON object, taken apart and nothing of it
// believed.
type Compact struct {
	// Algorithm, KeyID and Type are the header's alg, kid and typ, "" where absent.
	Algorithm, KeyID, Type string
	// Key is the header's jwk, or nil.
	Key    map[string]any
	Claims map[string]any
	// Signed is what the signature is over.
	Signed    string
	Signature []byte
}

// Parse takes a JWS apart. Of what several parsers could read differently it takes
// nothing: see authz.ParseJSON and Decode. The size of the whole is bounded by limit,
// which is looked at before anything is decoded.
func Parse(text string, limit int) (*Compact, error) {
	if len(text) > limit {
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, limit)
	}
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	if len(parts[0]) > MaxHeader {
		return nil, fmt.Errorf("%w: header over %d bytes", ErrTooLarge, MaxHeader)
	}
	header, err := parsePart("header", parts[0])
	if err != nil {
		return nil, err
	}
	parsed := &Compact{Signed: text[:len(parts[0])+1+len(parts[1])]}
	if err := parsed.readHeader(header); err != nil {
		return nil, err
	}
	if parsed.Claims, err = parsePart("payload", parts[1]); err != nil {
		return nil, err
	}
	if parsed.Signature, err = Decode(parts[2]); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return parsed, nil
}

// parsePart decodes a part that is one JSON object.
func parsePart(name, part string) (map[string]any, error) {
	data, err := Decode(part)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	value, err := authz.ParseJSON(data, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is no object", name)
	}
	return object, nil
}

func (c *Compact) readHeader(header map[string]any) (err error) {
	for _, name := range forbiddenHeaders {
		if _, there := header[name]; there {
			return fmt.Errorf("header has %s", name)
		}
	}
	if c.Algorithm, err = text(header, "alg"); err != nil {
		return err
	}
	if c.KeyID, err = text(header, "kid"); err != nil {
		return err
	}
	if c.Type, err = text(header, "typ"); err != nil {
		return err
	}
	if len(c.KeyID) > MaxKeyID {
		return fmt.Errorf("kid over %d bytes", MaxKeyID)
	}
	key, there := header["jwk"]
	if c.Key, _ = key.(map[string]any); there && c.Key == nil {
		return errors.New("jwk is no object")
	}
	return nil
}

// text is a member that is a string and not empty, or "" where it is absent.
func text(header map[string]any, name string) (string, error) {
	value, there := header[name]
	text, _ := value.(string)
	if there && text == "" {
		return "", fmt.Errorf("%s is no string or empty", name)
	}
	return text, nil
}

// IsType reports that the JWS is marked as being of the type, which is in lower case.
// It may stand with or without "application/", in any case (RFC 7515 §4.1.9).
func (c *Compact) IsType(kind string) bool {
	return strings.TrimPrefix(strings.ToLower(c.Type), "application/") == kind
}

// base64URL is made once: it is a table of its own.
var base64URL = base64.RawURLEncoding.Strict()

var errBase64URL = errors.New("not base64url without padding")

// Decode decodes base64url as RFC 7515 §2 has it: no padding, no line breaks, and no
// bits left over, so that a value has one form only.
func Decode(text string) ([]byte, error) {
	data, err := base64URL.DecodeString(text)
	// The library skips line breaks.
	if err != nil || strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		return nil, errBase64URL
	}
	return data, nil
}

// maxSeconds is where a float64 no longer holds every integer.
const maxSeconds = 1 << 53

// farFuture is the latest time that nanoseconds since 1970 can tell. A time beyond it
// is as good as that one.
var farFuture = time.Unix(0, math.MaxInt64).UTC()

// Time reads a NumericDate (RFC 7519 §2): a number of seconds, whole or not.
func Time(value any) (time.Time, bool) {
	number, _ := value.(json.Number)
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds >= maxSeconds {
		return time.Time{}, false
	}
	if seconds >= float64(farFuture.Unix()) {
		return farFuture, true
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), true
}
