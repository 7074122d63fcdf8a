package compat

import (
	"encoding/json"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/countersign-io/countersign/authz"
)

// decided is a decision as Envoy is told of it.
func decided(d *authz.Decision) answer {
	reply := &d.Verdict.Reply
	got := answer{Allowed: d.Allowed, Status: d.Status(), Headers: fields(reply.Headers, ": "), ResponseHeaders: fields(reply.ResponseHeaders, ": "),
		RemoveHeaders: reply.RemoveHeaders, SetQuery: fields(reply.SetQuery, "="), RemoveQuery: reply.RemoveQuery, Body: reply.Body,
		Metadata: map[string]any{}}
	for name, value := range reply.Metadata {
		if name != "decision_id" {
			got.Metadata[name] = value
		}
	}
	if !d.Bare {
		got.Reason = d.Code()
	}
	return got
}

func fields(headers []authz.Header, separator string) []string {
	var lines []string
	for _, header := range headers {
		lines = append(lines, header.Name+separator+header.Value)
	}
	return lines
}

// answered is a response as Envoy reads it: every one has a decision's id.
func answered(t *testing.T, response *authv3.CheckResponse) answer {
	t.Helper()
	metadata := response.GetDynamicMetadata().AsMap()
	if id, _ := metadata["decision_id"].(string); len(id) != 36 {
		t.Errorf("decision_id %q, want a UUID", id)
	}
	delete(metadata, "decision_id")
	if denied := response.GetDeniedResponse(); denied != nil {
		got := answer{Status: int(denied.GetStatus().GetCode()), Headers: options(denied.GetHeaders()), Body: denied.GetBody(), Metadata: metadata}
		if reason, ours := metadata["reason"].(string); ours && metadata["duration_us"] != nil {
			got.Reason = reason
			var problem struct{ Code string }
			if err := json.Unmarshal([]byte(got.Body), &problem); err != nil || problem.Code != reason {
				t.Errorf("body %q, want a problem of code %s", got.Body, reason)
			}
		}
		if response.GetStatus().GetCode() == 0 {
			t.Error("a denial with the status OK")
		}
		return got
	}
	ok := response.GetOkResponse()
	got := answer{Allowed: response.GetStatus().GetCode() == 0, Status: 200, Headers: options(ok.GetHeaders()),
		ResponseHeaders: options(ok.GetResponseHeadersToAdd()), RemoveHeaders: ok.GetHeadersToRemove(), RemoveQuery: ok.GetQueryParametersToRemove(), Metadata: metadata}
	for _, parameter := range ok.GetQueryParametersToSet() {
		got.SetQuery = append(got.SetQuery, parameter.GetKey()+"="+parameter.GetValue())
	}
	return got
}

func options(given []*corev3.HeaderValueOption) []string {
	var lines []string
	for _, option := range given {
		lines = append(lines, option.GetHeader().GetKey()+": "+option.GetHeader().GetValue())
	}
	return lines
}
