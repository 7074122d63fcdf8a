package rego

import (
	"net/url"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// extAuthz says in which form the attributes are, as opa-envoy-plugin says it.
var extAuthz = ast.ObjectTerm(
	pair{ast.StringTerm("ext_authz"), ast.StringTerm("v3")},
	pair{ast.StringTerm("encoding"), ast.StringTerm("protojson")})

// peerSections are the keys of opa-envoy-plugin, so that policies written for it
// find what they read. What is not known is absent here, where the plugin has null.
func peerSections() []section {
	return []section{
		{key: ast.StringTerm("version"), shape: isVersion, value: func(*known) *ast.Term { return extAuthz }},
		{
			key:   ast.StringTerm("attributes"),
			shape: isOpen,
			known: func(f *known) bool { return f.Request.Attributes != nil },
			value: func(f *known) *ast.Term { return f.foreign(f.Request.Attributes()) },
		},
		{key: ast.StringTerm("parsed_path"), shape: isTexts, value: parsedPath},
		{key: ast.StringTerm("parsed_query"), shape: shape{"type": "object", "additionalProperties": isTexts}, value: parsedQuery},
		{
			key:   ast.StringTerm("parsed_body"),
			shape: isAny,
			known: func(f *known) bool { return f.Inspection.Parsed },
			value: func(f *known) *ast.Term { return f.foreign(f.Inspection.Body) },
		},
		{
			key:   ast.StringTerm("truncated_body"),
			shape: isBoolean,
			value: truncatedBody,
		},
		{
			key:   ast.StringTerm("source_principal"),
			shape: isText,
			value: func(f *known) *ast.Term { return text(f.Request.Principal) },
		},
	}
}

// truncatedBody is true, too, where a body is only thought to be cut, and that is observed.
func truncatedBody(f *known) *ast.Term {
	cut := func(err error) bool { return authz.ReasonOf(err) == authz.BodyTruncated }
	return ast.InternedTerm(f.Request.Truncated || slices.ContainsFunc(f.Inspection.Observed, cut))
}

func parsedPath(f *known) *ast.Term {
	path, _, _ := strings.Cut(f.Request.Target, "?")
	segments, err := pathSegments(path)
	if err != nil {
		return nil
	}
	return array(segments, utf8Term)
}

// pathSegments are those of a path that is percent-decoded, then stripped of leading
// slashes, then split: in that order, and so that "//x" loses nothing (CVE-2026-26205).
func pathSegments(path string) ([]string, error) {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimLeft(decoded, "/"), "/"), nil
}

// parsedQuery is an object of arrays, empty where there is no query.
func parsedQuery(f *known) *ast.Term {
	_, query, _ := strings.Cut(f.Request.Target, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	return valuesTerm(values)
}

func valuesTerm(values url.Values) *ast.Term {
	pairs := make([]pair, 0, len(values))
	for name, list := range values {
		pairs = append(pairs, pair{utf8Term(name), array(list, utf8Term)})
	}
	return ast.ObjectTerm(pairs...)
}

// utf8Term puts U+FFFD for every byte that is not UTF-8.
func utf8Term(s string) *ast.Term { return ast.StringTerm(string([]rune(s))) }
