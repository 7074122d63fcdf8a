package console

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign-io/countersign/authz"
)

// Trials counts what comes of trying a policy beside the one in force:
//
//	countersign_shadow_total{api, operation, outcome}
//
// What it returns counts one, and is safe for concurrent use.
func Trials(registry *prometheus.Registry) func(operation *authz.Operation, outcome string) {
	trials := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_shadow_total", Help: "Decisions that a policy which is tried was given, by what came of it."},
		[]string{"api", "operation", "outcome"})
	registry.MustRegister(trials)
	return func(operation *authz.Operation, outcome string) {
		trials.WithLabelValues(string(operation.API), operation.ID, outcome).Inc()
	}
}

// tellShadow answers with the report of what is tried, as JSON.
func tellShadow(report func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(report()) // who asked may be gone
	}
}
