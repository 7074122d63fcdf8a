package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// timeForm has always nine fractional digits, so that times sort as text does.
const timeForm = "2006-01-02T15:04:05.000000000Z"

// canonical is the message in protojson's form and RFC 8785's: the same bytes for
// the same message, always, which protojson does not promise (it varies its
// whitespace on purpose). Bytes that are not UTF-8 become U+FFFD. It fails only on a
// field of a kind that the record does not have.
func canonical(message proto.Message) ([]byte, error) {
	return appendMessage(make([]byte, 0, 1024), message.ProtoReflect())
}

type member struct {
	field protoreflect.FieldDescriptor
	value protoreflect.Value
}

// appendMessage writes the fields that are set, sorted by name (RFC 8785 §3.2.3;
// names are ASCII, so that the order of bytes is the order of UTF-16 units).
func appendMessage(to []byte, message protoreflect.Message) ([]byte, error) {
	if at, ok := message.Interface().(*timestamppb.Timestamp); ok {
		return appendString(to, at.AsTime().Format(timeForm)), nil
	}
	members := make([]member, 0, 24)
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		members = append(members, member{field, value})
		return true
	})
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.field.JSONName(), b.field.JSONName()) })
	to = append(to, '{')
	for i, m := range members {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(appendString(to, m.field.JSONName()), ':')
		var err error
		if to, err = appendField(to, m); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}

func appendField(to []byte, m member) ([]byte, error) {
	if !m.field.IsList() {
		return appendValue(to, m.field, m.value)
	}
	list := m.value.List()
	to = append(to, '[')
	for i := range list.Len() {
		if i > 0 {
			to = append(to, ',')
		}
		var err error
		if to, err = appendValue(to, m.field, list.Get(i)); err != nil {
			return nil, err
		}
	}
	return append(to, ']'), nil
}

func appendValue(to []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) ([]byte, error) {
	switch {
	case field.IsMap():
	case field.Kind() == protoreflect.BoolKind:
		return strconv.AppendBool(to, value.Bool()), nil
	case field.Kind() == protoreflect.StringKind:
		return appendString(to, value.String()), nil
	case field.Kind() == protoreflect.Uint32Kind:
		return strconv.AppendUint(to, value.Uint(), 10), nil
	case field.Kind() == protoreflect.MessageKind:
		return appendMessage(to, value.Message())
	}
	return nil, fmt.Errorf("canonical: %s: no form for its kind", field.FullName())
}

// appendString writes a JSON string as RFC 8785 §3.2.2.2 does: only what must be
// escaped is.
func appendString(to []byte, text string) []byte {
	to = append(to, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r < 0x20:
			to = appendControl(to, byte(r))
		default:
			to = utf8.AppendRune(to, r)
		}
	}
	return append(to, '"')
}

func appendControl(to []byte, c byte) []byte {
	switch c {
	case '\b':
		return append(to, `\b`...)
	case '\t':
		return append(to, `\t`...)
	case '\n':
		return append(to, `\n`...)
	case '\f':
		return append(to, `\f`...)
	case '\r':
		return append(to, `\r`...)
	}
	const digits = "0123456789abcdef"
	return append(to, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
