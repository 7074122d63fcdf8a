package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLookSeesChanges does one thing to a folder between two looks at it.
func TestLookSeesChanges(t *testing.T) {
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		do   func(dir string) error
		seen bool
	}{
		{"nothing", func(string) error { return nil }, false},
		{"a file is written", func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("other"), 0o600) }, true},
		{"a file is touched", func(dir string) error { return os.Chtimes(filepath.Join(dir, "a"), old, old.Add(1)) }, true},
		{"a file is replaced by one of the same size and time", func(dir string) error {
			next := filepath.Join(dir, ".next")
			return errors.Join(os.WriteFile(next, []byte("b"), 0o600), os.Chtimes(next, old, old), os.Rename(next, filepath.Join(dir, "a")))
		}, true},
		{"a file comes", func(dir string) error { return os.WriteFile(filepath.Join(dir, "sub", "b"), nil, 0o600) }, true},
		{"a file goes", func(dir string) error { return os.Remove(filepath.Join(dir, "a")) }, true},
		{"a file can no longer be read", func(dir string) error { return os.Chmod(filepath.Join(dir, "a"), 0) }, true},
		{"a hidden file comes", func(dir string) error { return os.WriteFile(filepath.Join(dir, ".a.swp"), nil, 0o600) }, false},
		{"the folder goes", os.RemoveAll, true},
		{"the folder becomes a link to another", func(dir string) error {
			other := dir + "2"
			return errors.Join(os.RemoveAll(dir), os.CopyFS(other, os.DirFS(".")), os.Symlink(other, dir))
		}, true},
		{"links make a circle", func(dir string) error { return os.Symlink(dir, filepath.Join(dir, "sub", "circle")) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "policy")
			file := filepath.Join(dir, "a")
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o700), os.WriteFile(file, []byte("a"), 0o600), os.Chtimes(file, old, old)); err != nil {
				t.Fatal(err)
			}
			before := look(dir)
			if err := test.do(dir); err != nil {
				t.Fatal(err)
			}
			if seen := !look(dir).same(before); seen != test.seen {
				t.Errorf("a change is seen: %v, want %v", seen, test.seen)
			}
		})
	}
}

func TestWatcherWaitsForFilesAtRest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a")
	write(t, file, "1")
	w := watcher{names: []string{file}, taken: look(file)}
	for i, step := range []struct {
		text string
		want bool
	}{{"", false}, {"", false}, {"12", false}, {"123", false}, {"", true}, {"", true}} {
		if step.text != "" {
			write(t, file, step.text)
		}
		if got := w.settled(); got != step.want {
			t.Errorf("look %d: settled = %v, want %v", i, got, step.want)
		}
	}
	w.taken = look(file)
	if w.settled() {
		t.Error("what was taken is not at rest")
	}
}
