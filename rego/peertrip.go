package rego

import (
	"errors"
	"io"
	"net/http"
)

// maxAnswerHeader bounds the header of an answer.
const maxAnswerHeader = 64 << 10

var (
	errNoNetwork   = errors.New("the network is not asked again")
	errLargeAnswer = errors.New("the answer is over 1 MiB")
)

// common is how requests go that have no transport of their own.
var common = boundedHeaders(http.DefaultTransport.(*http.Transport).Clone())

// over is how http.send's requests go: on a transport of their own, which is nil where the
// common one will do. Where answers are recalled they go nowhere. OPA's own transport of a
// unix:// URL would reach any socket of the machine, whichever host it names; here the host
// that it names is asked.
func (a *asking) over(own *http.Transport) http.RoundTripper {
	switch {
	case a.recalled:
		return trip(func(*http.Request) (*http.Response, error) { return nil, errNoNetwork })
	case own == nil:
		return a.bounded(common)
	}
	own.DialContext = common.DialContext
	return a.bounded(boundedHeaders(own))
}

func boundedHeaders(transport *http.Transport) *http.Transport {
	transport.MaxResponseHeaderBytes = maxAnswerHeader
	return transport
}

type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(request *http.Request) (*http.Response, error) { return t(request) }

// bounded bounds what is read of an answer, and tells the trace of Envoy's span.
func (a *asking) bounded(next http.RoundTripper) http.RoundTripper {
	return trip(func(request *http.Request) (*http.Response, error) {
		request = request.Clone(request.Context())
		for name, value := range map[string]string{"Traceparent": a.request.Traceparent, "Tracestate": a.request.Tracestate} {
			if value != "" && request.Header.Get(name) == "" {
				request.Header.Set(name, value)
			}
		}
		response, err := next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		response.Body = &boundedBody{ReadCloser: response.Body, left: maxAnswer}
		return response, nil
	})
}

// boundedBody fails where there is more than it may hold.
type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into[:min(len(into), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, errLargeAnswer
	}
	return n, err
}
