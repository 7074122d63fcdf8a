package replaytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/replay"
	"github.com/google/go-cmp/cmp"
)

// Logs are two clients of one log that is empty, which close with the test.
type Logs [2]replay.Log

// RunLog tests a log.
func RunLog(t *testing.T, open func(t *testing.T) Logs) {
	t.Run("log", func(t *testing.T) { log(t, open(t)) })
	t.Run("long log", func(t *testing.T) { longLog(t, open(t)) })
	t.Run("mark of nobody's", func(t *testing.T) { strangeMark(t, open(t)) })
	t.Run("both at once", func(t *testing.T) { appendedAtOnce(t, open(t)) })
	t.Run("revoked", func(t *testing.T) { revoked(t, open(t)) })
	t.Run("time is up", func(t *testing.T) { logTimeIsUp(t, open(t)) })
}

func add(t *testing.T, log replay.Log, text string) {
	t.Helper()
	if err := log.Append(t.Context(), text, time.Now().Add(time.Hour)); err != nil {
		t.Fatalf("Append() = %v, want no error", err)
	}
}

// rest is all that follows a mark, and the last mark.
func rest(t *testing.T, log replay.Log, mark string) ([]string, string) {
	t.Helper()
	var all []string
	for range 100 {
		texts, next, err := log.Since(t.Context(), mark)
		if err != nil {
			t.Fatalf("Since() = %v, want no error", err)
		}
		if len(texts) == 0 && next == mark {
			return all, next
		}
		all, mark = append(all, texts...), next
	}
	t.Fatal("Since() never comes to an end")
	return nil, ""
}

func log(t *testing.T, logs Logs) {
	binary := "\x00\r\n\xff" + strings.Repeat("x", 252)
	if texts, _ := rest(t, logs[0], ""); len(texts) > 0 {
		t.Fatalf("Since() of an empty log returns %d texts", len(texts))
	}
	add(t, logs[0], "first")
	texts, mark := rest(t, logs[1], "")
	if diff := cmp.Diff([]string{"first"}, texts); diff != "" {
		t.Errorf("Since() (-want +got):\n%s", diff)
	}
	add(t, logs[1], binary)
	add(t, logs[0], "first") // the same again is another
	texts, last := rest(t, logs[0], mark)
	if diff := cmp.Diff([]string{binary, "first"}, texts); diff != "" {
		t.Errorf("Since() a mark (-want +got):\n%s", diff)
	}
	if texts, _ := rest(t, logs[1], last); len(texts) > 0 {
		t.Errorf("Since() the end returns %d texts", len(texts))
	}
	for _, text := range []string{"", strings.Repeat("x", 257)} {
		if err := logs[0].Append(t.Context(), text, time.Now().Add(time.Hour)); err == nil {
			t.Errorf("Append() of %d bytes = nil, want an error", len(text))
		}
	}
}

// longLog is longer than what is returned at once.
func longLog(t *testing.T, logs Logs) {
	var want []string
	for n := range 1_200 {
		want = append(want, fmt.Sprint(n))
		add(t, logs[n%2], want[n])
	}
	got, _ := rest(t, logs[0], "")
	if !slices.Equal(want, got) {
		t.Errorf("Since() returns %d texts, want all %d in order", len(got), len(want))
	}
}

// strangeMark holds that a mark which the store does not know leads to all there is.
func strangeMark(t *testing.T, logs Logs) {
	add(t, logs[0], "one")
	for _, mark := range []string{"x", "-1", "another:1", strings.Repeat("9", 40)} {
		if texts, _ := rest(t, logs[1], mark); !slices.Contains(texts, "one") {
			t.Errorf("Since(%q) does not return what is there", mark)
		}
	}
}

// appendedAtOnce holds that of what both append at once nothing is lost, and that one who
// follows meanwhile misses nothing.
func appendedAtOnce(t *testing.T, logs Logs) {
	const each = 50
	var appending sync.WaitGroup
	for n, log := range logs {
		appending.Go(func() {
			for i := range each {
				if err := log.Append(t.Context(), fmt.Sprint(n, " ", i), time.Now().Add(time.Hour)); err != nil {
					t.Errorf("Append() = %v, want no error", err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { appending.Wait(); close(done) }()
	found, mark := map[string]bool{}, ""
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true // what there is now is all
		default:
		}
		var texts []string
		texts, mark = rest(t, logs[0], mark)
		for _, text := range texts {
			found[text] = true
		}
	}
	if len(found) != 2*each {
		t.Errorf("%d texts were found, want %d", len(found), 2*each)
	}
}

func logTimeIsUp(t *testing.T, logs Logs) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := logs[0].Append(ctx, "a", time.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append() = %v, want context.Canceled", err)
	}
	if _, _, err := logs[0].Since(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Since() = %v, want context.Canceled", err)
	}
}
