package envoy

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// holding is a checker that allows, once it is told to finish.
type holding struct {
	entered, release chan struct{}
	finish           func()
	under, most      atomic.Int64
}

func newHolding() *holding {
	release := make(chan struct{})
	return &holding{entered: make(chan struct{}, 100), release: release, finish: sync.OnceFunc(func() { close(release) })}
}

func (h *holding) Check(context.Context, *authz.Request) authz.Decision {
	under := h.under.Add(1)
	defer h.under.Add(-1)
	for most := h.most.Load(); under > most && !h.most.CompareAndSwap(most, under); {
		most = h.most.Load()
	}
	h.entered <- struct{}{}
	<-h.release
	return authz.Decision{Allowed: true, Reason: authz.Granted}
}

func TestChecksBeyondTheLimitAreShed(t *testing.T) {
	const most = 3
	checker := newHolding()
	defer checker.finish()
	server, connection := start(t, Config{MaxConcurrentChecks: most, Realm: "bank"}, checker)
	var held sync.WaitGroup
	for range most {
		held.Go(func() {
			response, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), httpCheck("GET", "/accounts", nil))
			if err != nil || response.GetOkResponse() == nil {
				t.Errorf("Check() within the limit = %v, %v, want an allow", response, err)
			}
		})
		<-checker.entered
	}
	if got := server.Shed(); got != 0 {
		t.Errorf("Shed() within the limit = %d, want 0", got)
	}
	ids := map[string]bool{}
	for range 2 {
		response := call(t, connection, httpCheck("GET", "/accounts", nil))
		refusal := response.GetDeniedResponse()
		if got := refusal.GetStatus().GetCode(); got != 503 {
			t.Errorf("status = %d, want 503", got)
		}
		if got := codes.Code(response.GetStatus().GetCode()); got != codes.PermissionDenied {
			t.Errorf("gRPC status = %v, want PermissionDenied", got)
		}
		if got := headersOf(refusal)["retry-after"]; len(got) != 1 || got[0] != "1" {
			t.Errorf("retry-after = %q, want 1", got)
		}
		if !strings.Contains(refusal.GetBody(), `"code":"overloaded"`) {
			t.Errorf("body %s lacks the code", refusal.GetBody())
		}
		fields := response.GetDynamicMetadata().GetFields()
		if fields["reason"].GetStringValue() != "overloaded" || fields["api"].GetStringValue() != "accounts" {
			t.Errorf("metadata = %v, want overloaded for accounts", fields)
		}
		ids[fields["decision_id"].GetStringValue()] = true
	}
	if len(ids) != 2 {
		t.Errorf("two answers have %d ids", len(ids))
	}
	if body := call(t, connection, httpCheck("HEAD", "/accounts", nil)).GetDeniedResponse().GetBody(); body != "" {
		t.Errorf("the answer to HEAD has the body %s", body)
	}
	if got := server.Shed(); got != 3 {
		t.Errorf("Shed() = %d, want 3", got)
	}
	checker.finish()
	held.Wait()
	if call(t, connection, httpCheck("GET", "/accounts", nil)).GetOkResponse() == nil {
		t.Error("no allow though nothing else is under way")
	}
	if got := checker.most.Load(); got != most {
		t.Errorf("%d checks were under way at once, want %d", got, most)
	}
}

func TestAPanicGivesItsPlaceBack(t *testing.T) {
	server, connection := start(t, Config{MaxConcurrentChecks: 1},
		fakeChecker{func(context.Context, *authz.Request) authz.Decision { panic("boom") }})
	for range 3 {
		if got := call(t, connection, httpCheck("GET", "/accounts", nil)).GetDeniedResponse().GetStatus().GetCode(); got != 500 {
			t.Errorf("status = %d, want 500", got)
		}
	}
	if got := server.Shed(); got != 0 {
		t.Errorf("Shed() = %d, want 0", got)
	}
}

func TestHealthIsToldInAnOverload(t *testing.T) {
	checker := newHolding()
	defer checker.finish()
	server, connection := start(t, Config{MaxConcurrentChecks: 1}, checker)
	server.SetServing(true)
	held := make(chan error, 1)
	go func() {
		_, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), httpCheck("GET", "/accounts", nil))
		held <- err
	}()
	<-checker.entered
	got, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || got.Status != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health = %v, %v, want SERVING", got.GetStatus(), err)
	}
	checker.finish()
	if err := <-held; err != nil {
		t.Error(err)
	}
}
