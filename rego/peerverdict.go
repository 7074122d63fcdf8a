package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// peerVerdict reads a result as opa-envoy-plugin does: of an object only what is used of
// it, with an allow or a denial, need be of its type, and keys that it does not know are
// nobody's mistake.
func peerVerdict(result ast.Value) (authz.Verdict, error) {
	switch result := result.(type) {
	case ast.Boolean:
		return authz.Verdict{Allowed: bool(result)}, nil
	case ast.Object:
		return peerObjectVerdict(result)
	}
	return authz.Verdict{}, errShape
}

func peerObjectVerdict(result ast.Object) (authz.Verdict, error) {
	allowed, ok := valueOf(result, "allowed").(ast.Boolean)
	if !ok {
		return authz.Verdict{}, errAllowed
	}
	r := &reading{result: result}
	reply := authz.Reply{Headers: r.headers("headers"), Metadata: r.metadata("dynamic_metadata")}
	if allowed {
		reply.ResponseHeaders = r.headers("response_headers_to_add")
		reply.RemoveHeaders = r.texts("request_headers_to_remove")
		reply.SetQuery = r.parameters("query_parameters_to_set")
		reply.RemoveQuery = r.texts("query_parameters_to_remove")
	} else {
		reply.Body, reply.Status = r.text("body"), r.status("http_status")
	}
	if r.err != nil {
		return authz.Verdict{}, r.err
	}
	return authz.Verdict{Allowed: bool(allowed), Reply: reply}, nil
}

// parameters are headers in one object.
func (r *reading) parameters(key string) []authz.Header {
	if _, one := valueOf(r.result, key).(ast.Object); !one && valueOf(r.result, key) != nil {
		r.expect(key, "an object of strings or arrays of strings")
		return nil
	}
	return r.headers(key)
}
