package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/examples/openbanking/collector"
)

const (
	// patience is for one story's answer.
	patience = 10 * time.Second
	// arrival is for a trace's spans, which are sent in batches.
	arrival = 10 * time.Second
)

// telling is the stories as they are told.
type telling struct {
	stack  *bank.Stack
	out    io.Writer
	asTold int
	// followed is the trace of the first decision.
	followed string
}

// row aligns mark, name, status, reason, microseconds and trace id.
const row = "%s  %-38s  %3s  %-21s  %8s  %s\n"

func (t *telling) all(ctx context.Context, stories []bank.Story) {
	fmt.Fprintf(t.out, row, " ", "story", "", "reason", "µs", "trace")
	for _, story := range stories {
		t.one(ctx, story)
	}
}

func (t *telling) one(ctx context.Context, story bank.Story) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	told, err := story.Tell(ctx, t.stack)
	if err != nil {
		t.line(story.Name, told, []string{err.Error()})
		return
	}
	t.line(story.Name, told, story.Faults(told))
	if proves := story.Ask.Proof != nil || story.Ask.Token.Bound != ""; proves || story.Want.Headers != nil {
		t.answer(told.Header)
	}
}

// answer tells what a client goes by where it can do better: one that proves its key,
// that is limited, or whose user must authenticate again.
func (t *telling) answer(header http.Header) {
	for _, name := range []string{"WWW-Authenticate", "DPoP-Nonce", "Retry-After", "RateLimit-Policy", "RateLimit"} {
		for _, value := range header.Values(name) {
			fmt.Fprintf(t.out, "     %s: %s\n", name, value)
		}
	}
}

// line prints a story and, where it did not go as told, what differed.
func (t *telling) line(name string, told *bank.Told, faults []string) {
	mark, status, reason, elapsed, trace := "✓", "-", "-", "-", "-"
	if told != nil {
		status = fmt.Sprint(told.Status)
	}
	if told != nil && told.Record != nil {
		reason, trace = told.Record.Code(), told.Record.TraceID
		elapsed = fmt.Sprint(told.Record.ElapsedUS)
	}
	if len(faults) > 0 {
		mark = "✗"
	} else {
		t.asTold++
		if t.followed == "" {
			t.followed = trace
		}
	}
	fmt.Fprintf(t.out, row, mark, name, status, reason, elapsed, trace)
	for _, fault := range faults {
		fmt.Fprintf(t.out, "   %s\n", fault)
	}
}

// trace tells the last story: the first decision's trace, in which Countersign's span
// is a child of Envoy's.
func (t *telling) trace(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	fmt.Fprintf(t.out, "\nThe trace of a decision, %s:\n\n", t.followed)
	spans, err := t.stack.AwaitSpans(ctx, t.followed, collector.Joined)
	fmt.Fprintln(t.out, indented(collector.Tree(spans)))
	if err != nil {
		fmt.Fprintf(t.out, "✗  joined-trace: no span of Countersign's is a child of Envoy's: %v\n\n", err)
		return
	}
	t.asTold++
	fmt.Fprint(t.out, "✓  joined-trace: Countersign's span is a child of Envoy's\n\n")
}

// links say where Jaeger, if it has the traces, shows the one that was followed.
func (t *telling) links() {
	if t.stack.Jaeger == nil {
		return
	}
	fmt.Fprintf(t.out, `The same trace in Jaeger, as long as this runs:
  %s  (a placeholder, where Jaeger was built without its web page)
  %s  (what the page shows, as JSON)

`, t.stack.Jaeger.Page(t.followed), t.stack.Jaeger.API(t.followed))
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}
