package rego

import (
	"encoding/json"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// shape is what may stand at a place of the input, as JSON Schema says it. Shapes are
// shared, and never changed.
type shape map[string]any

var (
	isText     = shape{"type": "string"}
	isBoolean  = shape{"type": "boolean"}
	isNumber   = shape{"type": "integer"}
	isInstant  = shape{"type": "integer", "description": "nanoseconds since 1970"}
	isDuration = shape{"type": "integer", "description": "nanoseconds"}

	isTexts      = listOf(isText)
	isTextLists  = listOf(isTexts)
	isTextByName = shape{"type": "object", "additionalProperties": isText}

	// What others wrote has the keys that they chose.
	isOpen = shape{"type": "object"}
	isAny  = shape{}
)

var (
	isNamed     = shape{"type": isText, "id": isText, "where": isText, "owned": isBoolean, "relation": isText, "region": isText}.closed()
	isConsented = shape{"type": isText, "id": isText}.closed()
	isPSD2      = shape{"roles": isTexts, "authority": isText, "id": isText}.closed()
	isStepUp    = shape{"acr_values": isTexts, "max_age": isDuration}.closed()
	isLimit     = shape{"per": isText, "max": isNumber, "window": isDuration}.closed()
	isVersion   = shape{"ext_authz": isText, "encoding": isText}.closed()
)

func listOf(element shape) shape { return shape{"type": "array", "items": element} }

// closed is an object that has no other properties than these.
func (s shape) closed() shape {
	return shape{"type": "object", "properties": s, "additionalProperties": false}
}

// inputShape is the whole document, from the tables that it is built by.
var inputShape = sync.OnceValue(func() shape {
	properties := shape{}
	for _, s := range sections() {
		properties[name(s.key)] = s.shape
		if s.fields != nil {
			properties[name(s.key)] = shapes(s.fields).closed()
		}
	}
	operation := shapes(operationFields())
	operation[name(keyParameters)] = isTextByName
	properties[name(keyOperation)] = operation.closed()
	whole := properties.closed()
	whole["$schema"] = "http://json-schema.org/draft-07/schema#"
	whole["title"] = "The input of a Countersign policy. What is not known is absent, never null."
	return whole
})

func shapes[From any](fields []field[From]) shape {
	properties := shape{}
	for _, f := range fields {
		properties[name(f.key)] = f.shape
	}
	return properties
}

// InputSchema is the JSON Schema of the input document, as New holds policies against it:
// for opa check --schema, and for editors.
func InputSchema() ([]byte, error) { return json.MarshalIndent(inputShape(), "", "  ") }

// inputSchema is the same for the compiler, which then refuses a reference to what the
// input never has, and a comparison that can never hold.
func inputSchema() *ast.SchemaSet {
	set := ast.NewSchemaSet()
	set.Put(ast.SchemaRootRef, inputShape())
	return set
}
