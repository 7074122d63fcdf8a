package segment

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// three segments of one batch each.
func three(t *testing.T) Config {
	return written(t, 1, []string{"1", "one"}, []string{"2", "two"}, []string{"3", "three"})
}

func TestWhatWasDoneToSegmentsShows(t *testing.T) {
	other := written(t, 1, []string{"1"}, []string{"forged"}, []string{"3"})
	remove := func(number int) func(Config) error {
		return func(cfg Config) error { return os.Remove(cfg.path(number)) }
	}
	copied := func(from, to string) error {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o600)
	}
	tests := []struct {
		name  string
		do    func(Config) error
		lines string
		fault string
	}{
		{"nothing", func(Config) error { return nil }, "1 one 2 two 3 three", ""},
		{"the first was archived", remove(1), "2 two 3 three", ""},
		{"one in the middle is gone", remove(2), "1 one 3 three",
			"decisions-00000002.jsonl: is not there, and decisions-00000003.jsonl is"},
		{"one was replaced by another log's", func(cfg Config) error { return copied(other.path(2), cfg.path(2)) },
			"1 one forged 3 three", "decisions-00000002.jsonl, byte 112: does not continue the segment before it"},
		{"one stands in the place of another", func(cfg Config) error { return copied(cfg.path(1), cfg.path(2)) },
			"1 one 3 three", "decisions-00000002.jsonl, byte 0: what follows does not fit"},
		{"the last one stands twice", func(cfg Config) error { return copied(cfg.path(3), cfg.path(4)) },
			"1 one 2 two 3 three", "decisions-00000004.jsonl, byte 0: what follows does not fit"},
		{"the end of one is gone", func(cfg Config) error { return os.Truncate(cfg.path(1), 40) },
			"2 two 3 three", "decisions-00000001.jsonl, byte 34: is cut off"},
		{"one is empty", func(cfg Config) error { return os.Truncate(cfg.path(2), 0) },
			"1 one 3 three", "decisions-00000002.jsonl, byte 0: is cut off"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := three(t)
			if err := test.do(cfg); err != nil {
				t.Fatal(err)
			}
			lines, faults := readAll(cfg)
			if got := strings.Join(lines, " "); got != test.lines {
				t.Errorf("lines = %s, want %s", got, test.lines)
			}
			if test.fault == "" && len(faults) > 0 || test.fault != "" && (len(faults) == 0 || !strings.Contains(faults[0], test.fault)) {
				t.Errorf("faults = %q, want %q", faults, test.fault)
			}
		})
	}
}

// TestEveryFlippedByteOfASegmentInTheMiddleIsNoticed has no exception.
func TestEveryFlippedByteOfASegmentInTheMiddleIsNoticed(t *testing.T) {
	cfg := three(t)
	whole := content(t, cfg.path(2))
	for at := range whole {
		for _, change := range []byte{whole[at] ^ 1, whole[at] ^ 0x80, '\n'} {
			flipped := bytes.Clone(whole)
			flipped[at] = change
			if change == whole[at] {
				continue
			}
			put(t, cfg.path(2), flipped)
			lines, faults := readAll(cfg)
			if len(faults) == 0 || !strings.HasPrefix(faults[0], "decisions-00000002.jsonl, byte ") {
				t.Errorf("byte %d is %#x: faults = %q", at, change, faults)
			}
			if want := []string{"1", "one", "3", "three"}; !slices.Equal(lines, want) {
				t.Errorf("byte %d is %#x: lines = %q, want %q", at, change, lines, want)
			}
		}
	}
}

func TestReaderMayStop(t *testing.T) {
	cfg := three(t)
	put(t, cfg.path(2), bytes.Replace(content(t, cfg.path(2)), []byte("two"), []byte("TWO"), 1))
	all, faults := readAll(cfg)
	for want := range len(all) + len(faults) {
		given := 0
		for range Lines(cfg.Folder, cfg.Name) {
			if given++; given > want {
				break
			}
		}
		if given != want+1 {
			t.Errorf("Lines gave %d, want to stop at %d", given, want+1)
		}
	}
}

