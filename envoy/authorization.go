package envoy

import (
	"context"
	"net/http"
	"time"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// reserve is kept back from the call's own deadline, so that a denial because time
// ran out can still be recorded and answered.
const reserve = 20 * time.Millisecond

// authorization is the ext_authz service over a checker.
type authorization struct {
	authv3.UnimplementedAuthorizationServer

	checker authz.Checker
	address ClientAddress
	realm   string
	timeout time.Duration
	limit   *limit
}

var _ authv3.AuthorizationServer = (*authorization)(nil)

// Check answers one call. Its error is always nil: a gRPC error would hand the
// decision to Envoy's failure_mode_allow.
func (a *authorization) Check(ctx context.Context, check *authv3.CheckRequest) (response *authv3.CheckResponse, _ error) {
	defer func() {
		// The checker recovers its own panics and records them; this is for ours.
		if recover() != nil {
			fault := authz.Decision{ID: authz.NewDecisionID(), Reason: authz.Internal}
			response = a.response(&authz.Request{}, &fault)
		}
	}()
	if !a.limit.enter() {
		// Before anything else is done for it, and not recorded: that would make an
		// overload worse.
		shed := authz.Decision{ID: authz.NewDecisionID(), Reason: authz.Overloaded}
		return a.response(a.request(ctx, check), &shed), nil
	}
	defer a.limit.leave()
	ctx, cancel := context.WithDeadline(ctx, a.deadline(ctx, time.Now()))
	defer cancel()
	// What lacks parts that it needs is the checker's to refuse, too, so that there
	// is one record of every call that is admitted.
	request := a.request(ctx, check)
	decision := a.checker.Check(ctx, request)
	if !decision.Allowed && decision.Reason == authz.Granted {
		// No caller is told that what was refused is granted.
		decision.Reason = authz.Internal
	}
	return a.response(request, &decision), nil
}

// deadline is when the checker must be done: the reserve before the call's own
// deadline, or the timeout from now, whichever comes first.
func (a *authorization) deadline(ctx context.Context, now time.Time) time.Time {
	latest := now.Add(a.timeout)
	if end, ok := ctx.Deadline(); ok && end.Add(-reserve).Before(latest) {
		return end.Add(-reserve)
	}
	return latest
}

// response is the decision in Envoy's terms.
func (a *authorization) response(request *authz.Request, d *authz.Decision) *authv3.CheckResponse {
	if d.Bare {
		return bare(request, d)
	}
	response := &authv3.CheckResponse{DynamicMetadata: dynamicMetadata(request, d)}
	if d.Allowed {
		response.Status = &rpcstatus.Status{Code: int32(codes.OK)}
		response.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: allowed(request, d)}
		return response
	}
	refusal := denied(request, d, a.realmOf(request))
	code := codes.PermissionDenied
	if refusal.Status.Code == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	response.Status = &rpcstatus.Status{Code: int32(code)}
	response.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: refusal}
	return response
}

// realmOf names the protection space. It must not depend on the operation found:
// the answer to a caller without a token is the same for a path that is there and
// one that is not.
func (a *authorization) realmOf(request *authz.Request) string {
	if a.realm != "" {
		return a.realm
	}
	if realm := quotable(string(request.API)); realm != "" {
		return realm
	}
	return "api"
}
