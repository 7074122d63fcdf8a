package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
)

var testKey = &secret.Key{ID: "k1", Secret: []byte("32 bytes that are kept a secret.")}

func find(id string) *secret.Key {
	if id == testKey.ID {
		return testKey
	}
	return nil
}

func entry() Entry {
	return Entry{
		ID: authz.DecisionID{7}, Time: time.Date(2026, 11, 21, 10, 0, 0, 123, time.UTC), Revision: "abc",
		Input: authz.Input{
			Document: []byte(`{"caller":{"subject":"ann","balance":1e400}}`),
			Reaches:  []string{"input.caller.subject", "input.objects"},
			Withheld: []string{"authorization"},
		},
	}
}

func seal(t *testing.T, v *Vault, e Entry) []byte {
	t.Helper()
	line, err := v.Seal(e)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestWhatIsSealedOpens(t *testing.T) {
	whole := entry()
	whole.Input.Withheld = nil
	nothing := entry() // a policy that reads nothing of the input
	nothing.Input.Reaches = []string{}
	asked := entry() // of others, too
	asked.Input.Answers = []byte(`{"http.send":{"[{}]":{"body":1e400}}}`)
	for name, want := range map[string]Entry{"with answers": asked, "with what was withheld": entry(), "of which nothing was": whole, "of a policy that reads nothing": nothing} {
		t.Run(name, func(t *testing.T) {
			v := New(t.TempDir(), testKey)
			line := seal(t, v, want)
			if bytes.Count(line, []byte("\n")) != 1 || !bytes.HasSuffix(line, []byte("\n")) || !json.Valid(line) {
				t.Errorf("Seal = %q, want one line of JSON", line)
			}
			got, err := Open(v.folder, want.ID, line, find)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingShowsOfWhatIsSealed(t *testing.T) {
	v := New(t.TempDir(), testKey)
	one, other := seal(t, v, entry()), seal(t, v, entry())
	if bytes.Equal(one, other) {
		t.Error("equal entries are sealed alike")
	}
	if err := filepath.WalkDir(v.folder, func(path string, _ os.DirEntry, err error) error {
		text, _ := os.ReadFile(path)
		one = append(one, text...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"ann", "balance", "YW5u" /* base64 of ann */, string(testKey.Secret)} {
		if bytes.Contains(one, []byte(hidden)) {
			t.Errorf("%q can be read", hidden)
		}
	}
}

func TestWhatWasChangedDoesNotOpen(t *testing.T) {
	v := New(t.TempDir(), testKey)
	good := seal(t, v, entry())
	var kept line
	if err := json.Unmarshal(good, &kept); err != nil {
		t.Fatal(err)
	}
	for at := range kept.Sealed {
		changed := kept
		changed.Sealed = bytes.Clone(kept.Sealed)
		changed.Sealed[at] ^= 1
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(v.folder, entry().ID, text, find); !errors.Is(err, ErrDamaged) {
			t.Fatalf("Open with byte %d changed = %v, want %v", at, err, ErrDamaged)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	v := New(t.TempDir(), testKey)
	good := seal(t, v, entry())
	moved := bytes.Replace(good, []byte(entry().ID.String()), []byte(authz.DecisionID{8}.String()), 1)
	for _, test := range []struct {
		name string
		text []byte
		id   authz.DecisionID
		keys func(string) *secret.Key
		want error
	}{
		{"the input of another decision", good, authz.DecisionID{8}, find, ErrOther},
		{"an input put in another's place", moved, authz.DecisionID{8}, find, ErrDamaged},
		{"a destroyed key", good, entry().ID, func(string) *secret.Key { return nil }, ErrNoKey},
		{"another key", good, entry().ID, func(string) *secret.Key { return &secret.Key{ID: "k1", Secret: make([]byte, secret.Size)} }, ErrDamaged},
		{"no line", []byte("{"), entry().ID, find, ErrDamaged},
		{"nothing sealed", []byte(`{"id":"` + entry().ID.String() + `","key":"k1","sealed":"AAAA"}`), entry().ID, find, ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := Open(v.folder, test.id, test.text, test.keys); !errors.Is(err, test.want) || got.Input.Document != nil {
				t.Errorf("Open = %+v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// TestReachIsWhatItIsNamed takes away, and changes, what says which facts an input
// holds: without it a policy could be decided again on facts that are missing.
func TestReachIsWhatItIsNamed(t *testing.T) {
	v := New(t.TempDir(), testKey)
	line := seal(t, v, entry())
	names, err := filepath.Glob(filepath.Join(v.folder, "reach-*.json"))
	if err != nil || len(names) != 1 {
		t.Fatalf("files of reaches: %q, %v; want one", names, err)
	}
	for name, spoil := range map[string]func() error{
		"changed": func() error { return os.WriteFile(names[0], []byte(`["input.caller.subject"]`), 0o600) },
		"null":    func() error { return os.WriteFile(names[0], []byte(`null`), 0o600) },
		"missing": func() error { return os.Remove(names[0]) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(v.folder, entry().ID, line, find); err == nil || !strings.Contains(err.Error(), names[0]) {
			t.Errorf("Open with the file %s = %v, want an error that names it", name, err)
		}
		seal(t, New(v.folder, testKey), entry())
		if _, err := Open(v.folder, entry().ID, line, find); err != nil {
			t.Errorf("Open after the file was made anew = %v", err)
		}
	}
}

func TestSealFailsWhereItsReachCannotBeKept(t *testing.T) {
	v := New(filepath.Join(t.TempDir(), "absent"), testKey)
	if line, err := v.Seal(entry()); err == nil {
		t.Errorf("Seal = %q, want an error", line)
	}
}

func TestWhatWasLeftUnfinishedIsRemoved(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{".reach-123", ".inputs.lock"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	New(folder, testKey)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || entries[0].Name() != ".inputs.lock" {
		t.Errorf("files: %v, %v; want the one that is not the vault's", entries, err)
	}
}

func BenchmarkSeal(b *testing.B) {
	v := New(b.TempDir(), testKey)
	e := entry()
	e.Input.Document = []byte(`{"caller":"` + strings.Repeat("x", 2000) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Seal(e); err != nil {
			b.Fatal(err)
		}
	}
}

// TestManyLinesAreOpenedAsEach holds a Reader, which remembers keys and reaches, against
// Open, which does not.
func TestManyLinesAreOpenedAsEach(t *testing.T) {
	v, other := New(t.TempDir(), testKey), &secret.Key{ID: "k2", Secret: make([]byte, secret.Size)}
	gone := New(v.folder, other)
	further := entry()
	further.ID, further.Input.Reaches = authz.DecisionID{8}, []string{"input"}
	asked := 0
	reader := NewReader(v.folder, func(id string) *secret.Key {
		asked++
		return find(id)
	})
	for range 3 {
		for _, want := range []Entry{entry(), further} {
			got, err := reader.Open(seal(t, v, want))
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("Open: %v (-want +got):\n%s", err, diff)
			}
			got, err = reader.Open(seal(t, gone, want))
			if !errors.Is(err, ErrNoKey) || got.ID != want.ID || got.Input.Document != nil {
				t.Errorf("Open without the key = %v, %v, want the id alone and ErrNoKey", got, err)
			}
		}
	}
	if asked != 2 {
		t.Errorf("keys were looked for %d times, want once for each", asked)
	}
	for _, line := range []string{"", "{}", `{"id":"ann"}`, `{"id":"6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab","key":"k1","sealed":""}`} {
		if got, err := reader.Open([]byte(line)); !errors.Is(err, ErrDamaged) || got.Input.Document != nil {
			t.Errorf("Open(%s) = %v, %v, want ErrDamaged", line, got, err)
		}
	}
}
