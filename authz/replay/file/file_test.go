package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/file"
	"github.com/countersign-io/countersign/authz/replay/replaytest"
)

var _ replay.Log = (*file.Log)(nil)

func TestConformance(t *testing.T) {
	replaytest.RunLog(t, func(t *testing.T) replaytest.Logs {
		path := filepath.Join(t.TempDir(), "revocations")
		return replaytest.Logs{file.New(path, nil), file.New(path, nil)}
	})
}

// path is a log with these texts, which expire in an hour.
func path(t *testing.T, texts ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "revocations")
	for _, text := range texts {
		keep(t, file.New(path, nil), text, time.Hour)
	}
	return path
}

func keep(t *testing.T, log *file.Log, text string, until time.Duration) {
	t.Helper()
	if err := log.Append(t.Context(), text, time.Now().Add(until)); err != nil {
		t.Fatalf("Append() = %v, want no error", err)
	}
}

// after is what follows a mark, as one who begins again where it is not known finds it.
func after(t *testing.T, log *file.Log, mark string) (texts []string, next string) {
	t.Helper()
	for range 10 {
		more, next, err := log.Since(t.Context(), mark)
		switch {
		case err != nil:
			t.Fatalf("Since() = %v, want no error", err)
		case len(more) == 0 && next == mark:
			return texts, mark
		}
		texts, mark = append(texts, more...), next
	}
	t.Fatal("Since() comes to no end")
	return nil, ""
}

