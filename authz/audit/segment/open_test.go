package segment

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// batches are what the tests that break files byte by byte write.
var batches = [][]string{{`{"a":1}`, `{"b":2}`}, {`{"c":3}`}}

// sealedIn is the lines of all batches whose seals are in a prefix of a segment.
func sealedIn(prefix []byte) []string {
	complete := bytes.Count(prefix, []byte(`"}}`+"\n"))
	return slices.Concat(batches[:complete]...)
}

func TestSecondWriterIsRefused(t *testing.T) {
	cfg := config(t, 1<<20)
	w := opened(t, cfg)
	mustAppend(t, w, "1")
	if _, _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "another process writes to it; stop that process") {
		t.Errorf("Open beside another = %v", err)
	}
	other := cfg
	other.Name = "inputs"
	mustAppend(t, opened(t, other), "of another name")
	mustAppend(t, w, "2")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, opened(t, cfg), "3")
	wantLines(t, cfg, "1", "2", "3")
}

// TestClosedWriterLetsTheLockGo holds it while another has the lock's file open still, as a
// process that was just forked has.
func TestClosedWriterLetsTheLockGo(t *testing.T) {
	cfg := config(t, 1<<20)
	w := opened(t, cfg)
	forked, err := syscall.Dup(int(w.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(forked)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	opened(t, cfg)
}

func TestRefusedOpenLetsTheLockGo(t *testing.T) {
	cfg := config(t, 1<<20)
	if err := os.Mkdir(cfg.path(1), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(cfg); err == nil {
		t.Fatal("Open succeeds on a folder in the place of a segment")
	}
	if err := os.Remove(cfg.path(1)); err != nil {
		t.Fatal(err)
	}
	opened(t, cfg)
}

func TestEveryPrefixOpens(t *testing.T) {
	whole := content(t, written(t, 1<<20, batches...).path(1))
	for end := range len(whole) + 1 {
		t.Run(fmt.Sprintf("%d bytes", end), func(t *testing.T) { testPrefix(t, whole[:end], sealedIn(whole[:end])) })
	}
}

// TestEveryPrefixWithZerosIsTorn: some file systems leave zeros in the place of what
// they could not write.
func TestEveryPrefixWithZerosIsTorn(t *testing.T) {
	whole := content(t, written(t, 1<<20, batches...).path(1))
	for end := range len(whole) + 1 {
		zeros := append(bytes.Clone(whole[:end]), make([]byte, 100)...)
		if err := read(bytes.NewReader(zeros), chain{}).all(1); err != errTorn {
			t.Errorf("%d bytes and zeros: %v, want %v", end, err, errTorn)
		}
	}
}

func testPrefix(t *testing.T, cut []byte, want []string) {
	cfg := Config{Folder: t.TempDir(), Name: name, MaxBytes: 1 << 20}
	put(t, cfg.path(1), cut)
	good := bytes.IndexByte(cut, '\n') + 1 // behind the last seal, or the header
	if last := bytes.LastIndex(cut, []byte(`"}}`+"\n")); last >= 0 {
		good = last + 4
	}
	lines, faults := readAll(cfg)
	if len(faults) > 0 || !slices.Equal(lines, want) {
		t.Errorf("Lines before Open = %q and faults %q, want %q", lines, faults, want)
	}
	w, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if found != (Opened{Torn: int64(len(cut) - good)}) {
		t.Errorf("Open found %+v, want %d bytes torn", found, len(cut)-good)
	}
	mustAppend(t, w, "more")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	opened(t, cfg)
	wantLines(t, cfg, append(slices.Clone(want), "more")...)
}

// TestEveryFlippedByteIsNoticed changes every byte of a segment. What a seal stood for
// before the change is never cut off, but for one case that looks like a batch whose
// seal had not been written: when what marks the last seal is changed.
func TestEveryFlippedByteIsNoticed(t *testing.T) {
	whole := content(t, written(t, 1<<20, batches...).path(1))
	lastSeal := bytes.LastIndex(whole, sealStart)
	for at := range whole {
		unmarked := at >= lastSeal && at < lastSeal+len(sealStart)
		flipped := bytes.Clone(whole)
		for _, flipped[at] = range []byte{whole[at] ^ 0x80, whole[at] ^ 2, '\n'} {
			err := read(bytes.NewReader(flipped), chain{}).all(1)
			if whole[at] != flipped[at] && err != errDamaged && !unmarked {
				t.Errorf("byte %d is %#x: %v, want %v", at, flipped[at], err, errDamaged)
			}
		}
		flipped[at] = whole[at] ^ 1
		t.Run(fmt.Sprintf("byte %d", at), func(t *testing.T) { testFlip(t, flipped, at, unmarked) })
	}
}

func testFlip(t *testing.T, flipped []byte, at int, unmarked bool) {
	cfg := Config{Folder: t.TempDir(), Name: name, MaxBytes: 1 << 20}
	put(t, cfg.path(1), flipped)
	want := sealedIn(flipped[:at])
	lines, faults := readAll(cfg)
	if !slices.Equal(lines, want) {
		t.Errorf("Lines = %q, want %q", lines, want)
	}
	if len(faults) == 0 && !unmarked {
		t.Error("Lines notices nothing")
	}
	w, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case found == (Opened{}):
		t.Error("Open notices nothing")
	case found.Damaged == "" && !unmarked:
		t.Errorf("Open found %+v, want damage", found)
	case found.Damaged != "" && !bytes.Equal(flipped, content(t, cfg.path(1))):
		t.Error("Open changed a segment that it calls damaged")
	}
	mustAppend(t, w, "more")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines, after := readAll(cfg)
	if diff := cmp.Diff(append(want, "more"), lines); diff != "" {
		t.Errorf("lines after Open (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(faults, after); diff != "" {
		t.Errorf("faults (-before +after Open):\n%s", diff)
	}
}

func TestDamageIsLeftAndTheChainGoesOn(t *testing.T) {
	cfg := written(t, 1<<20, batches...)
	damaged := bytes.Replace(content(t, cfg.path(1)), []byte(`{"c":3}`), []byte(`{"c":7}`), 1)
	put(t, cfg.path(1), damaged)
	w, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	good := len(bytes.SplitAfter(damaged, []byte(`"}}`+"\n"))[0])
	if want := (Opened{Damaged: fmt.Sprintf("decisions-00000001.jsonl, byte %d", good)}); found != want {
		t.Errorf("Open found %+v, want %+v", found, want)
	}
	if !bytes.Equal(damaged, content(t, cfg.path(1))) {
		t.Error("the damaged segment was changed")
	}
	marks := bytes.Split(damaged, []byte(`"sha256":"`))
	last := marks[len(marks)-1][:64]
	if header := content(t, cfg.path(2)); !bytes.Contains(header, last) {
		t.Errorf("header = %s, want the last seal %s in it", header, last)
	}
}

func TestHeaderThatWasCutShortIsWrittenAgain(t *testing.T) {
	from := written(t, 1, []string{"1"}, []string{"2"})
	first, header := content(t, from.path(1)), content(t, from.path(2))
	header = header[:bytes.IndexByte(header, '\n')+1]
	for end := range len(header) {
		cfg := config(t, 1)
		put(t, cfg.path(1), first)
		put(t, cfg.path(2), header[:end])
		w, found, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if found != (Opened{Torn: int64(end)}) {
			t.Errorf("Open of %d bytes of a header found %+v", end, found)
		}
		if again := content(t, cfg.path(2)); !bytes.Equal(header, again) {
			t.Errorf("header = %s, want %s", again, header)
		}
		mustAppend(t, w, "3")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantLines(t, cfg, "1", "3")
	}
}

// TestHugeFilesAreDamaged holds that a file without end is neither kept in memory nor
// taken for a batch that was cut short.
func TestHugeFilesAreDamaged(t *testing.T) {
	header := headerLine(1, sum{})
	line := append(bytes.Repeat([]byte("x"), 1023), '\n')
	full := append(bytes.Clone(header), bytes.Repeat(line, MaxBatch/len(line))...)
	for name, grow := range map[string]struct {
		begin []byte
		size  int64
	}{
		"a line without end":      {header, MaxLine + 1<<20},
		"a header without end":    {nil, 1 << 20},
		"a batch without a seal":  {append(bytes.Clone(full), line...), 0},
		"a batch and a long rest": {full, MaxBatch + 1<<20},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, 1<<20)
			put(t, cfg.path(1), grow.begin)
			if grow.size > 0 {
				if err := os.Truncate(cfg.path(1), grow.size); err != nil {
					t.Fatal(err)
				}
			}
			w, found, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close() })
			if found.Damaged == "" {
				t.Errorf("Open found %+v, want damage", found)
			}
		})
	}
}

