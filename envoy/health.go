package envoy

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// watched is gRPC's health service with watches that end when the server drains.
// gRPC's own last as long as their watchers, and so would a graceful stop.
type watched struct {
	*health.Server
	draining context.Context
}

// Watch streams health until the watcher leaves or the server drains: then the last
// that it is told is NOT_SERVING.
func (w watched) Watch(request *healthv1.HealthCheckRequest, stream healthv1.Health_WatchServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(w.draining, cancel)()
	err := w.Server.Watch(request, &watch{Health_WatchServer: stream, ctx: ctx})
	if w.draining.Err() == nil {
		return err
	}
	last := &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING}
	if err := stream.Send(last); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "draining")
}

// watch is a stream with a context of ours.
type watch struct {
	healthv1.Health_WatchServer
	ctx context.Context
}

func (w *watch) Context() context.Context { return w.ctx }
