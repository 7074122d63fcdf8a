package rego

import (
	"maps"

	"github.com/countersign-io/countersign/authz"
)

// byName gives attributes in which Envoy has raw headers the object of headers by name
// besides, as it sends them otherwise: fields of one name joined by a comma, and HTTP/2's
// pseudo-headers. Contracted APIs want raw headers, and the routes of both may share a
// filter. Without it a policy would find no header at all, and what it forbids by one
// would pass. The attributes are not changed.
func byName(attributes map[string]any, request *authz.Request) map[string]any {
	inner, _ := attributes["request"].(map[string]any)
	http, _ := inner["http"].(map[string]any)
	if _, raw := http["headerMap"]; !raw || http["headers"] != nil {
		return attributes
	}
	headers := map[string]any{}
	for pseudo, field := range map[string]string{":authority": "host", ":method": "method", ":path": "path", ":scheme": "scheme"} {
		if value, there := http[field]; there {
			headers[pseudo] = value
		}
	}
	for _, field := range request.Headers {
		value := string([]rune(field.Value))
		if before, twice := headers[field.Name].(string); twice {
			value = before + "," + value
		}
		headers[field.Name] = value
	}
	attributes, inner, http = maps.Clone(attributes), maps.Clone(inner), maps.Clone(http)
	http["headers"], inner["http"], attributes["request"] = headers, http, inner
	return attributes
}