// FuzzOpen opens a segment that is whole up to some byte, with anything behind it.
func FuzzOpen(f *testing.F) {
	whole := content(f, written(f, 1<<20, batches...).path(1))
	f.Add(0, []byte{})
	f.Add(0, whole)
	f.Add(len(whole)/2, whole[len(whole)/2+1:])
	f.Add(len(whole), []byte(`{"g":7}`+"\n"+`{"seal":{"records":1,"sha256":"`))
	f.Add(len(whole), sealLine(1, sum{}))
	f.Add(len(whole)-1, []byte("\n\x00\x00"))
	f.Fuzz(func(t *testing.T, end int, rest []byte) {
		prefix := whole[:min(max(end, 0), len(whole))]
		cfg := Config{Folder: t.TempDir(), Name: name, MaxBytes: 1 << 20}
		put(t, cfg.path(1), append(bytes.Clone(prefix), rest...))
		before, faults := readAll(cfg)
		if sealed := sealedIn(prefix); len(before) < len(sealed) || !slices.Equal(before[:len(sealed)], sealed) {
			t.Errorf("Lines = %q, want %q first", before, sealed)
		}
		w, found, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if (found.Damaged != "") != (len(faults) > 0) {
			t.Errorf("Open found %+v, and Lines %q", found, faults)
		}
		mustAppend(t, w, "more")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		opened(t, cfg)
		after, again := readAll(cfg)
		if diff := cmp.Diff(append(before, "more"), after); diff != "" {
			t.Errorf("lines (-before +after Open):\n%s", diff)
		}
		if diff := cmp.Diff(faults, again); diff != "" {
			t.Errorf("faults (-before +after Open):\n%s", diff)
		}
	})
}
