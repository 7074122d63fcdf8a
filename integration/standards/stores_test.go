package standards

import (
	"net/http"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// TestNoTokenIsTakenBeforeRevocationsAreKnown starts without its Redis: a token that was
// revoked before would else be good until it is there.
func TestNoTokenIsTakenBeforeRevocationsAreKnown(t *testing.T) {
	w := newWorld(t)
	for name, of := range map[string]ask{"bound": *bound(w), "plain": *plain(w)} {
		of.system = w.open(t, "replay: {engine: redis, redis: {address: 127.0.0.1:1}}\n")
		got, answer := of.send(t)
		if got.Reason != authz.RevocationsUnavailable || answer.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %v, %d, want %v, 503", name, got.Reason, answer.Status, authz.RevocationsUnavailable)
		}
		if of.system.Ready() == nil {
			t.Errorf("%s: Ready() = nil, want what is not known", name)
		}
	}
}
