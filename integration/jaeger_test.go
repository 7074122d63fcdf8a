//go:build jaeger

package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/examples/openbanking/collector"
)

// findJaeger looks for the program that make builds.
func findJaeger(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("COUNTERSIGN_JAEGER"), filepath.Join("..", ".tools", "bin", "jaeger")} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Jaeger: run this test by make test-all, which builds it, or name its all-in-one program in COUNTERSIGN_JAEGER")
	return ""
}

// forged is a trace id that a client would choose.
const forged = "0af7651916cd43dd8448eb211c80319c"

// TestJaegerHasDecisionsUnderEnvoysTrace asks Jaeger, as anybody would, for the traces
// of requests: Countersign's check is in each, below the call that Envoy made, and no
// client chooses the trace that it is in.
func TestJaegerHasDecisionsUnderEnvoysTrace(t *testing.T) {
	stack := startBank(t, bank.Options{Jaeger: findJaeger(t)})
	tests := []struct{ name, story, traceparent string }{
		{"an allow", "01-own-account", ""},
		{"a denial", "02-another-customers-account", ""},
		{"a client that chooses its trace", "01-own-account", "00-" + forged + "-b7ad6b7169203331-01"},
		{"a client that would not be seen", "67-spoofed-trace", "00-" + forged + "-b7ad6b7169203331-00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			story := storyOf(t, test.story)
			if test.traceparent != "" {
				story.Ask.Headers = map[string]string{"traceparent": test.traceparent}
			}
			told, faults := tell(t, stack, story)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			spans := awaitJaeger(t, stack, told.Record.TraceID)
			holdCall(t, spans, told)
			holdDecision(t, spans, story, told)
			if followed, err := stack.Jaeger.Trace(t.Context(), forged); len(followed) > 0 || err != nil {
				t.Errorf("the client's own trace id leads somewhere, %v:\n%s", err, collector.Tree(followed))
			}
		})
	}
}

func storyOf(t *testing.T, name string) bank.Story {
	t.Helper()
	all := stories(t)
	i := slices.IndexFunc(all, func(story bank.Story) bool { return story.Name == name })
	if i < 0 {
		t.Fatalf("there is no story %s", name)
	}
	return all[i]
}

// awaitJaeger waits until Jaeger has a trace of both.
func awaitJaeger(t *testing.T, stack *bank.Stack, trace string) []collector.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	spans, err := stack.Jaeger.Await(ctx, trace, collector.Joined)
	if err != nil {
		t.Fatalf("%s: in no time a span of Countersign's is a child of Envoy's: %v\n%s", stack.Jaeger.API(trace), err, collector.Tree(spans))
	}
	return spans
}

// holdCall holds that the trace is Envoy's: it begins with the request that Envoy
// answered, the check is below the call that Envoy made for it, and the upstream, if
// it was called, was told of the same trace.
func holdCall(t *testing.T, spans []collector.Span, told *bank.Told) {
	t.Helper()
	check := only(t, spans, func(s collector.Span) bool { return s.Name == "countersign.check" })
	call := only(t, spans, func(s collector.Span) bool { return s.ID == check.Parent })
	first := only(t, spans, func(s collector.Span) bool { return s.Parent == "" })
	if check.Service != "countersign" || call.Service != "envoy" || first.Service != "envoy" || call.Parent != first.ID {
		t.Errorf("the check is not below a call of Envoy's, which is below the request:\n%s", collector.Tree(spans))
	}
	if got, want := first.Attributes["http.status_code"], strconv.Itoa(told.Status); got != want {
		t.Errorf("Envoy's span of the request has status %q, want %q", got, want)
	}
	if parent := told.Received.Headers["traceparent"]; told.Reached > 0 && !strings.Contains(parent, check.Trace) {
		t.Errorf("Envoy told the upstream of trace %q, and Jaeger has the check in %s", parent, check.Trace)
	}
}

// only returns the one span that is meant.
func only(t *testing.T, spans []collector.Span, meant func(collector.Span) bool) collector.Span {
	t.Helper()
	var found []collector.Span
	for _, span := range spans {
		if meant(span) {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans of a kind, want 1, in\n%s", len(found), collector.Tree(spans))
	}
	return found[0]
}

// holdDecision holds that the check's span tells the decision that the caller got.
func holdDecision(t *testing.T, spans []collector.Span, story bank.Story, told *bank.Told) {
	t.Helper()
	check := only(t, spans, func(s collector.Span) bool { return s.Name == "countersign.check" })
	want := map[string]string{
		"countersign.decision_id": told.DecisionID,
		"countersign.allowed":     strconv.FormatBool(story.Want.Allowed),
		"countersign.reason":      story.Want.Reason,
		"countersign.api":         string(bank.API),
		"countersign.operation":   told.Record.Operation,
	}
	got := map[string]string{}
	for name := range want {
		got[name] = check.Attributes[name]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the check's span (-want +got):\n%s", diff)
	}
}
