package replaytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/replay"
	"github.com/google/go-cmp/cmp"
)

func runLog(t *testing.T, open Open) {
	t.Run("log", func(t *testing.T) { log(t, open(t)) })
	t.Run("long log", func(t *testing.T) { longLog(t, open(t)) })
	t.Run("mark of nobody's", func(t *testing.T) { strangeMark(t, open(t)) })
}

func add(t *testing.T, f Fixture, client int, text string) {
	t.Helper()
	if err := f.Clients[client].Append(t.Context(), text, f.Now().Add(time.Hour)); err != nil {
		t.Fatalf("Append() = %v, want no error", err)
	}
}

// rest is all that follows a mark, and the last mark.
func rest(t *testing.T, engine replay.Engine, mark string) ([]string, string) {
	t.Helper()
	var all []string
	for range 100 {
		texts, next, err := engine.Since(t.Context(), mark)
		if err != nil {
			t.Fatalf("Since() = %v, want no error", err)
		}
		if len(texts) == 0 {
			return all, next
		}
		all, mark = append(all, texts...), next
	}
	t.Fatal("Since() never comes to an end")
	return nil, ""
}

func log(t *testing.T, f Fixture) {
	binary := "\x00\r\n\xff" + strings.Repeat("x", 252)
	if texts, _ := rest(t, f.Clients[0], ""); len(texts) > 0 {
		t.Fatalf("Since() of an empty log returns %d texts", len(texts))
	}
	add(t, f, 0, "first")
	texts, mark := rest(t, f.Clients[1], "")
	if diff := cmp.Diff([]string{"first"}, texts); diff != "" {
		t.Errorf("Since() (-want +got):\n%s", diff)
	}
	add(t, f, 1, binary)
	add(t, f, 0, "first") // the same again is another
	texts, last := rest(t, f.Clients[0], mark)
	if diff := cmp.Diff([]string{binary, "first"}, texts); diff != "" {
		t.Errorf("Since() a mark (-want +got):\n%s", diff)
	}
	if texts, _ := rest(t, f.Clients[1], last); len(texts) > 0 {
		t.Errorf("Since() the end returns %d texts", len(texts))
	}
	if err := f.Clients[0].Append(t.Context(), strings.Repeat("x", 257), f.Now().Add(time.Hour)); err == nil {
		t.Error("Append() of 257 bytes = nil, want an error")
	}
}

// longLog is longer than what is returned at once.
func longLog(t *testing.T, f Fixture) {
	var want []string
	for n := range 2_500 {
		want = append(want, fmt.Sprint(n))
		add(t, f, n%2, want[n])
	}
	got, _ := rest(t, f.Clients[0], "")
	if !slices.Equal(want, got) {
		t.Errorf("Since() returns %d texts, want all %d in order", len(got), len(want))
	}
}

// strangeMark holds that a mark which the store does not know leads to all there is.
func strangeMark(t *testing.T, f Fixture) {
	add(t, f, 0, "one")
	for _, mark := range []string{"x", "-1", "another:1", strings.Repeat("9", 40)} {
		if texts, _ := rest(t, f.Clients[1], mark); !slices.Contains(texts, "one") {
			t.Errorf("Since(%q) does not return what is there", mark)
		}
	}
}
