package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Match finds the operation that a request means: the API that Envoy names, or
// where it names none, the one that lists the host; then the path, literal
// segments before templated ones (OpenAPI 3.1 §4.8.8.2); then the method, exactly.
// A path that is known with other methods only is UnknownMethod even where a less
// concrete template has the method. A segment that differs from a literal one only in
// case, or by blanks, is UnknownPath even where a template would take it: many
// upstreams would take it for the literal one.
func (c *Contracts) Match(request *authz.Request, target authz.Target) (authz.Match, error) {
	api := c.api(request)
	if api == nil {
		return authz.Match{}, fmt.Errorf("contract: %w", authz.NoContract)
	}
	match := authz.Match{API: api.name}
	segments, within := stripBase(target.Segments, api.base)
	if !within {
		return match, fmt.Errorf("contract: %w: outside the base path", authz.UnknownPath)
	}
	var captured [maxCaptured]string
	found, values := api.tree.find(segments, captured[:0])
	switch found {
	case nil:
		return match, fmt.Errorf("contract: %w", authz.UnknownPath)
	case lookalike:
		return match, fmt.Errorf("contract: %w: a segment is the contract's but for case or blanks", authz.UnknownPath)
	}
	operation, ok := found.operations[request.Method]
	if !ok {
		match.Allowed = found.methods()
		return match, fmt.Errorf("contract: %w", authz.UnknownMethod)
	}
	match.Operation = operation
	match.Parameters = found.parameters(values)
	return match, nil
}

// api is nil where there is no contract. A host is looked at only where Envoy
// names no API: a client must not choose the contract that it is held against.
func (c *Contracts) api(request *authz.Request) *served {
	if request.API != "" {
		return c.apis[request.API]
	}
	return c.hosts[hostname(request.Host)]
}

// hostname is an authority in the form in which hosts are compared: lower case,
// without port and trailing dot.
func hostname(authority string) string {
	if colon := strings.LastIndexByte(authority, ':'); colon >= 0 && isDigits(authority[colon+1:]) {
		authority = authority[:colon]
	}
	return strings.ToLower(strings.TrimSuffix(authority, "."))
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

func stripBase(segments, base []string) ([]string, bool) {
	if len(segments) < len(base) || !slices.Equal(segments[:len(base)], base) {
		return nil, false
	}
	return segments[len(base):], true
}
