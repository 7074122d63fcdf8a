package rego

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// peerKeys are the keys of the input as opa-envoy-plugin has them.
var peerKeys = struct{ version, attributes, path, query, body, truncated, principal *ast.Term }{
	ast.StringTerm("version"), ast.StringTerm("attributes"), ast.StringTerm("parsed_path"), ast.StringTerm("parsed_query"),
	ast.StringTerm("parsed_body"), ast.StringTerm("truncated_body"), ast.StringTerm("source_principal"),
}

// input is opa-envoy-plugin's document: the keys are all there, but attributes and
// source_principal where the request has none, and the body's where bodies are left
// alone. What the policy cannot read is parsed as well, since what cannot be parsed is
// refused; but the attributes are there only where they are wanted.
func (p *Peer) input(request *authz.Request, wanted bool) (ast.Value, error) {
	var attributes map[string]any
	if request.Attributes != nil {
		attributes = byName(request.Attributes(), request)
	}
	message := messageOf(attributes, request)
	path, query, _ := strings.Cut(message.path, "?")
	segments, err := pathSegments(path)
	if err != nil {
		return nil, fmt.Errorf("path: %w: not percent-encoded", authz.PathNotCanonical)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("query: %w", authz.QueryMalformed)
	}
	pairs := []pair{{peerKeys.version, extAuthz}, {peerKeys.path, array(segments, utf8Term)}, {peerKeys.query, valuesTerm(values)}}
	if !p.skipBody {
		body, err := message.body(p.messages, segments)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{peerKeys.body, termOf(body.value)}, pair{peerKeys.truncated, ast.InternedTerm(body.truncated)})
	}
	pairs = appendKnown(pairs, peerKeys.principal, text(request.Principal))
	if wanted && attributes != nil {
		converted, err := ast.InterfaceToValue(attributes)
		if err != nil {
			return nil, errNotJSON
		}
		pairs = append(pairs, pair{peerKeys.attributes, ast.NewTerm(converted)})
	}
	return ast.NewObject(pairs...), nil
}

// termOf is null for nil.
func termOf(value ast.Value) *ast.Term {
	if value == nil {
		return ast.NullTerm()
	}
	return ast.NewTerm(value)
}
