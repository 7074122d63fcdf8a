// Package jaeger reads traces from a Jaeger, by the HTTP API that its own web page
// asks, so that the demo and its tests can look at what a real tracing backend keeps.
//
// It starts nothing and sends no spans: those go to Jaeger's OTLP port.
package jaeger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/collector"
)

const (
	// maxTrace bounds what is read of one trace, in bytes.
	maxTrace = 4 << 20
	// pause is between two looks at a trace that is not whole yet.
	pause = 100 * time.Millisecond
)

// Query is a Jaeger's query service. It is safe for concurrent use.
type Query struct {
	// URL is where it answers, without a slash at its end.
	URL string
}

// Page is where a person looks at a trace.
func (q *Query) Page(trace string) string { return q.URL + "/trace/" + url.PathEscape(trace) }

// API is where a program does: the same trace as JSON.
func (q *Query) API(trace string) string { return q.URL + "/api/traces/" + url.PathEscape(trace) }

// Trace returns the spans of a trace that Jaeger has, in order of their start: none
// of a trace that it does not know.
func (q *Query) Trace(ctx context.Context, id string) ([]collector.Span, error) {
	body, err := fetch(ctx, q.API(id))
	if body == nil || err != nil {
		return nil, err
	}
	var kept answer
	if err := json.Unmarshal(body, &kept); err != nil {
		return nil, fmt.Errorf("jaeger: %w", err)
	}
	return kept.spans(), nil
}

// Await returns a trace's spans as soon as they are enough, or, with an error, those
// that Jaeger has when ctx ends.
func (q *Query) Await(ctx context.Context, id string, enough func([]collector.Span) bool) ([]collector.Span, error) {
	look := time.NewTicker(pause)
	defer look.Stop()
	var latest []collector.Span
	for {
		spans, err := q.Trace(ctx, id)
		if err != nil {
			return latest, err
		}
		if latest = spans; enough(spans) {
			return spans, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return spans, fmt.Errorf("jaeger: %d spans of the trace arrived: %w", len(spans), ctx.Err())
		}
	}
}

// fetch gets what answers 200, and nil where there is no such thing.
func fetch(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("jaeger: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("jaeger: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, nil
	default:
		return nil, fmt.Errorf("jaeger: %s answers %s", url, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxTrace+1))
	if err != nil {
		return nil, fmt.Errorf("jaeger: %w", err)
	}
	if len(body) > maxTrace {
		return nil, fmt.Errorf("jaeger: %s answers more than %d bytes", url, maxTrace)
	}
	return body, nil
}

// answer is Jaeger's own form of a trace. Times are microseconds since 1970.
type answer struct {
	Data []struct {
		Spans     []span             `json:"spans"`
		Processes map[string]process `json:"processes"`
	} `json:"data"`
}

type process struct {
	Service string `json:"serviceName"`
}

type span struct {
	Trace      string      `json:"traceID"`
	ID         string      `json:"spanID"`
	Name       string      `json:"operationName"`
	Process    string      `json:"processID"`
	Start      int64       `json:"startTime"`
	Duration   int64       `json:"duration"`
	References []reference `json:"references"`
	Tags       []tag       `json:"tags"`
}

type reference struct {
	Kind  string `json:"refType"`
	Trace string `json:"traceID"`
	ID    string `json:"spanID"`
}

type tag struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

func (a *answer) spans() []collector.Span {
	var spans []collector.Span
	for _, trace := range a.Data {
		for _, s := range trace.Spans {
			kept := collector.Span{
				Trace:      s.Trace,
				ID:         s.ID,
				Parent:     s.parent(),
				Service:    trace.Processes[s.Process].Service,
				Name:       s.Name,
				Start:      time.UnixMicro(s.Start),
				Duration:   time.Duration(s.Duration) * time.Microsecond,
				Attributes: map[string]string{},
			}
			for _, tag := range s.Tags {
				kept.Attributes[tag.Key] = tag.text()
			}
			spans = append(spans, kept)
		}
	}
	slices.SortStableFunc(spans, func(a, b collector.Span) int { return a.Start.Compare(b.Start) })
	return spans
}

// parent is "" for a root. A link to another trace is none.
func (s *span) parent() string {
	for _, reference := range s.References {
		if reference.Kind == "CHILD_OF" && reference.Trace == s.Trace {
			return reference.ID
		}
	}
	return ""
}

// text is a string without its quotes, and anything else as Jaeger wrote it.
func (t tag) text() string {
	var text string
	if json.Unmarshal(t.Value, &text) == nil {
		return text
	}
	return string(t.Value)
}
