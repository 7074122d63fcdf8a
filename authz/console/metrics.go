package console

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign-io/countersign/authz"
)

// buckets are in seconds, close together where decisions are.
var buckets = []float64{
	25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1,
}

// counting counts the decisions of another Checker.
type counting struct {
	next      authz.Checker
	decisions *prometheus.CounterVec
	unchecked *prometheus.CounterVec
	broken    *prometheus.CounterVec
	observed  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	expiring  *expiring
}

// Checks counts and times what next decides:
//
//	countersign_decisions_total{api, operation, allowed, reason}
//	countersign_unchecked_total{api, operation, reason}
//	countersign_break_glass_total{api, operation, allowed}
//	countersign_observed_total{api, operation, reason}
//	countersign_check_duration_seconds{api}
//	countersign_token_expiring{issuer, client}
//
// Labels are the contract's and the policy's own words, never a request's; of a verified
// token they name the client, one of the first thousand, and never a subject.
func Checks(next authz.Checker, registry *prometheus.Registry) authz.Checker {
	c := &counting{
		next: next,
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_decisions_total", Help: "Decisions by operation and reason."},
			[]string{"api", "operation", "allowed", "reason"}),
		unchecked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_unchecked_total", Help: "Requests that went on unchecked where the contract lets them, by the reason that would have refused them."},
			[]string{"api", "operation", "reason"}),
		broken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_break_glass_total", Help: "Decisions for which staff had requirements lifted in an emergency."},
			[]string{"api", "operation", "allowed"}),
		observed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_observed_total", Help: "Checks that failed and refused nothing, since the contract only observes them, by the reason that would have refused."},
			[]string{"api", "operation", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_check_duration_seconds", Help: "Time in Countersign until a decision stood, in seconds.", Buckets: buckets},
			[]string{"api"}),
		expiring: newExpiring(registry),
	}
	registry.MustRegister(c.decisions, c.unchecked, c.broken, c.observed, c.seconds)
	return c
}

// Shed counts the checks that were refused without being decided:
//
//	countersign_checks_shed_total
//
// They are not among the decisions. shed is how many there were so far; it must be safe
// for concurrent use.
func Shed(shed func() uint64, registry *prometheus.Registry) {
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "countersign_checks_shed_total", Help: "Checks refused because as many as may be were under way."},
		func() float64 { return float64(shed()) }))
}

// Revocations tells how well it is known which tokens are revoked:
//
//	countersign_revocations_age_seconds
//	countersign_revocations_lost
//
// state is as of when that is known, zero where it never was, and how many revocations
// are known here alone; it must be safe for concurrent use.
func Revocations(state func() (asOf time.Time, lost int), registry *prometheus.Registry) {
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_revocations_age_seconds", Help: "Since when it is not known what else was revoked, in seconds; infinite where it never was."},
			func() float64 {
				asOf, _ := state()
				if asOf.IsZero() {
					return math.Inf(1)
				}
				return time.Since(asOf).Seconds()
			}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_revocations_lost", Help: "Revocations in force here that their store has lost: who starts anew does not know of them."},
			func() float64 {
				_, lost := state()
				return float64(lost)
			}))
}

// Check is that of the wrapped Checker.
func (c *counting) Check(ctx context.Context, request *authz.Request) authz.Decision {
	decision := c.next.Check(ctx, request)
	api := ""
	if decision.Operation != nil {
		api = string(decision.Operation.API)
	}
	c.decisions.WithLabelValues(api, decision.OperationID(), strconv.FormatBool(decision.Allowed), decision.Code()).Inc()
	for _, reason := range decision.Unchecked {
		c.unchecked.WithLabelValues(api, decision.OperationID(), reason.String()).Inc()
	}
	if len(decision.Verdict.BreakGlass) > 0 {
		c.broken.WithLabelValues(api, decision.OperationID(), strconv.FormatBool(decision.Allowed)).Inc()
	}
	for _, refusal := range decision.Observed {
		code, _, _ := strings.Cut(refusal, ":")
		c.observed.WithLabelValues(api, decision.OperationID(), code).Inc()
	}
	c.seconds.WithLabelValues(api).Observe(decision.Elapsed.Seconds())
	c.expiring.count(&decision)
	return decision
}