func TestFolderThatCannotBeReadIsAnError(t *testing.T) {
	cfg := Config{Folder: filepath.Join(t.TempDir(), "none"), Name: name}
	lines, faults := readAll(cfg)
	if len(lines) > 0 || len(faults) != 1 || !strings.Contains(faults[0], cfg.Folder) {
		t.Errorf("Lines = %q and faults %q, want one fault", lines, faults)
	}
}

// TestReadingWhileWriting reads all the while that segments are written: every time it
// finds the beginning of what was appended, and nothing wrong.
func TestReadingWhileWriting(t *testing.T) {
	const count = 600
	cfg := config(t, 2000)
	w := opened(t, cfg)
	line := func(n int) string { return fmt.Sprintf(`{"n":%d,"pad":%q}`, n, strings.Repeat("x", n%300)) }
	done := make(chan error, 1)
	go func() {
		for n := range count {
			if err := w.Append(batch(line(n)), false); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true // and read once more
		default:
		}
		lines, faults := readAll(cfg)
		if len(faults) > 0 {
			t.Fatalf("faults = %q", faults)
		}
		for n, got := range lines {
			if got != line(n) {
				t.Fatalf("line %d = %s, want %s", n, got, line(n))
			}
		}
		if ended && len(lines) != count {
			t.Errorf("%d lines, want %d", len(lines), count)
		}
	}
}

// changing is a file whose content is another each time it is read from a place.
type changing struct{ contents [][]byte }

func (c *changing) ReadAt(into []byte, at int64) (int, error) {
	now := c.contents[0]
	if len(c.contents) > 1 {
		c.contents = c.contents[1:]
	}
	if at >= int64(len(now)) {
		return 0, io.EOF
	}
	n := copy(into, now[at:])
	return n, nil
}

// TestBatchThatIsTakenBackWhileItIsReadIsNoDamage: a batch that had no room was cut off,
// and another written in its place, between two reads.
func TestBatchThatIsTakenBackWhileItIsReadIsNoDamage(t *testing.T) {
	long := strings.Repeat("2", 100)
	cfg := written(t, 1<<20, []string{"1"}, []string{long, "3"})
	now := content(t, cfg.path(1))
	first := len(content(t, written(t, 1<<20, []string{"1"}).path(1)))
	before := append(bytes.Clone(now[:first]), "of the batch before\n"...)
	file := &changing{contents: [][]byte{before, now}}
	var lines []string
	w := walk{name: name, number: 1, last: true, yield: func(line Line, err error) bool {
		if err != nil {
			t.Error(err)
			return true
		}
		lines = append(lines, string(line.Text))
		return true
	}}
	w.reader = read(file, chain{})
	if _, err := w.reader.header(1); err != nil {
		t.Fatal(err)
	}
	w.batches(file)
	if diff := cmp.Diff([]string{"1", long, "3"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestReadingGoesOnBehindAPlace reads on from each line of a log, of which a segment is
// damaged: what follows is given once, and what was told of before is not told again.
func TestReadingGoesOnBehindAPlace(t *testing.T) {
	cfg := three(t)
	text := content(t, cfg.path(2))
	if err := os.WriteFile(cfg.path(2), bytes.Replace(text, []byte("two"), []byte("owt"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	from := func(place Place) (told []string, places []Place) {
		for line, err := range After(cfg.Folder, cfg.Name, place) {
			if err != nil {
				told = append(told, "damage")
				continue
			}
			told, places = append(told, string(line.Text)), append(places, line.Place)
		}
		return told, places
	}
	whole, places := from(Place{})
	if got := strings.Join(whole, " "); got != "1 one damage 3 three" {
		t.Fatalf("the whole is %s", got)
	}
	for i, want := range []string{"one damage 3 three", "damage 3 three", "three", ""} {
		rest, _ := from(places[i])
		if got := strings.Join(rest, " "); got != want {
			t.Errorf("behind %v: %s, want %s", places[i], got, want)
		}
	}
}
