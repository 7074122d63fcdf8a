package secret

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pseudonym.key")
	var problems authz.Problems
	made := Open(path, "key", &problems)
	again := Open(path, "key", &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if !made.Made || again.Made {
		t.Errorf("made at the first start: %v, at the second: %v", made.Made, again.Made)
	}
	if again.ID != made.ID || !bytes.Equal(again.Secret, made.Secret) {
		t.Errorf("the key after a restart is %v, want %v", again.ID, made.ID)
	}
	status, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if status.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key = %v, want 0600", status.Mode())
	}
	elsewhere := Open(filepath.Join(t.TempDir(), "pseudonym.key"), "key", &problems)
	if elsewhere.ID == made.ID || bytes.Equal(elsewhere.Secret, made.Secret) {
		t.Error("two keys are the same")
	}
}

// TestKeyIsNeverSeenUnfinished has many make the same key at once: each of them could be
// one that is killed at that moment.
func TestKeyIsNeverSeenUnfinished(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "pseudonym.key")
		var all sync.WaitGroup
		ids := make(chan string, 8)
		for range cap(ids) {
			all.Go(func() {
				var problems authz.Problems
				if key := Open(path, "key", &problems); key == nil {
					t.Error(problems)
				} else {
					ids <- key.ID
				}
			})
		}
		all.Wait()
		close(ids)
		first := <-ids
		for id := range ids {
			if id != first {
				t.Fatalf("keys %s and %s at one path", first, id)
			}
		}
	}
}

// TestNothingIsLeftOfMakingAKey leaves behind what kills do: a key that was not yet
// linked, and a second name of the one that is there.
func TestNothingIsLeftOfMakingAKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pseudonym.key")
	begun := filepath.Join(filepath.Dir(path), ".pseudonym.key.1")
	if err := os.WriteFile(begun, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var problems authz.Problems
	made := Open(path, "key", &problems)
	if made == nil {
		t.Fatal(problems)
	}
	if err := os.Link(path, begun); err != nil {
		t.Fatal(err)
	}
	if again := Open(path, "key", &problems); again == nil || again.ID != made.ID {
		t.Fatalf("the key after a restart is %v, %v, want %v", again, problems, made.ID)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files: %v, %v; want the key alone", entries, err)
	}
}

func TestReadMakesNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pseudonym.key")
	var problems authz.Problems
	if key := Read(path, "key", &problems); key != nil || len(problems) != 1 || problems[0].Fix == "" {
		t.Errorf("Read of no file = %v, %v; want a problem", key, problems)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after Read: %v, want no file", err)
	}
}

func TestFaultyKeyFilesAreRefused(t *testing.T) {
	const secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	tests := []struct {
		name string
		text string
		mode os.FileMode
		want string
	}{
		{"a good one is taken", `{"id":"k1","key":"` + secret + `"}`, 0o600, ""},
		{"read-only is enough", `{"id":"k1","key":"` + secret + `"}`, 0o400, ""},
		{"its group can read it", `{"id":"k1","key":"` + secret + `"}`, 0o640, "key: can be read"},
		{"everybody can read it", `{"id":"k1","key":"` + secret + `"}`, 0o604, "key: can be read"},
		{"its group can write it", `{"id":"k1","key":"` + secret + `"}`, 0o620, "key: can be read"},
		{"empty", "", 0o600, "key: does not hold"},
		{"cut short", `{"id":"k1","ke`, 0o600, "key: does not hold"},
		{"no id", `{"key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"an id that is no word", `{"id":"k.1","key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"an id without end", `{"id":"` + strings.Repeat("k", 33) + `","key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"a short key", `{"id":"k1","key":"MDEy"}`, 0o600, "key: does not hold"},
		{"an unknown member", `{"id":"k1","kye":"","key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"two of them", `{"id":"k1","key":"` + secret + `"}{}`, 0o600, "key: does not hold"},
		{"a file without end", strings.Repeat(" ", maxFile) + `{"id":"k1","key":"` + secret + `"}`, 0o600, "key: does not hold"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pseudonym.key")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			var problems authz.Problems
			Open(path, "key", &problems)
			if got := problems.Error(); !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
				t.Errorf("problems = %q, want %q…", got, test.want)
			}
			if strings.Contains(problems.Error(), secret) {
				t.Error("a problem's text holds the key")
			}
		})
	}
}

// TestKeysBeforeAreFound moves keys away, as their rotation does.
func TestKeysBeforeAreFound(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a[b]") // what a pattern would take for another
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "input.key")
	var problems authz.Problems
	before := Open(path, "key", &problems)
	if err := os.Rename(path, filepath.Join(folder, "input-2026.key")); err != nil {
		t.Fatal(err)
	}
	now := Open(path, "key", &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, key := range []*Key{before, now} {
		if found := Find(path, key.ID); found == nil || !bytes.Equal(found.Secret, key.Secret) {
			t.Errorf("Find(%q) = %v, want the key", key.ID, found)
		}
	}
	if err := os.Remove(filepath.Join(folder, "input-2026.key")); err != nil {
		t.Fatal(err)
	}
	if found := Find(path, before.ID); found != nil {
		t.Errorf("Find of a destroyed key = %v, want none", found)
	}
}