func holds(t *testing.T, log *file.Log, want ...string) {
	t.Helper()
	texts, _ := after(t, log, "")
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

func rewrite(t *testing.T, path string, change func(text string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err := errors.Join(err, os.WriteFile(path, []byte(change(string(text))), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// What a crash cut short was told to nobody, and spoils neither what is there nor what
// comes.
func TestAnUnfinishedLineIsNone(t *testing.T) {
	whole := path(t, "one", "two")
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(strings.TrimSuffix(string(text), "\n"), "\n") + 1
	for cut := last; cut < len(text); cut++ {
		path := filepath.Join(t.TempDir(), "revocations")
		if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		log := file.New(path, nil)
		holds(t, log, "one")
		keep(t, log, "three", time.Hour)
		holds(t, log, "one", "three")
	}
}

// What is whole and cannot be read is told, and hides nothing of what stands before or
// behind it. It is never dropped: it could revoke something.
func TestALineThatCannotBeReadIsTold(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"no line of ours":  func(text string) string { return text + "hello\n" },
		"in the middle":    func(text string) string { return "hello\n" + text },
		"an empty line":    func(text string) string { return text + "\n" },
		"no time":          func(text string) string { return text + "x ABC b25l\n" },
		"no base64":        func(text string) string { return text + "1 ABC b25\n" },
		"no text":          func(text string) string { return text + "1 ABC \n" },
		"a field more":     func(text string) string { return text + "1 ABC b25l b25l\n" },
		"a long line":      func(text string) string { return text + "1 " + strings.Repeat("A", 50_000) + " b25l\n" },
		"a long text":      func(text string) string { return text + "1 A " + strings.Repeat("AAAA", 90) + "\n" },
		"the longest line": func(text string) string { return text + "1 " + strings.Repeat("A", 512-7) + " b25l\n" },
	} {
		path := path(t, "one")
		rewrite(t, path, change)
		log := file.New(path, nil)
		keep(t, log, "two", time.Hour)
		texts, mark := after(t, log, "")
		if diff := cmp.Diff([]string{"", "one", "two"}, slices.Sorted(slices.Values(texts))); diff != "" {
			t.Errorf("%s: Since() (-want +got):\n%s", name, diff)
		}
		keep(t, log, "three", time.Hour)
		if texts, _ := after(t, log, mark); len(texts) != 1 || texts[0] != "three" {
			t.Errorf("%s: Since() the mark = %q, want three alone", name, texts)
		}
		if err := log.Tidy(t.Context()); err == nil {
			t.Errorf("%s: Tidy() = nil, want an error", name)
		}
	}
}

// What cannot be the end of a log of ours is an error: who follows is not up to date, and
// nobody cuts it off.
func TestAnotherFileIsAnError(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"a secret without a line's end": func(string) string { return "hunter2" },
		"a secret behind a line":        func(text string) string { return text + "hunter2" },
		"no line, and long":             func(text string) string { return text + strings.Repeat("A", 5_000) },
		"a huge file":                   func(text string) string { return strings.Repeat(text, 1+(16<<20)/len(text)) },
	} {
		path := path(t, "one")
		rewrite(t, path, change)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.New(path, nil).Append(t.Context(), "two", time.Now().Add(time.Hour)); err == nil {
			t.Errorf("%s: Append() = nil, want an error", name)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
			t.Errorf("%s: was changed, %v", name, err)
		}
	}
}

func TestOthersFilesAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"can be read by others":    func(path string) error { return os.Chmod(path, 0o644) },
		"can be written by others": func(path string) error { return os.Chmod(path, 0o620) },
		"is a folder":              func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"has another name":         func(path string) error { return os.Link(path, path+".too") },
		"is a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		},
	} {
		path := path(t, "one")
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		log := file.New(path, nil)
		_, _, since := log.Since(t.Context(), "")
		if appended := log.Append(t.Context(), "two", time.Now().Add(time.Hour)); since == nil || appended == nil {
			t.Errorf("a file that %s: Since() = %v, Append() = %v, want errors", name, since, appended)
		}
	}
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	path := path(t, "one")
	for _, when := range []string{"made", "replaced"} {
		status, err := os.Stat(path)
		if err != nil || status.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", when, status.Mode(), err)
		}
		keep(t, file.New(path, nil), "past", -time.Hour)
		if err := file.New(path, nil).Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppendNeedsAFolder(t *testing.T) {
	log := file.New(filepath.Join(t.TempDir(), "none", "revocations"), nil)
	if err := log.Append(t.Context(), "one", time.Now().Add(time.Hour)); err == nil {
		t.Error("Append() in no folder = nil, want an error")
	}
	holds(t, log)
}

// Who read to the end before the file was replaced goes on reading all that is new.
func TestTidyDropsWhatHasExpired(t *testing.T) {
	path := path(t, "one")
	log := file.New(path, nil)
	keep(t, log, "past", -time.Hour)
	keep(t, log, "two", time.Hour)
	_, mark := after(t, log, "")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := log.Tidy(t.Context()); err != nil {
			t.Fatalf("Tidy() = %v, want no error", err)
		}
		holds(t, log, "one", "two")
	}
	if now, err := os.Stat(path); err != nil || os.SameFile(before, now) {
		t.Errorf("the file was changed in its place, %v; want another", err)
	}
	keep(t, log, "three", time.Hour)
	if texts, _ := after(t, log, mark); len(texts) < 1 || texts[len(texts)-1] != "three" {
		t.Errorf("after the mark come %q, want three at the end", texts)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("in the folder are left %q, %v, want nothing", left, err)
	}
	if err := file.New(filepath.Join(t.TempDir(), "none"), nil).Tidy(t.Context()); err != nil {
		t.Errorf("Tidy() of no file = %v, want no error", err)
	}
}

// Entries that are appended while the file is replaced again and again are all kept.
func TestTidyLosesNothing(t *testing.T) {
	path := path(t)
	stop, tidied := make(chan struct{}), make(chan error, 1)
	go func() {
		log := file.New(path, nil)
		var fault error
		for {
			select {
			case <-stop:
				tidied <- fault
				return
			default:
				fault = errors.Join(fault, log.Append(context.Background(), "past", time.Now().Add(-time.Hour)), log.Tidy(context.Background()))
			}
		}
	}()
	var want []string
	for n := range 200 {
		want = append(want, fmt.Sprint(n))
		keep(t, file.New(path, nil), want[n], time.Hour)
	}
	close(stop)
	if err := <-tidied; err != nil {
		t.Fatalf("Tidy() = %v, want no error", err)
	}
	holds(t, file.New(path, nil), want...)
}

// A log that is full of what has not expired takes no more, and drops nothing of it.
func TestAFullLogIsAnError(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	path := path(t, "one")
	rewrite(t, path, func(line string) string { return strings.Repeat(line, (16<<20)/len(line)) })
	log := file.New(path, func() time.Time { return time.Unix(0, clock.Load()) })
	if err := log.Append(t.Context(), strings.Repeat("x", 256), time.Now().Add(3*time.Hour)); err == nil {
		t.Error("Append() to a full log = nil, want an error")
	}
	if texts, _, err := log.Since(t.Context(), ""); err != nil || len(texts) != 1_000 {
		t.Errorf("Since() = %d texts, %v, want the first thousand", len(texts), err)
	}
	clock.Add(int64(2 * time.Hour))
	keep(t, log, "two", 3*time.Hour)
	holds(t, log, "two")
}

// An entry waits for whoever has the file locked, as long as it may.
func TestAppendWaitsItsTurn(t *testing.T) {
	path := path(t, "one")
	release := lock(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := file.New(path, nil).Append(ctx, "two", time.Now().Add(time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Append() to a locked log = %v, want context.DeadlineExceeded", err)
	}
	release()
	keep(t, file.New(path, nil), "three", time.Hour)
	holds(t, file.New(path, nil), "one", "three")
}
