package rego

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// maxSeparators bounds what a body becomes in memory, which is many times its size: it
// has no more values than separators. opa-envoy-plugin has no such bound.
const maxSeparators = 200_000

// Faults of bodies. Their texts hold nothing of a body.
var (
	errBodyLength    = fmt.Errorf("body: %w: content-length is no number", authz.BodyMalformed)
	errBodyJSON      = fmt.Errorf("body: %w: not JSON", authz.BodyMalformed)
	errBodyForm      = fmt.Errorf("body: %w: not a form", authz.BodyMalformed)
	errBodyMultipart = fmt.Errorf("body: %w: not multipart", authz.BodyMalformed)
	errBodyValues    = fmt.Errorf("body: %w: too many values", authz.RequestTooLarge)
)

// peerBody is what a policy is told of a body; a nil value is null.
type peerBody struct {
	value     ast.Value
	truncated bool
}

// message is the request as opa-envoy-plugin reads it.
type peerMessage struct {
	path    string
	headers map[string]any
	// text wins over raw, but for gRPC, which only raw can hold.
	text string
	raw  []byte
}

// messageOf takes it out of the attributes, in which nothing need be there.
func messageOf(attributes map[string]any, request *authz.Request) peerMessage {
	inner, _ := attributes["request"].(map[string]any)
	http, _ := inner["http"].(map[string]any)
	m := peerMessage{}
	m.path, _ = http["path"].(string)
	m.headers, _ = http["headers"].(map[string]any)
	m.text, _ = http["body"].(string)
	if _, there := http["rawBody"]; there {
		m.raw = request.Body
	}
	return m
}

func (m *peerMessage) header(name string) (string, bool) {
	value, there := m.headers[name].(string)
	return value, there
}

func (m *peerMessage) payload() []byte {
	if m.text != "" {
		return []byte(m.text)
	}
	return m.raw
}

// body parses the body by its content type, which is looked for as opa-envoy-plugin does:
// in lower case, anywhere in the field, in this order. A type that is not known is null.
func (m *peerMessage) body(messages *grpcMessages, path []string) (peerBody, error) {
	if partial, _ := m.header("x-envoy-auth-partial-body"); partial == "true" {
		return peerBody{truncated: true}, nil
	}
	kind, _ := m.header("content-type")
	var parse func([]byte) (ast.Value, error)
	switch {
	case strings.Contains(kind, "application/json"):
		parse = jsonBody
	case strings.Contains(kind, "application/grpc"):
		return messages.body(m.raw, path)
	case strings.Contains(kind, "application/x-www-form-urlencoded"):
		parse = formBody
	case strings.Contains(kind, "multipart/form-data"):
		parse = func(payload []byte) (ast.Value, error) { return multipartBody(kind, payload) }
	default:
		return peerBody{}, nil
	}
	payload := m.payload()
	if len(payload) == 0 {
		return peerBody{}, nil
	}
	truncated, err := m.truncates(payload)
	if err != nil || truncated {
		return peerBody{truncated: truncated}, err
	}
	value, err := parse(payload)
	return peerBody{value: value}, err
}

// truncates reports a body that is shorter than the client said.
func (m *peerMessage) truncates(payload []byte) (bool, error) {
	said, there := m.header("content-length")
	if !there {
		return false, nil
	}
	length, err := strconv.ParseInt(said, 10, 64)
	if err != nil {
		return false, errBodyLength
	}
	return length > int64(len(payload)), nil
}

// jsonBody keeps the digits of numbers, and of members of one name the last.
func jsonBody(payload []byte) (ast.Value, error) {
	if separators(payload, "[{,:") > maxSeparators {
		return nil, errBodyValues
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var decoded any
	if decoder.Decode(&decoded) != nil {
		return nil, errBodyJSON
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errBodyJSON
	}
	value, err := ast.InterfaceToValue(decoded)
	if err != nil {
		return nil, errBodyJSON
	}
	return value, nil
}

func separators(payload []byte, of string) int {
	count := 0
	for i := range len(of) {
		count += bytes.Count(payload, []byte{of[i]})
	}
	return count
}

func formBody(payload []byte) (ast.Value, error) {
	if separators(payload, "&") > maxSeparators {
		return nil, errBodyValues
	}
	values, err := url.ParseQuery(string(payload))
	if err != nil {
		return nil, errBodyForm
	}
	return valuesTerm(values).Value, nil
}

// multipartBody has the values of each part's name: text, or what a part of type JSON
// says. What has no boundary is null, and a part without a name is left out.
func multipartBody(kind string, payload []byte) (ast.Value, error) {
	_, parameters, err := mime.ParseMediaType(kind)
	if err != nil {
		return nil, errBodyMultipart
	}
	boundary, there := parameters["boundary"]
	if !there {
		return nil, nil
	}
	if separators(payload, "\n[{,:") > maxSeparators {
		return nil, errBodyValues
	}
	values := map[string][]*ast.Term{}
	for parts := multipart.NewReader(bytes.NewReader(payload), boundary); ; {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return partsValue(values), nil
		}
		if err != nil {
			return nil, errBodyMultipart
		}
		value, err := partValue(part)
		if err != nil {
			return nil, err
		}
		if name := part.FormName(); name != "" {
			values[name] = append(values[name], value)
		}
	}
}

func partValue(part *multipart.Part) (*ast.Term, error) {
	content, err := io.ReadAll(part)
	switch {
	case err != nil:
		return nil, errBodyMultipart
	case part.FormName() != "" && strings.Contains(part.Header.Get("Content-Type"), "application/json"):
		value, err := jsonBody(content)
		return ast.NewTerm(value), err
	}
	return utf8Term(string(content)), nil
}

func partsValue(values map[string][]*ast.Term) ast.Value {
	pairs := make([]pair, 0, len(values))
	for name, terms := range values {
		pairs = append(pairs, pair{utf8Term(name), ast.ArrayTerm(terms...)})
	}
	return ast.NewObject(pairs...)
}
