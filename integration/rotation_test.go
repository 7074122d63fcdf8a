package integration

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/integration/oidc"
)

const (
	// pace is how long a stream waits from one request to the next.
	pace = 40 * time.Millisecond
	// some requests are enough to see how those with one token fare.
	some = 15
)

// stream asks for the same with one token, again and again.
type stream struct {
	client  *http.Client
	request *http.Request

	mu    sync.Mutex
	told  []verdict
	slow  time.Duration // the longest that an answer took
	fault error
}

// TestProviderRotatesKeys rotates the provider's keys twice while requests run, as an
// issuer does that publishes a key before it signs with it, and then as one does that
// signs at once with what nobody can know yet, and has nothing left of the key before.
// No good token is refused, and those of keys that are gone are, as soon as the new set
// is known.
func TestProviderRotatesKeys(t *testing.T) {
	b := startIdentified(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	streaming := func() *stream {
		s := b.newStream(t)
		running.Go(func() { s.run(ctx) })
		return s
	}

	first := streaming()
	first.await(t, some, granted)
	b.provider.Rotate(t, oidc.Publish)
	published := streaming() // signed by the key before, still
	published.await(t, some, granted)
	b.provider.Rotate(t, oidc.Sign)
	second := streaming()
	second.await(t, some, granted)
	b.provider.Rotate(t, oidc.Retire)
	first.await(t, some, granted) // until the set without its key is known

	b.provider.Rotate(t, oidc.Publish, oidc.Sign, oidc.Retire)
	third := streaming()
	third.await(t, some, granted)
	gone := refusal(http.StatusUnauthorized, "token_key")
	for _, old := range []*stream{first, published, second} {
		old.await(t, some, gone)
	}
	third.await(t, some, granted)
	cancel()
	running.Wait()

	for name, s := range map[string]*stream{"first": first, "published": published, "second": second, "third": third} {
		if s.fault != nil {
			t.Errorf("%s: %v", name, s.fault)
		}
		want := []verdict{granted, gone}
		if s == third {
			want = want[:1]
		}
		if told := slices.Compact(s.told); !slices.Equal(told, want) {
			t.Errorf("%s: told in turn %+v, want %+v", name, told, want)
		}
		t.Logf("%s: %d answers, the slowest in %v", name, len(s.told), s.slow.Round(time.Millisecond))
	}
}

// newStream asks with a token that is issued now.
func (b *identified) newStream(t *testing.T) *stream {
	t.Helper()
	token := b.acme.Authorized(t, b.provider, oidc.Login{As: "ann", Scope: "accounts"})
	request, err := http.NewRequest(http.MethodGet, "https://"+b.stack.Address(bank.MTLS)+"/accounts/22289", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	s := &stream{client: b.stack.Client(bank.Acme), request: request}
	s.client.Transport.(*http.Transport).DisableKeepAlives = false
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// run asks until ctx ends, or an answer fails to come.
func (s *stream) run(ctx context.Context) {
	next := time.NewTicker(pace)
	defer next.Stop()
	for {
		began := time.Now()
		got, err := send(s.client, s.request.Clone(ctx))
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.told, s.slow, s.fault = append(s.told, toldAs(got)), max(s.slow, time.Since(began)), err
		s.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
	}
}

// await waits for so many more answers, the last of which must be the one wanted.
func (s *stream) await(t *testing.T, count int, want verdict) {
	t.Helper()
	s.mu.Lock()
	until := len(s.told) + count
	s.mu.Unlock()
	eventually(t, "answers", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fault != nil || len(s.told) >= until && s.told[len(s.told)-1] == want
	})
}
