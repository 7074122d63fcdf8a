package authz

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Limits on a request target. RFC 9110 §4.1 recommends that 8000 octets be
// supported; segments bound the work of matching.
const (
	maxTarget   = 8192
	maxSegments = 64
)

// Target is a request target whose path can be understood in only one way.
type Target struct {
	// Path is the path as received, without the query; it begins with "/".
	Path string
	// Segments are the path's segments, percent-decoded. "/" is one empty segment,
	// and a trailing slash a last empty one.
	Segments []string
	// RawQuery is the query as received, without "?".
	RawQuery string
	// Query are the parameters by name, decoded, in order of appearance.
	Query url.Values
}

// ParseTarget reads a request target (RFC 9112 §3.2.1, origin form). What an
// upstream could read differently from us is refused, not settled: settling it
// would authorise a path that the upstream does not see.
//
// Refused as PathNotCanonical: dot segments, empty segments but a last one, ";",
// backslash, fragment, invalid UTF-8, the absolute and the asterisk form, and
// percent-encoded slash, backslash, dot, semicolon, hash, question mark, percent and
// control characters; and in the query too, a space or control character that is not
// encoded. Other encodings are decoded.
func ParseTarget(raw string) (Target, error) {
	if len(raw) > maxTarget {
		return Target{}, fmt.Errorf("target: %w: over %d bytes", RequestTooLarge, maxTarget)
	}
	// Behind a space, an upstream that is told of it by HTTP/1.1 can read the version.
	if strings.Contains(raw, " ") || hasControl(raw) {
		return Target{}, fmt.Errorf("target: %w: a space or control character", PathNotCanonical)
	}
	path, query, _ := strings.Cut(raw, "?")
	segments, err := parsePath(path)
	if err != nil {
		return Target{}, err
	}
	values, err := parseQuery(query)
	if err != nil {
		return Target{}, err
	}
	return Target{Path: path, Segments: segments, RawQuery: query, Query: values}, nil
}

func parsePath(path string) ([]string, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("target: %w: not in origin form", PathNotCanonical)
	}
	raw := strings.Split(path[1:], "/")
	if len(raw) > maxSegments {
		return nil, fmt.Errorf("target: %w: over %d segments", RequestTooLarge, maxSegments)
	}
	segments := make([]string, len(raw))
	for i, segment := range raw {
		if segment == "" && i < len(raw)-1 {
			return nil, fmt.Errorf("target: %w: empty segment", PathNotCanonical)
		}
		decoded, err := decodeSegment(segment)
		if err != nil {
			return nil, err
		}
		segments[i] = decoded
	}
	return segments, nil
}

func decodeSegment(segment string) (string, error) {
	if segment == "." || segment == ".." {
		return "", fmt.Errorf("target: %w: dot segment", PathNotCanonical)
	}
	if strings.ContainsAny(segment, `;\#`) {
		return "", fmt.Errorf("target: %w: reserved character", PathNotCanonical)
	}
	decoded := segment
	if strings.Contains(segment, "%") {
		var err error
		if decoded, err = url.PathUnescape(segment); err != nil {
			return "", fmt.Errorf("target: %w: bad percent-encoding", PathNotCanonical)
		}
		if encodesReserved(segment) {
			return "", fmt.Errorf("target: %w: encoded reserved character", PathNotCanonical)
		}
	}
	if !utf8.ValidString(decoded) || hasControl(decoded) {
		return "", fmt.Errorf("target: %w: not printable UTF-8", PathNotCanonical)
	}
	return decoded, nil
}

// encodesReserved reports an encoded slash, backslash, dot, semicolon, hash,
// question mark or percent: characters that mean something else once decoded,
// here or, decoded a second time, upstream.
func encodesReserved(segment string) bool {
	for i := 0; i+2 < len(segment); i++ {
		if segment[i] != '%' {
			continue
		}
		switch strings.ToUpper(segment[i+1 : i+3]) {
		case "2F", "5C", "2E", "3B", "23", "3F", "25":
			return true
		}
	}
	return false
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

func parseQuery(query string) (url.Values, error) {
	if query == "" {
		return nil, nil
	}
	if strings.Contains(query, "#") {
		return nil, fmt.Errorf("target: %w: fragment", PathNotCanonical)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("target: %w", QueryMalformed)
	}
	for name, list := range values {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("target: %w: not UTF-8", QueryMalformed)
		}
		for _, value := range list {
			if !utf8.ValidString(value) {
				return nil, fmt.Errorf("target: %w: not UTF-8", QueryMalformed)
			}
		}
	}
	return values, nil
}
