package contract

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// maxDepth bounds how deep a body may be nested.
const maxDepth = 32

// readBody parses a request's JSON body, where the contract has one. A body of another
// kind is left alone, but by an operation whose rules read it, and a form is refused
// where it could name objects. It reports whether there is a value. A body that fails a
// check which is observed has none: what is cut is never taken for the whole.
func (n *naming) readBody(request *authz.Request) (any, bool, error) {
	if n.operation.Stream {
		return nil, false, nil
	}
	cut := checkWhole(n.operation, request)
	if err := n.settle(cut); err != nil {
		return nil, false, err
	}
	kind, odd := n.checkKind(request)
	if err := n.settle(odd); err != nil {
		return nil, false, err
	}
	switch {
	case odd != nil: // for all that is known it is a form
		n.withoutBody(authz.InBody, authz.InQuery)
		n.unread(n.reading.unnamed...)
		return nil, false, nil
	case cut != nil:
		n.withoutBody(authz.InBody)
		return nil, false, nil
	case !isJSON(kind) || len(request.Body) == 0 || !n.reading.hasBody:
		return nil, false, nil
	}
	value, err := authz.ParseJSON(request.Body, maxDepth)
	if err != nil {
		n.withoutBody(authz.InBody)
		return nil, false, n.settle(fmt.Errorf("contract: %w: %w", authz.BodyMalformed, err))
	}
	return value, true, nil
}

// checkKind is the body's media type, where that is one that can be left alone or parsed.
func (n *naming) checkKind(request *authz.Request) (string, error) {
	kind, err := contentType(request)
	switch {
	case err != nil:
		return "", err
	case readsBody(n.operation) && !isJSON(kind) && (kind != "" || len(request.Body) > 0):
		return "", fmt.Errorf("contract: %w: not JSON", authz.ContentType)
	case isForm(kind) && !slices.Contains(n.reading.mediaTypes, kind) && (readsQuery(n.operation) || len(n.reading.unnamed) > 0):
		return "", fmt.Errorf("contract: %w: a form, which the operation does not declare", authz.ContentType)
	}
	return kind, nil
}

// withoutBody says that the body was not read, and that rules for these places may find
// in it what nobody has seen.
func (n *naming) withoutBody(places ...authz.Location) {
	n.bodyless = true
	for _, rule := range n.operation.Objects {
		if slices.Contains(places, rule.In) {
			n.unread(rule)
		}
	}
}

// wholeBody follows a rule from the body's root.
func (n *naming) wholeBody(rule authz.ObjectRule, body any) error {
	if n.bodyless {
		return nil
	}
	return n.body(rule, body, rule.Pointer, "body")
}

// checkWhole refuses a body that we have not seen the whole of. Only content-length
// tells: of a body that is cut at exactly its limit, Envoy says that it is whole.
// Where Envoy was not told to send bodies, each looks empty: an operation whose rules
// read it then takes only what says itself that it is empty, so that no object is missed.
func checkWhole(operation *authz.Operation, request *authz.Request) error {
	if request.Truncated {
		return fmt.Errorf("contract: %w", authz.BodyTruncated)
	}
	size := len(request.Body)
	declared, said := contentLength(request)
	switch {
	case size == 0 && !readsBody(operation):
		return nil
	case said && declared != uint64(size):
		return fmt.Errorf("contract: %w: not as long as its content-length", authz.BodyTruncated)
	case said:
		return nil
	case size > 0:
		return fmt.Errorf("contract: %w: no content-length says that it is whole", authz.BodyTruncated)
	}
	for range request.Headers.Values("transfer-encoding") {
		return fmt.Errorf("contract: %w: nothing of it was sent to us", authz.BodyTruncated)
	}
	if !requiresBody(operation) {
		return fmt.Errorf("contract: %w: nothing was sent to us, and no content-length says that there is nothing", authz.BodyTruncated)
	}
	return nil
}

// contentLength is false where there is none. What is no number, or repeated,
// counts as more than any body.
func contentLength(request *authz.Request) (uint64, bool) {
	for range request.Headers.Values("content-length") {
		value, _ := request.Headers.Value("content-length")
		length, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return 1 << 63, true
		}
		return length, true
	}
	return 0, false
}

