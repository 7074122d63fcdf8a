package rego

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

var (
	errShape   = errors.New("policy: the decision is neither a boolean nor an object")
	errAllowed = errors.New("policy: decision: allowed is missing or no boolean")
	errKey     = fmt.Errorf("policy: decision: a key is not one of %s", strings.Join(resultKeys, ", "))
)

// resultKeys are all that a decision object may have. Another key is a mistake
// that must not go unseen; it is not named, since a policy may have made it of input.
var resultKeys = []string{
	"allowed", "reason", "detail", "step_up", "refusals", "waived", "limits",
	"headers", "response_headers_to_add", "request_headers_to_remove",
	"query_parameters_to_set", "query_parameters_to_remove",
	"body", "http_status", "dynamic_metadata",
}

// verdictOf reads a result: a boolean, or opa-envoy-plugin's object with reason,
// detail, step_up, refusals and waived. What is of the wrong type is an error,
// whether the decision allows or not.
func verdictOf(result ast.Value) (authz.Verdict, error) {
	switch result := result.(type) {
	case ast.Boolean:
		return authz.Verdict{Allowed: bool(result)}, nil
	case ast.Object:
		return objectVerdict(result)
	}
	return authz.Verdict{}, errShape
}

func objectVerdict(result ast.Object) (authz.Verdict, error) {
	r := &reading{result: result}
	if !r.only(resultKeys...) {
		return authz.Verdict{}, errKey
	}
	allowed, ok := valueOf(result, "allowed").(ast.Boolean)
	if !ok {
		return authz.Verdict{}, errAllowed
	}
	verdict := authz.Verdict{
		Allowed:  bool(allowed),
		Reason:   r.code("reason"),
		Detail:   r.text("detail"),
		Refusals: r.requirements("refusals"),
		Waived:   r.requirements("waived"),
		StepUp:   r.stepUp("step_up"),
		Limits:   r.limits("limits"),
		Reply:    r.reply(bool(allowed)),
	}
	if slices.ContainsFunc(verdict.Waived, isBrokenGlass) {
		verdict.BreakGlass = r.tickets("waived")
	}
	if r.err != nil {
		return authz.Verdict{}, r.err
	}
	if !verdict.Allowed && verdict.Reason != "" && !slices.Contains(verdict.Refusals, verdict.Reason) &&
		!slices.ContainsFunc(verdict.Refusals, func(r string) bool { return strings.HasPrefix(r, verdict.Reason+":") }) {
		verdict.Refusals = append(verdict.Refusals, verdict.Reason)
	}
	return verdict, nil
}

// valueOf is nil where there is no such key.
func valueOf(object ast.Object, key string) ast.Value {
	term := object.Get(ast.InternedTerm(key))
	if term == nil {
		return nil
	}
	return term.Value
}

// reading reads a result object and keeps the first fault. A fault names the key
// and what is expected there, never what was found.
type reading struct {
	result ast.Object
	err    error
}

func (r *reading) expect(key, what string) {
	if r.err == nil {
		r.err = fmt.Errorf("policy: decision: %s is not %s", key, what)
	}
}

func (r *reading) text(key string) string {
	switch value := valueOf(r.result, key).(type) {
	case nil:
	case ast.String:
		return string(value)
	default:
		r.expect(key, "a string")
	}
	return ""
}

// code is a string for records and metrics, [a-z0-9_]{1,64}.
func (r *reading) code(key string) string {
	code := r.text(key)
	if valueOf(r.result, key) != nil && !authz.IsCode(code) {
		r.expect(key, "a code, [a-z0-9_]{1,64}")
	}
	return code
}

// limits are objects of key, max and window, in nanoseconds. The caller is told of each
// by its name, or else by its place; never by its key, which may name somebody.
func (r *reading) limits(key string) []authz.Limit {
	terms, _ := r.elements(key)
	var limits []authz.Limit
	for i, term := range terms {
		object, ok := term.Value.(ast.Object)
		inner := &reading{result: object}
		if !ok || !inner.only("name", "key", "max", "window") {
			r.expect(key, "an array of {key: text, max: number, window: nanoseconds}")
			return nil
		}
		limits = append(limits, authz.Limit{
			Name: cmp.Or(inner.code("name"), fmt.Sprintf("policy_%d", i+1)), Key: policyKey + inner.text("key"),
			Max: inner.whole("max"), Window: time.Duration(inner.whole("window")),
		})
		if inner.err != nil || inner.text("key") == "" || limits[i].Check() != nil {
			r.expect(key, "of limits that can be spent: a key, max 1 to 1000000000, window 1 ms to 31 days")
			return nil
		}
	}
	return limits
}

// policyKey keeps what a policy counts apart from what a contract does.
const policyKey = "policy:"

// only reports that the object has no other keys.
func (r *reading) only(keys ...string) bool {
	known := 0
	for _, key := range keys {
		if valueOf(r.result, key) != nil {
			known++
		}
	}
	return known == r.result.Len()
}

// elements are those of an array or a set.
func (r *reading) elements(key string) ([]*ast.Term, bool) {
	value := valueOf(r.result, key)
	if value == nil {
		return nil, false
	}
	terms, ok := elements(value)
	if !ok {
		r.expect(key, "an array or a set")
	}
	return terms, ok
}

