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
	errJSONDuplicate = errors.New("json: a member name stands twice in one object")
)

// ParseJSON parses one JSON value that somebody else wrote (RFC 8259): objects as
// map[string]any, arrays as []any, numbers as json.Number. A document that two
// parsers could read differently is refused: duplicate member names, invalid
// UTF-8, anything after the value, and nesting beyond depth.
func ParseJSON(data []byte, depth int) (any, error) {
	if !utf8.Valid(data) {
		return nil, errJSONUTF8
	}
	if !json.Valid(data) {
		return nil, errJSONSyntax
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return parseValue(decoder, depth)
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, errJSONSyntax
	}
	delimiter, opens := token.(json.Delim)
	switch {
	case !opens:
		return token, nil
	case depth == 0:
		return nil, errJSONDepth
	case delimiter == '{':
		return parseObject(decoder, depth-1)
	case delimiter == '[':
		return parseArray(decoder, depth-1)
	}
	return nil, errJSONSyntax
}

func parseObject(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
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
		if object[name], err = parseValue(decoder, depth); err != nil {
			return nil, err
		}
	}
	return object, closing(decoder)
}

func parseArray(decoder *json.Decoder, depth int) (any, error) {
	array := []any{}
	for decoder.More() {
		value, err := parseValue(decoder, depth)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	return array, closing(decoder)
}

func closing(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("%w: unexpected end", errJSONSyntax)
	}
	return nil
}
