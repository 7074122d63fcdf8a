package console

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign-io/countersign/authz"
)

const (
	// mostClients bounds the labels: issuers may let anybody register a client.
	mostClients = 1000
	// otherClients stands for those beyond.
	otherClients = "other"
)

// expiring counts requests whose token was issued for long and soon expires, so that its
// client is told while it still works.
type expiring struct {
	requests *prometheus.CounterVec

	mu sync.Mutex
	// clients are those that have a label of their own, by issuer and id.
	clients map[[2]string]bool
}

func newExpiring(registry *prometheus.Registry) *expiring {
	e := &expiring{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_token_expiring", Help: "Requests whose token was issued for over 48 h and expires within 48 h, by client."},
			[]string{"issuer", "client"}),
		clients: map[[2]string]bool{},
	}
	registry.MustRegister(e.requests)
	return e
}

func (e *expiring) count(d *authz.Decision) {
	if d.Expiring {
		e.requests.WithLabelValues(d.Caller.Issuer, e.label(d.Caller)).Inc()
	}
}

// label is the client's own, or that of all who came after there were enough.
func (e *expiring) label(caller authz.Caller) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := [2]string{caller.Issuer, string(caller.Client)}
	if !e.clients[id] && len(e.clients) >= mostClients {
		return otherClients
	}
	e.clients[id] = true
	return id[1]
}
