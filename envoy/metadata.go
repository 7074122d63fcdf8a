package envoy

import (
	"encoding/json"
	"math"

	"github.com/countersign-io/countersign/authz"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxMetadataDepth bounds what a policy nests in its metadata. Envoy's parser stops
// at 100 messages, and each of our levels is three: what it cannot parse would be
// an error to it, not an answer.
const maxMetadataDepth = 16

// dynamicMetadata is what Envoy's access log and later filters may read of the decision,
// under envoy.filters.http.ext_authz. A policy's key never replaces one of ours.
func dynamicMetadata(request *authz.Request, d *authz.Decision) *structpb.Struct {
	api := request.API
	if d.Operation != nil {
		api = d.Operation.API
	}
	fields := make(map[string]*structpb.Value, 9+len(d.Verdict.Reply.Metadata))
	for name, given := range d.Verdict.Reply.Metadata {
		fields[text(name)] = metadataValue(given, maxMetadataDepth)
	}
	fields["decision_id"] = structpb.NewStringValue(d.ID.String())
	fields["allowed"] = structpb.NewBoolValue(d.Allowed)
	fields["reason"] = textValue(d.Code())
	fields["operation"] = textValue(d.OperationID())
	fields["api"] = textValue(string(api))
	fields["subject"] = textValue(d.Pseudonym)
	fields["client"] = textValue(string(d.Caller.Client))
	fields["revision"] = textValue(d.Revision)
	fields["duration_us"] = structpb.NewNumberValue(float64(d.Elapsed.Microseconds()))
	return &structpb.Struct{Fields: fields}
}

func textValue(s string) *structpb.Value { return structpb.NewStringValue(text(s)) }

// metadataValue is a JSON value of a policy's. It cannot fail, since the decision
// stands already: what is no JSON value, no finite number or too deep is null.
func metadataValue(given any, depth int) *structpb.Value {
	switch v := given.(type) {
	case bool:
		return structpb.NewBoolValue(v)
	case string:
		return textValue(v)
	case json.Number:
		if number, err := v.Float64(); err == nil {
			return structpb.NewNumberValue(number)
		}
	case int:
		return structpb.NewNumberValue(float64(v))
	case int64:
		return structpb.NewNumberValue(float64(v))
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return structpb.NewNumberValue(v)
		}
	case []any:
		if depth > 0 {
			return metadataList(v, depth-1)
		}
	case map[string]any:
		if depth > 0 {
			return metadataObject(v, depth-1)
		}
	}
	return structpb.NewNullValue()
}

func metadataList(given []any, depth int) *structpb.Value {
	values := make([]*structpb.Value, len(given))
	for i, element := range given {
		values[i] = metadataValue(element, depth)
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}

func metadataObject(given map[string]any, depth int) *structpb.Value {
	fields := make(map[string]*structpb.Value, len(given))
	for name, member := range given {
		fields[text(name)] = metadataValue(member, depth)
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}
