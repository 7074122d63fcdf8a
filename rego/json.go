package rego

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Bounds of a document that is kept. They are no more than authz.ParseJSON takes, so
// that whatever is kept can be read again.
const (
	maxDocument = 1 << 20
	maxDepth    = 64
	maxValues   = 50_000
)

var errTooLarge = errors.New("larger than a document that is kept")

// jsonText writes a value of OPA's as JSON: the keys of an object in order, numbers
// as they stand. It is an appender of our own since encoding/json must be given a
// copy of the whole value in Go's own types first.
type jsonText struct {
	text   []byte
	values int
}

// value appends a value in which depth arrays and objects may be nested. Its error is
// errTooLarge, or errNotJSON for what JSON cannot say, such as a set.
func (j *jsonText) value(value ast.Value, depth int) error {
	if j.values++; j.values > maxValues || len(j.text) > maxDocument {
		return errTooLarge
	}
	switch value := value.(type) {
	case ast.Null:
		j.text = append(j.text, "null"...)
	case ast.Boolean:
		j.text = strconv.AppendBool(j.text, bool(value))
	case ast.Number:
		return j.number(value)
	case ast.String:
		j.text = appendString(j.text, string(value))
	case *ast.Array:
		return j.array(value, depth-1)
	case ast.Object:
		return j.object(value, depth-1)
	default:
		return errNotJSON
	}
	return nil
}

// number takes what OPA holds for a number: it may be NaN, where it came of a float.
func (j *jsonText) number(number ast.Number) error {
	begin := len(j.text)
	j.text = append(j.text, number...)
	text := j.text[begin:]
	if len(text) == 0 || text[0] != '-' && !isDigit(text[0]) || !isDigit(text[len(text)-1]) || !json.Valid(text) {
		return errNotJSON
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (j *jsonText) array(array *ast.Array, depth int) error {
	if depth < 0 {
		return errTooLarge
	}
	j.text = append(j.text, '[')
	for i := range array.Len() {
		if i > 0 {
			j.text = append(j.text, ',')
		}
		if err := j.value(array.Elem(i).Value, depth); err != nil {
			return err
		}
	}
	j.text = append(j.text, ']')
	return nil
}

func (j *jsonText) object(object ast.Object, depth int) error {
	if depth < 0 {
		return errTooLarge
	}
	j.text = append(j.text, '{')
	err := object.Iter(func(key, value *ast.Term) error {
		name, ok := key.Value.(ast.String)
		if !ok {
			return errNotJSON
		}
		// No value ends with an opening brace: this is the object's own.
		if j.text[len(j.text)-1] != '{' {
			j.text = append(j.text, ',')
		}
		j.text = append(appendString(j.text, string(name)), ':')
		return j.value(value.Value, depth)
	})
	j.text = append(j.text, '}')
	return err
}

// appendString quotes as encoding/json does where it does not escape HTML: what is not
// UTF-8 becomes U+FFFD.
func appendString(text []byte, s string) []byte {
	text = append(text, '"')
	begin := 0
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r >= utf8.RuneSelf && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		text = appendEscape(append(text, s[begin:i]...), r)
		i += size
		begin = i
	}
	return append(append(text, s[begin:]...), '"')
}

func appendEscape(text []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(text, '\\', byte(r))
	case '\b':
		return append(text, `\b`...)
	case '\f':
		return append(text, `\f`...)
	case '\n':
		return append(text, `\n`...)
	case '\r':
		return append(text, `\r`...)
	case '\t':
		return append(text, `\t`...)
	}
	return append(text, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}
