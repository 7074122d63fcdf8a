package envoy

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// message is a protobuf message in the form in which opa-envoy-plugin gives it to
// policies, so that one written for it runs unchanged. It is close to protojson,
// but only what is populated is there, enumerations and 64-bit integers are
// numbers, a Timestamp is {seconds, nanos}, and an Any is not unpacked.
func message(m protoreflect.Message) map[string]any {
	object := map[string]any{}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		object[field.JSONName()] = fieldValue(field, value)
		return true
	})
	return object
}

func fieldValue(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch {
	case field.IsMap():
		object := map[string]any{}
		value.Map().Range(func(key protoreflect.MapKey, element protoreflect.Value) bool {
			object[key.String()] = scalar(field.MapValue(), element)
			return true
		})
		return object
	case field.IsList():
		list := value.List()
		array := make([]any, list.Len())
		for i := range array {
			array[i] = scalar(field, list.Get(i))
		}
		return array
	}
	return scalar(field, value)
}

// scalar is one value: a field's, or an element's of a list or map.
func scalar(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if object, ok := value.Message().Interface().(*structpb.Struct); ok {
			return object.AsMap()
		}
		return message(value.Message())
	case protoreflect.EnumKind:
		return integer(int64(value.Enum()))
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(value.Bytes())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return json.Number(strconv.FormatUint(value.Uint(), 10))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return integer(value.Int())
	}
	// A string, bool or floating-point number.
	return value.Interface()
}

func integer(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
