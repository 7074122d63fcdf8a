package integration

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/examples/openbanking/collector"
)

func stories(t *testing.T) []bank.Story {
	t.Helper()
	stories, err := bank.Stories()
	if err != nil {
		t.Fatal(err)
	}
	if len(stories) < 24 {
		t.Fatalf("%d stories, want at least 24", len(stories))
	}
	return stories
}

// openSystem wires Countersign in this process, with the bank's configuration.
func openSystem(t *testing.T) (*bank.Bank, *wire.System) {
	t.Helper()
	b := openBank(t)
	return b, wireBank(t, b)
}

func openBank(t testing.TB) *bank.Bank {
	t.Helper()
	b, err := bank.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wireBank wires Countersign with what lies in the bank's folder. Settings stand in its
// configuration behind the bank's.
func wireBank(t testing.TB, b *bank.Bank, settings ...string) *wire.System {
	t.Helper()
	text, err := b.Configuration("", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(b.Dir, "countersign.yaml")
	if err := os.WriteFile(file, []byte(text+strings.Join(settings, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := wire.Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	system, err := loaded.Start(nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := system.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := system.Ready(); err != nil {
		t.Fatal(err)
	}
	return system
}

// nonceOf is what a client without a token is told to put into its proofs.
func nonceOf(t *testing.T, system *wire.System) string {
	t.Helper()
	told := system.Pipeline.Check(t.Context(), &authz.Request{API: bank.API, Method: "GET", Host: "localhost", Target: "/accounts"})
	if told.Proofs == nil || told.Proofs.Nonce == "" {
		t.Fatal("the bank demands no nonce")
	}
	return told.Proofs.Nonce
}

// TestStoriesPure tells every story to the pipeline alone, with neither Envoy nor
// network.
func TestStoriesPure(t *testing.T) {
	b, system := openSystem(t)
	nonce := nonceOf(t, system)
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			request, err := story.Request(b, nonce)
			if err != nil {
				t.Fatal(err)
			}
			for range story.Ask.Before {
				system.Pipeline.Check(t.Context(), request)
			}
			got := system.Pipeline.Check(t.Context(), request)
			if got.Allowed != story.Want.Allowed || got.Code() != story.Want.Reason {
				t.Errorf("%s\nCheck() = allowed %v for %s (%s), want allowed %v for %s",
					story.Text, got.Allowed, got.Code(), got.Detail, story.Want.Allowed, story.Want.Reason)
			}
			if !story.Want.Allowed && got.Reason.Status() != story.Want.Status {
				t.Errorf("%s\nstatus = %d, want %d", story.Text, got.Reason.Status(), story.Want.Status)
			}
			if !slices.Equal(got.Verdict.BreakGlass, story.Want.BreakGlass) {
				t.Errorf("%s\ntickets = %q, want %q", story.Text, got.Verdict.BreakGlass, story.Want.BreakGlass)
			}
			if got.Revision != system.Revision {
				t.Errorf("revision = %q, want %q", got.Revision, system.Revision)
			}
		})
	}
}

// tell tells a story through Envoy, and returns in what it differs.
func tell(t *testing.T, stack *bank.Stack, story bank.Story) (*bank.Told, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	told, err := story.Tell(ctx, stack)
	if err != nil {
		return told, []string{err.Error()}
	}
	return told, story.Faults(told)
}

// TestStoriesThroughEnvoy tells every story by a real HTTPS request through the real
// Envoy to a real Countersign, and follows the first decision's trace.
func TestStoriesThroughEnvoy(t *testing.T) {
	stack := startBank(t, bank.Options{})
	trace := ""
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			told, faults := tell(t, stack, story)
			for _, fault := range faults {
				t.Errorf("%s\n%s", story.Text, fault)
			}
			if told != nil && told.Record != nil && trace == "" {
				trace = told.Record.TraceID
			}
		})
	}
	if !joined(t, stack, trace, 15*time.Second) {
		t.Errorf("in trace %s no span of Countersign's is a child of Envoy's:\n%s", trace, collector.Tree(stack.Collector.Trace(trace)))
	}
}

// joined waits for a trace in which Countersign's span is a child of Envoy's.
func joined(t *testing.T, stack *bank.Stack, trace string, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := stack.Collector.Await(ctx, trace, collector.Joined)
	return err == nil
}

// TestStoriesNoticeAMissingFilter takes Countersign out of Envoy's configuration:
// no story may go as told, since each asks for a record.
func TestStoriesNoticeAMissingFilter(t *testing.T) {
	stack := startBank(t, bank.Options{Unguarded: true})
	for _, story := range stories(t) {
		if _, faults := tell(t, stack, story); len(faults) == 0 {
			t.Errorf("%s goes as told without Countersign", story.Name)
		}
	}
}

// TestStoriesNoticeMissingSpans turns Countersign's span export off: the decisions
// go as told, and of the trace only Envoy's spans arrive, though Countersign has
// ended and sent all that it had.
func TestStoriesNoticeMissingSpans(t *testing.T) {
	stack := startBank(t, bank.Options{Silent: true})
	told, faults := tell(t, stack, stories(t)[0])
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	_, err := stack.Collector.Await(ctx, told.Record.TraceID, func(spans []collector.Span) bool { return len(spans) >= 3 })
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Close(); err != nil {
		t.Fatal(err)
	}
	if spans := stack.Collector.Trace(told.Record.TraceID); collector.Joined(spans) {
		t.Errorf("there is a span of Countersign's, which exports none:\n%s", collector.Tree(spans))
	}
}
