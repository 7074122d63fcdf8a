package rego

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// Limits on what is shown of one value.
const (
	maxLeaf     = 80
	maxRead     = 4 << 10
	maxElements = 8
	maxNested   = 4
	maxValue    = 400
)

// credentialMark stands where a credential stood.
const credentialMark = "[credential]"

// shower writes values as Rego does, cut where they are long, with what cannot be
// printed escaped, and without credentials.
type shower struct {
	// hide takes credentials out of a text; nil takes none.
	hide func(string) string
	// numbers are those that are told, beside small ones; nil is all.
	numbers map[string]bool
	// spans are between times of the input, in nanoseconds: they name nobody.
	spans map[int64]bool
}

func (s shower) show(value ast.Value) string {
	w := &showing{shower: s}
	w.value(value, 0)
	if number, ok := value.(ast.Number); !ok || s.tells(number) {
		return w.text.String() + s.moment(value)
	}
	return w.text.String()
}

// tells reports a number that is not hidden: a small one is nobody's, nor is a span.
func (s shower) tells(number ast.Number) bool {
	n, err := strconv.ParseInt(string(number), 10, 64)
	return s.numbers == nil || s.numbers[string(number)] || err == nil && (n > -1000 && n < 1000 || s.spans[n])
}

// moment is the package's, and of a span, too, which need not be in whole seconds.
func (s shower) moment(value ast.Value) string {
	if n, ok := s.span(value); ok {
		return " (" + time.Duration(n).String() + ")"
	}
	return moment(value)
}

func (s shower) span(value ast.Value) (int64, bool) {
	number, _ := value.(ast.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	return n, err == nil && s.spans[n]
}

// timesOf are references to the times of an input.
var timesOf = []ast.Ref{
	ast.MustParseRef("input.request.time"), ast.MustParseRef("input.token.auth_time"), ast.MustParseRef("input.token.issued_at"),
	ast.MustParseRef("input.token.expires_at"), ast.MustParseRef("input.consent.expires_at"),
}

// spansOf are those between the times of an input.
func spansOf(input ast.Value) map[int64]bool {
	var times []int64
	for _, ref := range timesOf {
		if found, err := input.Find(ref[1:]); err == nil {
			number, _ := found.(ast.Number)
			if n, err := strconv.ParseInt(string(number), 10, 64); err == nil && n > 1e18 {
				times = append(times, n)
			}
		}
	}
	spans := map[int64]bool{}
	for _, from := range times {
		for _, to := range times {
			spans[to-from] = to != from
		}
	}
	return spans
}

// name is a reference as it would be written, with values for the variables of the one
// that was.
func (s shower) name(ref, was ast.Ref) string {
	var name strings.Builder
	for i, part := range ref {
		text, isText := part.Value.(ast.String)
		switch {
		case i == 0:
			name.WriteString(part.String())
		case isText && isPlain(string(text)) && i < len(was) && was[i].Equal(part):
			name.WriteString("." + string(text)) // the policy's own word
		case isText && isPlain(string(text)):
			name.WriteString("." + s.hidden(string(text)))
		default:
			name.WriteString("[" + s.show(part.Value) + "]")
		}
	}
	return name.String()
}

func isPlain(text string) bool {
	for i, c := range []byte(text) {
		if !(c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return text != "" && len(text) <= maxLeaf
}

// isTypePrefix is what may stand before an object's id: nothing, or its type.
var isTypePrefix = regexp.MustCompile(`^([a-z0-9_-]{1,64}:)?$`)

// unreadMark stands where the id of an object would that could not be read.
const unreadMark = "[could not be read]"

// hidden is a text as it is told. An object without an id names nobody.
func (s shower) hidden(text string) string {
	if kind, unread := strings.CutSuffix(text, string(authz.Unread)); unread && isTypePrefix.MatchString(kind) {
		return kind + unreadMark
	}
	if s.hide == nil {
		return text
	}
	return s.hide(text)
}

// showing is one value as it is written.
type showing struct {
	shower
	text strings.Builder
}

func (w *showing) value(value ast.Value, depth int) {
	switch value := value.(type) {
	case ast.String:
		w.text.WriteString(w.leaf(string(value)))
	case *ast.Array:
		w.list("[", "]", value.Len(), depth, func(i int) { w.value(value.Elem(i).Value, depth+1) })
	case ast.Set:
		if value.Len() == 0 {
			w.text.WriteString("set()")
			return
		}
		elements := value.Slice()
		w.list("{", "}", len(elements), depth, func(i int) { w.value(elements[i].Value, depth+1) })
	case ast.Object:
		keys := value.Keys()
		if name, ok := valueOf(value, "key").(ast.String); ok && isSecret(string(name)) {
			keys = []*ast.Term{ast.StringTerm("key")} // a raw header
		}
		w.list("{", "}", len(keys), depth, func(i int) { w.pair(keys[i], value.Get(keys[i]), depth+1) })
	case ast.Number:
		text := shortText(value.String())
		if !w.tells(value) {
			text = w.hidden(text)
		}
		w.text.WriteString(text)
	default:
		w.text.WriteString(shortText(value.String()))
	}
}

func (w *showing) pair(key, value *ast.Term, depth int) {
	w.value(key.Value, depth)
	w.text.WriteString(": ")
	if name, ok := key.Value.(ast.String); ok && isSecret(string(name)) {
		w.text.WriteString(strconv.Quote(credentialMark))
		return
	}
	w.value(value.Value, depth)
}

// isSecret reports a header whose value is not shown: it proves who sends a request, or
// will.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return name == "set-cookie" || authz.IsCredential(name)
}

// list writes the first elements, and how many more there are.
func (w *showing) list(begin, end string, length, depth int, element func(int)) {
	w.text.WriteString(begin)
	for i := range length {
		if i > 0 {
			w.text.WriteString(", ")
		}
		if i == maxElements || depth == maxNested || w.text.Len() > maxValue {
			fmt.Fprintf(&w.text, "… %d more", length-i)
			break
		}
		element(i)
	}
	w.text.WriteString(end)
}

// leaf is quoted, so that nothing in it moves a cursor. What is hidden is so before it is
// cut: of a part of a credential nobody could tell.
func (w *showing) leaf(text string) string {
	long := len(text)
	text = w.hidden(text[:min(long, maxRead)])
	if long <= maxRead && len(text) <= maxLeaf {
		return strconv.Quote(text)
	}
	return strconv.Quote(strings.ToValidUTF8(text[:min(len(text), maxLeaf)], "")+"…") + fmt.Sprintf(" (%d bytes)", long)
}

func shortText(text string) string {
	if len(text) <= maxLeaf {
		return text
	}
	return strings.ToValidUTF8(text[:maxLeaf], "") + "…"
}

// moment says what a number would be in nanoseconds: a time of our days, or a duration in
// whole seconds. It may be something else, so nothing is told for the sake of this.
func moment(value ast.Value) string {
	number, ok := value.(ast.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	switch {
	case !ok || err != nil:
		return ""
	case n > 1e18 && n < 3e18:
		return " (" + time.Unix(0, n).UTC().Format(time.RFC3339) + ")"
	case (n >= 1e9 || n <= -1e9) && n%1e9 == 0 && n < 1e17 && n > -1e17:
		return " (" + time.Duration(n).String() + ")"
	}
	return ""
}
