package audit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

func TestCanonicalStrings(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "granted", `"granted"`},
		{"empty", "", `""`},
		{"quote and backslash", `a"b\c`, `"a\"b\\c"`},
		{"slash, angle brackets and ampersand stand as they are", "</a&b>", `"</a&b>"`},
		{"named controls", "\b\t\n\f\r", `"\b\t\n\f\r"`},
		{"other controls in lower case", "\x00\x1f", `"\u0000\u001f"`},
		{"delete stands as it is", "\x7f", "\"\x7f\""},
		{"line separators stand as they are", "\u2028\u2029", "\"\u2028\u2029\""},
		{"beyond the basic plane", "😀", `"😀"`},
		{"invalid UTF-8 is replaced", "a\xffb\xc3", "\"a\ufffdb\ufffd\""},
		{"an encoded surrogate is replaced", "\xed\xa0\x80", "\"\ufffd\ufffd\ufffd\""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(appendString(nil, test.text)); got != test.want {
				t.Errorf("appendString(%q) = %s, want %s", test.text, got, test.want)
			}
		})
	}
}

func TestCanonicalIsReadBackAsTheSameMessage(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		want := &decisionv1.Decision{}
		fill(source, want.ProtoReflect())
		line, err := canonical(want)
		if err != nil {
			t.Fatal(err)
		}
		again, err := canonical(proto.Clone(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(line), string(again)); diff != "" {
			t.Fatalf("encoding twice differs:\n%s", diff)
		}
		got := &decisionv1.Decision{}
		if err := protojson.Unmarshal(line, got); err != nil {
			t.Fatalf("protojson.Unmarshal(%s): %v", line, err)
		}
		if !proto.Equal(want, got) {
			t.Fatalf("read back:\n%v\nwant:\n%v", got, want)
		}
	}
}

// fill sets about half of a message's fields, at any depth, to random values.
func fill(source *rand.Rand, message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case source.IntN(2) == 0:
		case field.IsList():
			list := message.Mutable(field).List()
			for range source.IntN(3) + 1 {
				list.Append(sample(source, field, list.NewElement))
			}
		default:
			message.Set(field, sample(source, field, func() protoreflect.Value { return message.NewField(field) }))
		}
	}
}

func sample(source *rand.Rand, field protoreflect.FieldDescriptor, empty func() protoreflect.Value) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(source.IntN(2) == 0)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(source.Uint32() + 1)
	case protoreflect.StringKind:
		alphabet := []rune("aZ09 \"\\/\n\t\x00\x1f\x7f<&>é\u2028😀\ufffd")
		text := make([]rune, source.IntN(12))
		for i := range text {
			text[i] = alphabet[source.IntN(len(alphabet))]
		}
		return protoreflect.ValueOfString(string(text))
	}
	if field.Message().FullName() == "google.protobuf.Timestamp" {
		at := &timestamppb.Timestamp{Seconds: source.Int64N(1 << 34), Nanos: int32(source.IntN(1_000_000_000))}
		return protoreflect.ValueOfMessage(at.ProtoReflect())
	}
	value := empty()
	fill(source, value.Message())
	return value
}

// A field that is added to the record must be given a form first.
func TestEveryFieldOfTheRecordHasACanonicalForm(t *testing.T) {
	checkForms(t, (&decisionv1.Decision{}).ProtoReflect())
}

func checkForms(t *testing.T, message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		value := message.NewField(field)
		if field.IsList() {
			value = value.List().NewElement()
		}
		if _, err := appendValue(nil, field, value); err != nil {
			t.Error(err)
		}
		if field.Message() != nil && field.Message().FullName() != "google.protobuf.Timestamp" {
			checkForms(t, value.Message())
		}
	}
}

func TestKindWithoutACanonicalFormIsAnError(t *testing.T) {
	for _, message := range []proto.Message{wrapperspb.Double(1), wrapperspb.Int64(1), wrapperspb.Bytes([]byte("x"))} {
		t.Run(fmt.Sprintf("%T", message), func(t *testing.T) {
			if line, err := canonical(message); err == nil {
				t.Errorf("canonical = %s, want an error", line)
			}
		})
	}
}

func TestEmptyMessageIsAnEmptyObject(t *testing.T) {
	line, err := canonical(&emptypb.Empty{})
	if err != nil || string(line) != "{}" {
		t.Errorf("canonical = %s, %v; want {}", line, err)
	}
}