func elements(value ast.Value) ([]*ast.Term, bool) {
	var terms []*ast.Term
	keep := func(term *ast.Term) { terms = append(terms, term) }
	switch value := value.(type) {
	case *ast.Array:
		value.Foreach(keep)
	case ast.Set:
		value.Foreach(keep)
	default:
		return nil, false
	}
	return terms, true
}

// texts are an array or a set of strings.
func (r *reading) texts(key string) []string {
	terms, _ := r.elements(key)
	var items []string
	for _, term := range terms {
		item, ok := term.Value.(ast.String)
		if !ok {
			r.expect(key, "an array of strings")
			return nil
		}
		items = append(items, string(item))
	}
	return items
}

// requirements are names, and names of what is required of an object, such as
// {"not_owner": "account:22289"}. Of the object the type alone is kept: these are
// for records, and an id is personal data.
func (r *reading) requirements(key string) []string {
	terms, _ := r.elements(key)
	var names []string
	for _, term := range terms {
		name, ok := requirement(term.Value)
		if !ok {
			r.expect(key, "an array of requirements")
			return nil
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func requirement(value ast.Value) (string, bool) {
	switch value := value.(type) {
	case ast.String:
		return string(value), authz.IsCode(string(value))
	case ast.Object:
		if value.Len() != 1 {
			return "", false
		}
		key := value.Keys()[0]
		name, isName := key.Value.(ast.String)
		object, isObject := value.Get(key).Value.(ast.String)
		if !isName || !isObject || !authz.IsCode(string(name)) {
			return "", false
		}
		kind, _, found := strings.Cut(string(object), ":")
		if !found || !isKind(kind) {
			return string(name), true
		}
		return string(name) + ":" + kind, true
	}
	return "", false
}

// isKind reports what may be the contract's name for a type of object.
func isKind(s string) bool {
	return s != "" && len(s) <= 64 && authz.IsCode(strings.ToLower(strings.ReplaceAll(s, "-", "_")))
}

func (r *reading) stepUp(key string) *authz.StepUp {
	value := valueOf(r.result, key)
	if value == nil {
		return nil
	}
	object, ok := value.(ast.Object)
	if !ok {
		r.expect(key, "an object")
		return nil
	}
	inner := &reading{result: object}
	asked := &authz.StepUp{ACRValues: inner.texts("acr_values"), MaxAge: time.Duration(inner.whole("max_age"))}
	if inner.err != nil || asked.MaxAge < 0 {
		r.expect(key, "of {acr_values: strings, max_age: nanoseconds}")
	}
	return asked
}

// whole is an integer, written as one: 401.0 is none.
func (r *reading) whole(key string) int64 {
	value := valueOf(r.result, key)
	if value == nil {
		return 0
	}
	number, ok := value.(ast.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil {
		r.expect(key, "a whole number")
	}
	return n
}

// reply is what the policy adds to the answer. What goes with an allow only, or a
// denial only, is read in both and kept in its own.
func (r *reading) reply(allowed bool) authz.Reply {
	reply := authz.Reply{Headers: r.headers("headers"), Metadata: r.metadata("dynamic_metadata")}
	response, set := r.headers("response_headers_to_add"), r.headers("query_parameters_to_set")
	removeHeaders, removeQuery := r.texts("request_headers_to_remove"), r.texts("query_parameters_to_remove")
	body, status := r.text("body"), r.status("http_status")
	if allowed {
		reply.ResponseHeaders, reply.RemoveHeaders = response, removeHeaders
		reply.SetQuery, reply.RemoveQuery = set, removeQuery
	} else {
		reply.Body, reply.Status = body, status
	}
	return reply
}

// headers are an object of strings or arrays of strings, or an array of such
// objects, in the order of keys.
func (r *reading) headers(key string) []authz.Header {
	value := valueOf(r.result, key)
	if value == nil {
		return nil
	}
	parts := []*ast.Term{ast.NewTerm(value)}
	if terms, ok := elements(value); ok {
		parts = terms
	}
	var headers []authz.Header
	for _, part := range parts {
		object, ok := part.Value.(ast.Object)
		if !ok || !appendHeaders(&headers, object) {
			r.expect(key, "an object of strings or arrays of strings")
			return nil
		}
	}
	return headers
}

func appendHeaders(headers *[]authz.Header, object ast.Object) bool {
	for _, key := range object.Keys() {
		name, ok := key.Value.(ast.String)
		if !ok {
			return false
		}
		value := object.Get(key)
		values, many := elements(value.Value)
		if !many {
			values = []*ast.Term{value}
		}
		for _, term := range values {
			text, ok := term.Value.(ast.String)
			if !ok {
				return false
			}
			*headers = append(*headers, authz.Header{Name: string(name), Value: string(text)})
		}
	}
	return true
}

// status is one that Go and Envoy both know, as opa-envoy-plugin has it.
func (r *reading) status(key string) int {
	status := int(r.whole(key))
	if valueOf(r.result, key) == nil {
		return 0
	}
	switch status {
	case http.StatusTeapot, http.StatusTooEarly, http.StatusUnavailableForLegalReasons:
		r.expect(key, "a status that Envoy knows")
	default:
		if http.StatusText(status) == "" {
			r.expect(key, "an HTTP status")
		}
	}
	return status
}

// metadata is an object, its numbers json.Number.
func (r *reading) metadata(key string) map[string]any {
	value := valueOf(r.result, key)
	if value == nil {
		return nil
	}
	converted, err := ast.JSON(value)
	object, ok := converted.(map[string]any)
	if err != nil || !ok {
		r.expect(key, "an object")
	}
	return object
}
