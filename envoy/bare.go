package envoy

import (
	"slices"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// bare is the answer that opa-envoy-plugin would give: what the policy says and the
// decision's id. The client's copies of our own headers are removed all the same, since
// an upstream may believe them that serves contracted APIs, too.
func bare(request *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	response := &authv3.CheckResponse{DynamicMetadata: bareMetadata(d)}
	if d.Allowed {
		response.Status = &rpcstatus.Status{Code: int32(codes.OK)}
		response.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: bareAllow(request, &d.Verdict.Reply)}
		return response
	}
	response.Status = &rpcstatus.Status{Code: int32(codes.PermissionDenied)}
	response.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Status())},
		Headers: appending(d.Verdict.Reply.Headers),
		Body:    text(d.Verdict.Reply.Body),
	}}
	return response
}

func bareAllow(request *authz.Request, reply *authz.Reply) *authv3.OkHttpResponse {
	ok := &authv3.OkHttpResponse{
		Headers:              overwriting(reply.Headers),
		ResponseHeadersToAdd: appending(reply.ResponseHeaders),
		QueryParametersToSet: queryParameters(reply.SetQuery),
	}
	for _, name := range reply.RemoveQuery {
		ok.QueryParametersToRemove = append(ok.QueryParametersToRemove, text(name))
	}
	remove := slices.Clone(reply.RemoveHeaders)
	for _, field := range request.Headers {
		if isOwn(field.Name) {
			remove = append(remove, field.Name)
		}
	}
	// What is both set and removed is removed, as Envoy does it.
	ok.HeadersToRemove = removals(remove, nil)
	return ok
}

func bareMetadata(d *authz.Decision) *structpb.Struct {
	fields := make(map[string]*structpb.Value, 1+len(d.Verdict.Reply.Metadata))
	for name, given := range d.Verdict.Reply.Metadata {
		fields[text(name)] = metadataValue(given, maxMetadataDepth)
	}
	fields["decision_id"] = structpb.NewStringValue(d.ID.String())
	return &structpb.Struct{Fields: fields}
}
