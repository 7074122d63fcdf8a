package rego

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func inputSchemaOf(t *testing.T) map[string]any {
	t.Helper()
	text, err := InputSchema()
	if err != nil {
		t.Fatal(err)
	}
	schema, ok := parsed(t, string(text)).(map[string]any)
	if !ok {
		t.Fatalf("InputSchema = %s, want an object", text)
	}
	return schema
}

// TestSchemaHasEveryFactAndNoOther holds the schema against the documents of all that is
// known and of nothing.
func TestSchemaHasEveryFactAndNoOther(t *testing.T) {
	schema := inputSchemaOf(t)
	full := built(t, whole, fullFacts())
	for _, document := range []any{full, built(t, whole, &authz.Facts{Request: &authz.Request{}})} {
		for _, fault := range misfits(schema, document, "input") {
			t.Error(fault)
		}
	}
	if diff := cmp.Diff(schemaKeys(schema, "input"), documentKeys(schema, full, "input")); diff != "" {
		t.Errorf("keys (-of the schema +of the document of all that is known):\n%s", diff)
	}
}

func TestSchemaNoticesMisfits(t *testing.T) {
	document := parsed(t, `{"tokn": {}, "caller": {"kind": 1, "roles": ["a", 2]}, "objects": {}, "region": "GB", "truncated_body": "no",
		"operation": {"parameters": {"a": 1}, "step_up": {"max_age": "1h"}}}`)
	want := []string{
		"input.caller.kind is a json.Number, want string", "input.caller.roles[1] is a json.Number, want string",
		"input.objects is a map[string]interface {}, want array", "input.operation.parameters.a is a json.Number, want string",
		"input.operation.step_up.max_age is a string, want integer", "input.region is a string, want object",
		"input.tokn is not in the schema", "input.truncated_body is a string, want boolean",
	}
	got := misfits(inputSchemaOf(t), document, "input")
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("misfits (-want +got):\n%s", diff)
	}
}

// misfits says what of a document is not as the schema has it.
func misfits(schema map[string]any, value any, at string) []string {
	kinds := map[string]bool{}
	switch value := value.(type) {
	case string:
		kinds["string"] = true
	case bool:
		kinds["boolean"] = true
	case json.Number:
		kinds["integer"] = !strings.ContainsAny(string(value), ".eE")
	case []any:
		kinds["array"] = true
	case map[string]any:
		kinds["object"] = true
	}
	kind, typed := schema["type"].(string)
	if typed && !kinds[kind] {
		return []string{fmt.Sprintf("%s is a %T, want %s", at, value, kind)}
	}
	var found []string
	properties, _ := schema["properties"].(map[string]any)
	switch value := value.(type) {
	case []any:
		for i, element := range value {
			items, _ := schema["items"].(map[string]any)
			found = append(found, misfits(items, element, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		for key, member := range value {
			inner, known := properties[key].(map[string]any)
			if !known && schema["additionalProperties"] == false {
				found = append(found, at+"."+key+" is not in the schema")
				continue
			}
			if !known {
				inner, _ = schema["additionalProperties"].(map[string]any)
			}
			found = append(found, misfits(inner, member, at+"."+key)...)
		}
	}
	return found
}

// schemaKeys are the keys of closed objects, of those in lists too.
func schemaKeys(schema map[string]any, at string) []string {
	found := []string{at}
	if items, ok := schema["items"].(map[string]any); ok {
		found = append(found, schemaKeys(items, at+"[]")...)
	}
	properties, _ := schema["properties"].(map[string]any)
	for key, inner := range properties {
		found = append(found, schemaKeys(inner.(map[string]any), at+"."+key)...)
	}
	slices.Sort(found)
	return found
}

func documentKeys(schema map[string]any, value any, at string) []string {
	found := map[string]bool{at: true}
	switch value := value.(type) {
	case []any:
		items, _ := schema["items"].(map[string]any)
		for _, element := range value {
			for _, key := range documentKeys(items, element, at+"[]") {
				found[key] = true
			}
		}
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for key, member := range value {
			if inner, known := properties[key].(map[string]any); known {
				for _, below := range documentKeys(inner, member, at+"."+key) {
					found[below] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
