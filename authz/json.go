package authz

import (
	"encoding/json"
	"errors"
	"strings"
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
// Texts and numbers share the memory of one copy of the document: what is kept for
// longer than the rest is better cloned.
func ParseJSON(data []byte, depth int) (any, error) {
	if !utf8.Valid(data) {
		return nil, errJSONUTF8
	}
	p := &jsonParser{document: string(data), left: maxJSONValues}
	value, err := p.value(depth)
	if err != nil {
		return nil, err
	}
	if p.skipSpace(); p.at < len(p.document) {
		return nil, errJSONSyntax
	}
	return value, nil
}

// jsonParser reads a document once from front to back. encoding/json, which is what a
// fuzz test holds it against, would have to read it twice: it takes duplicate names.
type jsonParser struct {
	document string
	at       int
	// left is how many more values are taken.
	left int
}

func (p *jsonParser) value(depth int) (any, error) {
	if p.left--; p.left < 0 {
		return nil, errJSONValues
	}
	p.skipSpace()
	switch p.next() {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		p.at++
		return p.text()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	return p.number()
}

func (p *jsonParser) object(depth int) (any, error) {
	if depth == 0 {
		return nil, errJSONDepth
	}
	p.at++
	object := map[string]any{}
	if p.takes('}') {
		return object, nil
	}
	for {
		if !p.takes('"') {
			return nil, errJSONSyntax
		}
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		if _, twice := object[name]; twice {
			return nil, errJSONDuplicate
		}
		if !p.takes(':') {
			return nil, errJSONSyntax
		}
		if object[name], err = p.value(depth - 1); err != nil {
			return nil, err
		}
		if p.takes('}') {
			return object, nil
		}
		if !p.takes(',') {
			return nil, errJSONSyntax
		}
	}
}

func (p *jsonParser) array(depth int) (any, error) {
	if depth == 0 {
		return nil, errJSONDepth
	}
	p.at++
	array := []any{}
	if p.takes(']') {
		return array, nil
	}
	for {
		value, err := p.value(depth - 1)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
		if p.takes(']') {
			return array, nil
		}
		if !p.takes(',') {
			return nil, errJSONSyntax
		}
	}
}

// text reads what follows the opening quotation mark.
func (p *jsonParser) text() (string, error) {
	begin, escaped := p.at, false
	for ; p.at < len(p.document); p.at++ {
		switch c := p.document[p.at]; {
		case c == '"':
			p.at++
			if escaped {
				return unescape(p.document[begin-1 : p.at])
			}
			return p.document[begin : p.at-1], nil
		case c == '\\':
			escaped = true
			p.at++
		case c < ' ':
			return "", errJSONSyntax
		}
	}
	return "", errJSONSyntax
}

// unescape leaves escapes, which are rare, to the library.
func unescape(quoted string) (string, error) {
	var text string
	if err := json.Unmarshal([]byte(quoted), &text); err != nil {
		return "", errJSONSyntax
	}
	return text, nil
}

// number reads [ "-" ] int [ frac ] [ exp ] (RFC 8259 §6).
func (p *jsonParser) number() (any, error) {
	begin := p.at
	p.skip("-")
	if !p.skip("0") && !p.digits() {
		return nil, errJSONSyntax
	}
	if p.skip(".") && !p.digits() {
		return nil, errJSONSyntax
	}
	if p.skip("eE") {
		p.skip("+-")
		if !p.digits() {
			return nil, errJSONSyntax
		}
	}
	return json.Number(p.document[begin:p.at]), nil
}

// digits reads one digit at least.
func (p *jsonParser) digits() bool {
	begin := p.at
	for c := p.next(); c >= '0' && c <= '9'; c = p.next() {
		p.at++
	}
	return p.at > begin
}

func (p *jsonParser) word(word string) error {
	if !strings.HasPrefix(p.document[p.at:], word) {
		return errJSONSyntax
	}
	p.at += len(word)
	return nil
}

// next is the character that is read next, which stays; NUL, which stands nowhere in
// JSON, at the end.
func (p *jsonParser) next() byte {
	if p.at == len(p.document) {
		return 0
	}
	return p.document[p.at]
}

// skip reads the next character if it is one of these.
func (p *jsonParser) skip(characters string) bool {
	if c := p.next(); c == 0 || strings.IndexByte(characters, c) < 0 {
		return false
	}
	p.at++
	return true
}

// takes reads white space, and the character after it if it is this one.
func (p *jsonParser) takes(c byte) bool {
	p.skipSpace()
	if p.next() != c {
		return false
	}
	p.at++
	return true
}

func (p *jsonParser) skipSpace() {
	for c := p.next(); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = p.next() {
		p.at++
	}
}
