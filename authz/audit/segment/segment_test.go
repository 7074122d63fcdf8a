package segment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

const name = "decisions"

// config is of a folder of the test's own, with segments that one batch fills where
// maxBytes is 1.
func config(t testing.TB, maxBytes int64) Config {
	return Config{Folder: t.TempDir(), Name: name, MaxBytes: maxBytes}
}

// opened opens segments that nothing is wrong with, and closes them with the test.
func opened(t testing.TB, cfg Config) *Writer {
	t.Helper()
	w, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if found != (Opened{}) {
		t.Fatalf("Open found %+v, want nothing", found)
	}
	return w
}

func batch(lines ...string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }

func mustAppend(t testing.TB, w *Writer, lines ...string) {
	t.Helper()
	if err := w.Append(batch(lines...), true); err != nil {
		t.Fatal(err)
	}
}

// written writes batches to fresh segments, and closes them.
func written(t testing.TB, maxBytes int64, batches ...[]string) Config {
	t.Helper()
	cfg := config(t, maxBytes)
	w := opened(t, cfg)
	for _, lines := range batches {
		mustAppend(t, w, lines...)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// readAll is what Lines gives.
func readAll(cfg Config) (lines, faults []string) {
	for line, err := range Lines(cfg.Folder, cfg.Name) {
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		lines = append(lines, string(line))
	}
	return lines, faults
}

func wantLines(t *testing.T, cfg Config, want ...string) {
	t.Helper()
	lines, faults := readAll(cfg)
	if len(faults) > 0 {
		t.Errorf("Lines: %q", faults)
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func (c Config) path(number int) string { return filepath.Join(c.Folder, fileName(c.Name, number)) }

func content(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func put(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// names are the files of a folder.
func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// TestFormOnDisk computes the chain without the package, as somebody else's verifier
// would.
func TestFormOnDisk(t *testing.T) {
	cfg := written(t, 200, []string{`{"a":1}`, `{"b":2}`}, []string{`{"c":3}`}, []string{`{"d":4}`})
	header := `{"segment":{"form":1,"number":1}}` + "\n"
	begin := sha256.Sum256([]byte(header))
	first := sha256.Sum256([]byte(string(begin[:]) + `{"a":1}` + "\n" + `{"b":2}` + "\n"))
	second := sha256.Sum256([]byte(string(first[:]) + `{"c":3}` + "\n"))
	want := header + `{"a":1}` + "\n" + `{"b":2}` + "\n" + fmt.Sprintf(`{"seal":{"records":2,"sha256":"%x"}}`, first) + "\n" +
		`{"c":3}` + "\n" + fmt.Sprintf(`{"seal":{"records":1,"sha256":"%x"}}`, second) + "\n"
	if diff := cmp.Diff(want, string(content(t, cfg.path(1)))); diff != "" {
		t.Errorf("first segment (-want +got):\n%s", diff)
	}
	header = fmt.Sprintf(`{"segment":{"form":1,"number":2,"previous":"%x"}}`, second) + "\n"
	begin = sha256.Sum256([]byte(header))
	third := sha256.Sum256([]byte(string(begin[:]) + `{"d":4}` + "\n"))
	want = header + `{"d":4}` + "\n" + fmt.Sprintf(`{"seal":{"records":1,"sha256":"%x"}}`, third) + "\n"
	if diff := cmp.Diff(want, string(content(t, cfg.path(2)))); diff != "" {
		t.Errorf("second segment (-want +got):\n%s", diff)
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	folder := t.TempDir()
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"nothing", Config{}, "max_bytes: is not more than 0"},
		{"no folder", Config{Name: name, MaxBytes: 1}, "folder: is missing"},
		{"no name", Config{Folder: folder, MaxBytes: 1}, "name: is missing"},
		{"a name with a path in it", Config{Folder: folder, Name: "../decisions", MaxBytes: 1}, "name: is missing, or has more"},
		{"a hidden name", Config{Folder: folder, Name: ".decisions", MaxBytes: 1}, "name: is missing, or has more"},
		{"no size", Config{Folder: folder, Name: name}, "max_bytes: is not more than 0"},
		{"a negative size", Config{Folder: folder, Name: name, MaxBytes: -1}, "max_bytes: is not more than 0"},
		{"no such folder", Config{Folder: filepath.Join(folder, "none"), Name: name, MaxBytes: 1}, "name a folder that exists"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Open(test.cfg)
			var problems authz.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, want problems with %q", err, test.want)
			}
		})
	}
	if left := names(t, folder); len(left) > 0 {
		t.Errorf("what was refused left %q", left)
	}
}

func TestOnlyRegularFilesAreSegments(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for what, put := range map[string]func(path string) error{
		"a link to a file":  func(path string) error { return os.Symlink(elsewhere, path) },
		"a link to nothing": func(path string) error { return os.Symlink(elsewhere+"-not", path) },
		"a pipe":            func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":          func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(what, func(t *testing.T) {
			if err := os.WriteFile(elsewhere, []byte("not ours"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := written(t, 1, []string{"1"})
			if err := put(cfg.path(2)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Open(cfg); !strings.Contains(fmt.Sprint(err), "is not a regular file; move it away") {
				t.Errorf("Open = %v", err)
			}
			lines, faults := readAll(cfg)
			if !slices.Equal(lines, []string{"1"}) || len(faults) != 1 || !strings.Contains(faults[0], "00000002.jsonl: is not a regular file") {
				t.Errorf("Lines = %q and faults %q", lines, faults)
			}
			if text := content(t, elsewhere); string(text) != "not ours" {
				t.Errorf("what the link points at was changed to %q", text)
			}
		})
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	cfg := config(t, 1)
	others := []string{"decisions.jsonl", "decisions-1.jsonl", "decisions-000000001.jsonl", "decisions-00000000.jsonl",
		"decisions-0000000a.jsonl", "decisions-00000009.jsonl.gz", "decisions-inputs-00000009.jsonl", "xdecisions-00000009.jsonl"}
	for _, other := range others {
		put(t, filepath.Join(cfg.Folder, other), []byte("not ours"))
	}
	w := opened(t, cfg)
	mustAppend(t, w, "1")
	wantLines(t, cfg, "1")
	want := append(slices.Clone(others), ".decisions.lock", "decisions-00000001.jsonl")
	slices.Sort(want)
	if diff := cmp.Diff(want, names(t, cfg.Folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, other := range others {
		if text := content(t, filepath.Join(cfg.Folder, other)); string(text) != "not ours" {
			t.Errorf("%s holds %q", other, text)
		}
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	cfg := written(t, 1, []string{"1"}, []string{"2"})
	for _, file := range names(t, cfg.Folder) {
		status, err := os.Stat(filepath.Join(cfg.Folder, file))
		if err != nil {
			t.Fatal(err)
		}
		if status.Mode() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", file, status.Mode())
		}
	}
}

func TestLastNumberIsTheLast(t *testing.T) {
	cfg := config(t, 1)
	put(t, cfg.path(maxNumber), headerLine(maxNumber, sum{}))
	w := opened(t, cfg)
	mustAppend(t, w, "1")
	if err := w.Append(batch("2"), true); err == nil || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("Append behind the last number = %v", err)
	}
	wantLines(t, cfg, "1")
}
