package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// untraced has Envoy trace nothing, which would cost more than the requests.
func untraced(configuration string) string {
	return strings.Replace(configuration, "random_sampling: {value: 100}", "random_sampling: {value: 0}", 1)
}

// asker asks stories in turn over one connection, and keeps what it was told.
type asker struct {
	stories  []bank.Story
	requests []*http.Request
	client   *http.Client
	told     []toldOf
	fault    error
}

// toldOf is the answer to one of an asker's stories.
type toldOf struct {
	answer
	story int
}

// newAsker makes an asker of stories that have no body and one certificate.
func newAsker(t *testing.T, stack *bank.Stack, stories []bank.Story) *asker {
	t.Helper()
	a := &asker{stories: stories}
	for _, story := range stories {
		request, client, err := story.HTTP(t.Context(), stack)
		if err != nil {
			t.Fatal(err)
		}
		a.requests, a.client = append(a.requests, request), client
	}
	a.client.Transport.(*http.Transport).DisableKeepAlives = false
	t.Cleanup(a.client.CloseIdleConnections)
	return a
}

// askOn asks until end is over, and calls granted for each grant. The answer to what was
// asked by then is waited for, until ctx ends.
func (a *asker) askOn(ctx, end context.Context, granted func()) {
	for end.Err() == nil && a.fault == nil {
		story := len(a.told) % len(a.stories)
		var got answer
		got, a.fault = send(a.client, a.requests[story].Clone(ctx))
		a.told = append(a.told, toldOf{got, story})
		if got.status == http.StatusOK {
			granted()
		}
	}
}
