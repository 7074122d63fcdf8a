package console

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// TestMetricsCountTokensThatExpire holds that a request counts for its client, and never
// for a subject.
func TestMetricsCountTokensThatExpire(t *testing.T) {
	shown := pages()
	fake := &fakeChecker{}
	checker := Checks(fake, shown.Metrics)
	send := func(client string, expiring bool) {
		fake.decision = authz.Decision{Allowed: true, Reason: authz.Granted, Expiring: expiring,
			Caller: authz.Caller{Issuer: "https://auth.example", Client: authz.ClientID(client), Subject: "ann"}}
		checker.Check(t.Context(), &authz.Request{})
	}
	send("acme", true)
	send("acme", true)
	send("acme", false)
	send("zeta", false)
	_, body := get(t, open(t, shown)+"/metrics")
	if !strings.Contains(body, `countersign_token_expiring{client="acme",issuer="https://auth.example"} 2`+"\n") {
		t.Errorf("metrics lack acme's two requests:\n%s", body)
	}
	if strings.Contains(body, "zeta") || strings.Contains(body, "ann") {
		t.Error("metrics tell of who has no expiring token, or of a subject")
	}
}

// TestMetricsOfClientsAreBounded lets more clients come than there are labels for, some
// at once; those that had one keep it.
func TestMetricsOfClientsAreBounded(t *testing.T) {
	shown := pages()
	counter := newExpiring(shown.Metrics)
	decision := func(client int) *authz.Decision {
		return &authz.Decision{Expiring: true, Caller: authz.Caller{Issuer: "https://auth.example", Client: authz.ClientID(fmt.Sprintf("c-%d", client))}}
	}
	counter.count(decision(0))
	var clients sync.WaitGroup
	for client := range mostClients + 7 {
		clients.Go(func() { counter.count(decision(client)) })
	}
	clients.Wait()
	_, body := get(t, open(t, shown)+"/metrics")
	if got := strings.Count(body, "countersign_token_expiring{"); got != mostClients+1 {
		t.Errorf("%d labels, want %d", got, mostClients+1)
	}
	for _, line := range []string{
		`countersign_token_expiring{client="other",issuer="https://auth.example"} 7`,
		`countersign_token_expiring{client="c-0",issuer="https://auth.example"} 2`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}
