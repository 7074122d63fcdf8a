package authz

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Faults of ParseJSON. Their texts hold nothing of the document.
var (
	errJSONUTF8      = errors.New("json: not valid UTF-8")
	errJSONSyntax    = errors.New("json: malformed")
	errJSONDepth     = errors.New("json: nested too deeply")
	errJSONValues    = errors.New("json: too many values")
	errJSONDuplicate = errors.New("json: a member name stands twice in one object")
)

// maxJSONValues bounds what a document becomes in memory, which is many times its size.
const maxJSONValues = 50_000

// ParseJSON parses one JSON value that somebody else wrote (RFC 8259): objects as
// map[string]any, arrays as []any, numbers as json.Number. A document that two
// parsers could read differently is refused: duplicate member names, invalid
// UTF-8, anything after the value, nesting beyond depth, and over 50,000 values.
func ParseJSON(data []byte, depth int) (any, error) {
	if !utf8.Valid(data) {
		return nil, errJSONUTF8
	}
	if !json.Valid(data) {
		return nil, errJSONSyntax
	}
	p := &jsonParser{Decoder: json.NewDecoder(bytes.NewReader(data)), left: maxJSONValues}
	p.UseNumber()
	return p.value(depth)
}

// jsonParser reads a document that is known to be well-formed.
type jsonParser struct {
	*json.Decoder
	// left is how many more values are taken.
	left int
}

func (p *jsonParser) value(depth int) (any, error) {
	token, err := p.Token()
	if err != nil {
		return nil, errJSONSyntax
	}
	if p.left--; p.left < 0 {
		return nil, errJSONValues
	}
	delimiter, opens := token.(json.Delim)
	switch {
	case !opens:
		return token, nil
	case depth == 0:
		return nil, errJSONDepth
	case delimiter == '{':
		return p.object(depth - 1)
	case delimiter == '[':
		return p.array(depth - 1)
	}
	return nil, errJSONSyntax
}

func (p *jsonParser) object(depth int) (any, error) {
	object := map[string]any{}
	for p.More() {
		token, err := p.Token()
		if err != nil {
			return nil, errJSONSyntax
		}
		name, ok := token.(string)
		if !ok {
			return nil, errJSONSyntax
		}
		if _, twice := object[name]; twice {
			return nil, errJSONDuplicate
		}
		if object[name], err = p.value(depth); err != nil {
			return nil, err
		}
	}
	return object, p.closing()
}

func (p *jsonParser) array(depth int) (any, error) {
	array := []any{}
	for p.More() {
		value, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	return array, p.closing()
}

func (p *jsonParser) closing() error {
	if _, err := p.Token(); err != nil {
		return fmt.Errorf("%w: unexpected end", errJSONSyntax)
	}
	return nil
}
