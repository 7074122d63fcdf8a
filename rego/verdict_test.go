package rego

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		result string
		want   authz.Verdict
	}{
		"true":            {`true`, authz.Verdict{Allowed: true}},
		"false":           {`false`, authz.Verdict{}},
		"an object":       {`{"allowed": true}`, authz.Verdict{Allowed: true}},
		"a bare denial":   {`{"allowed": false}`, authz.Verdict{}},
		"a detail":        {`{"allowed": false, "detail": "over the limit"}`, authz.Verdict{Detail: "over the limit"}},
		"a reason stands": {`{"allowed": false, "reason": "a"}`, authz.Verdict{Reason: "a", Refusals: []string{"a"}}},
		"a reason stands once": {`{"allowed": false, "reason": "a", "refusals": ["b", "a"]}`,
			authz.Verdict{Reason: "a", Refusals: []string{"b", "a"}}},
		"ids stay behind": {`{"allowed": false, "refusals": {"a", {"not_owner": "account:1"}, {"not_owner": "account:2"}, {"not_owner": "secret"}, {"x": "a b:1"}},
			"waived": [{"not_owner": "domestic-payment:1"}, "b"]}`,
			authz.Verdict{Refusals: []string{"a", "not_owner:account", "not_owner", "x"}, Waived: []string{"not_owner:domestic-payment", "b"}}},
		"broken glass": {`{"allowed": true, "waived": [{"break_glass": "INC-4711"}, {"break_glass": "4711"}, "permission", {"break_glass": "INC-4711"}]}`,
			authz.Verdict{Allowed: true, Waived: []string{"break_glass", "permission"}, BreakGlass: []string{"INC-4711", "4711"}}},
		"a step-up": {`{"allowed": false, "step_up": {"acr_values": ["a", "b"], "max_age": 300000000000}}`,
			authz.Verdict{StepUp: &authz.StepUp{ACRValues: []string{"a", "b"}, MaxAge: 5 * time.Minute}}},
		"limits": {`{"allowed": true, "limits": [{"key": "client:acme", "max": 100, "window": 60000000000}, {"name": "per_day", "key": "a", "max": 4, "window": 86400000000000}]}`,
			authz.Verdict{Allowed: true, Limits: []authz.Limit{
				{Name: "policy_1", Key: "policy:client:acme", Max: 100, Window: time.Minute},
				{Name: "per_day", Key: "policy:a", Max: 4, Window: 24 * time.Hour},
			}}},
		"limits of a denial": {`{"allowed": false, "limits": {{"key": "a", "max": 1, "window": 1000000}}}`,
			authz.Verdict{Limits: []authz.Limit{{Name: "policy_1", Key: "policy:a", Max: 1, Window: time.Millisecond}}}},
		"no limits": {`{"allowed": true, "limits": []}`, authz.Verdict{Allowed: true}},
		"an allow of the plugin": {`{"allowed": true, "headers": {"x": "hello", "y": ["a", "b"]},
			"response_headers_to_add": [{"r": "1"}, {"r": "2"}], "request_headers_to_remove": {"foo", "bar"},
			"query_parameters_to_set": {"foo": "v1", "bar": ["v2", "v3"]}, "query_parameters_to_remove": ["q"],
			"body": "unused", "http_status": 401, "dynamic_metadata": {"n": 9007199254740993, "l": [null]}}`,
			authz.Verdict{Allowed: true, Reply: authz.Reply{
				Headers:         []authz.Header{{Name: "x", Value: "hello"}, {Name: "y", Value: "a"}, {Name: "y", Value: "b"}},
				ResponseHeaders: []authz.Header{{Name: "r", Value: "1"}, {Name: "r", Value: "2"}},
				RemoveHeaders:   []string{"bar", "foo"},
				SetQuery:        []authz.Header{{Name: "bar", Value: "v2"}, {Name: "bar", Value: "v3"}, {Name: "foo", Value: "v1"}},
				RemoveQuery:     []string{"q"},
				Metadata:        map[string]any{"n": json.Number("9007199254740993"), "l": []any{nil}},
			}}},
		"a denial of the plugin": {`{"allowed": false, "headers": {"foo": "bar"}, "body": "Unauthorized Request", "http_status": 301,
			"response_headers_to_add": {"unused": "1"}, "request_headers_to_remove": ["unused"]}`,
			authz.Verdict{Reply: authz.Reply{
				Headers: []authz.Header{{Name: "foo", Value: "bar"}}, Body: "Unauthorized Request", Status: 301}}},
	} {
		got, err := verdictOf(ast.MustParseTerm(c.result).Value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestResultsThatAreNoVerdict(t *testing.T) {
	for _, c := range []struct{ result, want string }{
		{`"secret"`, "neither a boolean nor an object"},
		{`1`, "neither a boolean nor an object"},
		{`null`, "neither a boolean nor an object"},
		{`[true]`, "neither a boolean nor an object"},
		{`{true}`, "neither a boolean nor an object"},
		{`{}`, "allowed is missing or no boolean"},
		{`{"allowed": "true"}`, "allowed is missing or no boolean"},
		{`{"allowed": 1}`, "allowed is missing or no boolean"},
		{`{"allowed": null}`, "allowed is missing or no boolean"},
		{`{"allowed": true, "header": {"secret": "secret"}}`, "a key is not one of allowed, reason"},
		{`{"allowed": true, "secret": true}`, "a key is not one of allowed, reason"},
		{`{"allowed": true, 1: true}`, "a key is not one of allowed, reason"},
		{`{"allowed": false, "reason": "Secret Reason"}`, "reason is not a code"},
		{`{"allowed": false, "reason": ""}`, "reason is not a code"},
		{`{"allowed": false, "reason": ["a"]}`, "reason is not a string"},
		{`{"allowed": false, "reason": "` + strings.Repeat("a", 65) + `"}`, "reason is not a code"},
		{`{"allowed": false, "detail": 1}`, "detail is not a string"},
		{`{"allowed": false, "refusals": "a"}`, "refusals is not an array or a set"},
		{`{"allowed": false, "refusals": ["Secret!"]}`, "refusals is not an array of requirements"},
		{`{"allowed": false, "refusals": [1]}`, "refusals is not an array of requirements"},
		{`{"allowed": false, "refusals": [{"a": "b:1", "c": "d:1"}]}`, "refusals is not an array of requirements"},
		{`{"allowed": false, "refusals": [{"a": 1}]}`, "refusals is not an array of requirements"},
		{`{"allowed": true, "waived": [{"A": "b:1"}]}`, "waived is not an array of requirements"},
		{`{"allowed": true, "waived": [{"break_glass": "secret@bank.example"}]}`, "waived is not of tickets"},
		{`{"allowed": true, "waived": [{"break_glass": "account:secret"}]}`, "waived is not of tickets"},
		{`{"allowed": false, "step_up": "secret"}`, "step_up is not an object"},
		{`{"allowed": false, "step_up": {"max_age": "300"}}`, "step_up is not of {acr_values"},
		{`{"allowed": false, "step_up": {"max_age": -1}}`, "step_up is not of {acr_values"},
		{`{"allowed": false, "step_up": {"acr_values": "a"}}`, "step_up is not of {acr_values"},
		{`{"allowed": true, "limits": [{"key": "secret", "max": 1}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"max": 1, "window": 1000000000}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"key": "", "max": 1, "window": 1000000000}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"key": "secret", "max": 0, "window": 1000000000}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"key": "secret", "max": 1.5, "window": 1000000000}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"key": "secret", "max": 1, "window": "1m"}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"key": 1, "max": 1, "window": 1000000000}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"name": "Secret!", "key": "a", "max": 1, "window": 1000000000}]}`, "limits is not of limits"},
		{`{"allowed": true, "limits": [{"key": "secret", "max": 1, "window": 1000000000, "windows": 1}]}`, "limits is not an array of {key"},
		{`{"allowed": true, "limits": ["secret"]}`, "limits is not an array of {key"},
		{`{"allowed": true, "limits": {}}`, "limits is not an array or a set"},
		{`{"allowed": true, "headers": "secret"}`, "headers is not an object of strings"},
		{`{"allowed": true, "headers": null}`, "headers is not an object of strings"},
		{`{"allowed": true, "headers": {"x": 1}}`, "headers is not an object of strings"},
		{`{"allowed": true, "headers": {"x": [["secret"]]}}`, "headers is not an object of strings"},
		{`{"allowed": true, "headers": {1: "secret"}}`, "headers is not an object of strings"},
		{`{"allowed": true, "headers": ["secret"]}`, "headers is not an object of strings"},
		{`{"allowed": false, "response_headers_to_add": 1}`, "response_headers_to_add is not an object of strings"},
		{`{"allowed": true, "request_headers_to_remove": "secret"}`, "request_headers_to_remove is not an array or a set"},
		{`{"allowed": true, "request_headers_to_remove": [1]}`, "request_headers_to_remove is not an array of strings"},
		{`{"allowed": true, "query_parameters_to_remove": null}`, "query_parameters_to_remove is not an array or a set"},
		{`{"allowed": true, "query_parameters_to_set": {"x": 123}}`, "query_parameters_to_set is not an object of strings"},
		{`{"allowed": false, "body": {}}`, "body is not a string"},
		{`{"allowed": false, "http_status": "401"}`, "http_status is not a whole number"},
		{`{"allowed": false, "http_status": 401.5}`, "http_status is not a whole number"},
		{`{"allowed": false, "http_status": 0}`, "http_status is not an HTTP status"},
		{`{"allowed": false, "http_status": 9999}`, "http_status is not an HTTP status"},
		{`{"allowed": false, "http_status": 418}`, "http_status is not a status that Envoy knows"},
		{`{"allowed": false, "http_status": 451}`, "http_status is not a status that Envoy knows"},
		{`{"allowed": false, "dynamic_metadata": []}`, "dynamic_metadata is not an object"},
		{`{"allowed": false, "dynamic_metadata": null}`, "dynamic_metadata is not an object"},
	} {
		got, err := verdictOf(ast.MustParseTerm(c.result).Value)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.result, err, c.want)
		}
		if diff := cmp.Diff(authz.Verdict{}, got); diff != "" {
			t.Errorf("%s is no denial without words:\n%s", c.result, diff)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("%s: the error quotes the result: %v", c.result, err)
		}
	}
}

// FuzzVerdict: whatever a policy answers, nothing but true and an object whose
// allowed is true allows.
func FuzzVerdict(f *testing.F) {
	for _, seed := range []string{`true`, `{"allowed": true, "headers": {"a": ["b"]}}`, `{"allowed": 1}`, `[]`,
		`{"allowed": false, "refusals": [{"a": "b:c"}], "step_up": {"max_age": 1e3}, "http_status": 1e99}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		document, err := authz.ParseJSON(text, 32)
		if err != nil {
			return
		}
		value, err := ast.InterfaceToValue(document)
		if err != nil {
			return
		}
		verdict, err := verdictOf(value)
		object, _ := document.(map[string]any)
		if may := document == true || object["allowed"] == true; verdict.Allowed && (!may || err != nil) {
			t.Errorf("%s allows", text)
		}
	})
}