// contentType is the media type, "" where there is none. For JSON it makes sure
// that an upstream decodes the bytes that we do.
func contentType(request *authz.Request) (string, error) {
	values := slices.Collect(request.Headers.Values("content-type"))
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || strings.Contains(values[0], ",") {
		return "", fmt.Errorf("contract: %w: repeated", authz.ContentType)
	}
	kind := request.MediaType()
	if !isJSON(kind) {
		return kind, nil
	}
	_, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", fmt.Errorf("contract: %w: malformed", authz.ContentType)
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", fmt.Errorf("contract: %w: charset is not UTF-8", authz.ContentType)
	}
	for encoding := range request.Headers.Values("content-encoding") {
		if !strings.EqualFold(encoding, "identity") {
			return "", fmt.Errorf("contract: %w: encoded", authz.ContentType)
		}
	}
	return kind, nil
}

// isJSON takes a media type in lower case (RFC 6839 §3.1).
func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// isForm takes a media type in lower case, as PHP reads it, too: up to a blank. Many
// upstreams merge a form's fields with the parameters of the query.
func isForm(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/x-www-form-urlencoded") || strings.HasPrefix(mediaType, "multipart/form-data")
}

// body adds the ids that the rest of a rule's pointer finds in value. where is the
// way to value, with the indexes that were taken.
func (n *naming) body(rule authz.ObjectRule, value any, pointer, where string) error {
	if value == nil {
		return missing(rule)
	}
	if pointer == "" {
		id, ok := bodyID(value)
		if !ok {
			return malformed(rule)
		}
		return n.add(rule, id, where)
	}
	token, rest := pointer[1:], ""
	if slash := strings.IndexByte(token, '/'); slash >= 0 {
		token, rest = token[:slash], token[slash:]
	}
	switch value := value.(type) {
	case map[string]any:
		return n.member(rule, value, token, rest, where)
	case []any:
		return n.elements(rule, value, token, rest, where)
	}
	return malformed(rule)
}

func (n *naming) member(rule authz.ObjectRule, object map[string]any, token, rest, where string) error {
	if token == everyElement {
		return malformed(rule)
	}
	name := unescape(token)
	for other := range object {
		if other != name && strings.EqualFold(other, name) {
			return fmt.Errorf("contract: %w: a member's name differs from %s in case", authz.ObjectMalformed, source(rule))
		}
	}
	return n.body(rule, object[name], rest, where+"/"+token)
}

func (n *naming) elements(rule authz.ObjectRule, array []any, token, rest, where string) error {
	if token != everyElement {
		index, err := strconv.Atoi(token)
		switch {
		case err != nil || strconv.Itoa(index) != token || index < 0:
			return malformed(rule)
		case index >= len(array):
			return missing(rule)
		}
		return n.body(rule, array[index], rest, where+"/"+token)
	}
	if len(array) == 0 {
		return missing(rule)
	}
	for i, element := range array {
		if err := n.body(rule, element, rest, where+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// everyElement is the reference token that stands for each element of an array. A
// member of that name cannot be pointed at.
const everyElement = "*"

// isPointer reports an RFC 6901 pointer that is not "", the whole document.
func isPointer(pointer string) bool {
	if !strings.HasPrefix(pointer, "/") {
		return false
	}
	plain := strings.NewReplacer("~0", "", "~1", "").Replace(pointer)
	return !strings.Contains(plain, "~")
}

// unescape is a reference token's member name (RFC 6901 §4: "~1" before "~0").
func unescape(token string) string {
	if !strings.Contains(token, "~") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

// maxInteger is the largest that every JSON reader keeps exact (RFC 8259 §6).
const maxInteger = 1<<53 - 1

// bodyID is the id that a JSON value is: a string, or an integer's text.
func bodyID(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case json.Number:
		n, err := strconv.ParseInt(value.String(), 10, 64)
		exact := err == nil && n <= maxInteger && n >= -maxInteger
		return value.String(), exact && strconv.FormatInt(n, 10) == value.String()
	}
	return "", false
}
