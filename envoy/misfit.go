package envoy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// misfit finds the first value that does not fit a message, and says where it stands,
// which protojson's own errors do not; or returns nil. What is left to protojson is
// within single values: numbers, enumerations, base64.
func misfit(message protoreflect.MessageDescriptor, value any, at string) *authz.Problem {
	if value == nil || wellKnown(message) {
		return nil
	}
	object, ok := value.(map[string]any)
	if !ok {
		return misplaced(at, "is no object")
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		within := strings.TrimPrefix(at+"."+name, ".")
		field := fieldNamed(message, name)
		if field == nil {
			return &authz.Problem{Key: tame(within), What: "is no field of " + string(message.Name()), Fix: authz.Suggest(name, fieldNames(message))}
		}
		if problem := fieldMisfit(field, object[name], within); problem != nil {
			return problem
		}
	}
	return nil
}

func fieldMisfit(field protoreflect.FieldDescriptor, value any, at string) *authz.Problem {
	switch {
	case value == nil:
		return nil
	case field.IsMap():
		object, ok := value.(map[string]any)
		if !ok {
			return misplaced(at, "is no object")
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if problem := elementMisfit(field.MapValue(), object[key], at+"."+key); problem != nil {
				return problem
			}
		}
		return nil
	case field.IsList():
		list, ok := value.([]any)
		if !ok {
			return misplaced(at, "is no array")
		}
		for i, element := range list {
			if problem := elementMisfit(field, element, fmt.Sprintf("%s[%d]", at, i)); problem != nil {
				return problem
			}
		}
		return nil
	}
	return elementMisfit(field, value, at)
}

func elementMisfit(field protoreflect.FieldDescriptor, value any, at string) *authz.Problem {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return misfit(field.Message(), value, at)
	case protoreflect.StringKind, protoreflect.BytesKind:
		if _, ok := value.(string); !ok {
			return misplaced(at, "is no string")
		}
	}
	return nil
}

func misplaced(at, what string) *authz.Problem {
	return &authz.Problem{Key: tame(at), What: what, Fix: notCheck}
}

// maxPlace is how much of a place in a text is told.
const maxPlace = 200

// tame makes a place fit to be shown: its names are whatever the text has.
func tame(place string) string {
	place = quotable(place)
	if len(place) > maxPlace {
		return place[:maxPlace] + "…"
	}
	return place
}

// wellKnown reports messages that have a form of their own in JSON.
func wellKnown(message protoreflect.MessageDescriptor) bool {
	return message.ParentFile().Package() == "google.protobuf"
}

// fieldNamed finds a field by either of the names that protojson takes.
func fieldNamed(message protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := message.Fields().ByJSONName(name); field != nil {
		return field
	}
	return message.Fields().ByTextName(name)
}

func fieldNames(message protoreflect.MessageDescriptor) []string {
	fields := message.Fields()
	known := make([]string, fields.Len())
	for i := range known {
		known[i] = fields.Get(i).TextName()
	}
	return known
}
