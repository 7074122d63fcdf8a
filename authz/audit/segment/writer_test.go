package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var errDisk = errors.New("the disk is on fire")

// fakeFile is a file on a disk that can be broken.
type fakeFile struct {
	file
	disk *fakeDisk
}

// fakeDisk is what is wrong with the disk.
type fakeDisk struct {
	// room is how many more bytes fit.
	room                         int
	short                        bool // of a full disk nothing is said
	createErr, syncErr, truncate error
	calls                        []string
}

func (f fakeFile) Write(text []byte) (int, error) {
	f.disk.calls = append(f.disk.calls, "write")
	fits := min(f.disk.room, len(text))
	f.disk.room -= fits
	n, err := f.file.Write(text[:fits])
	if err == nil && fits < len(text) && !f.disk.short {
		err = errDisk
	}
	return n, err
}

func (f fakeFile) Sync() error {
	f.disk.calls = append(f.disk.calls, "sync")
	return errors.Join(f.disk.syncErr, f.file.Sync())
}

func (f fakeFile) Truncate(size int64) error {
	f.disk.calls = append(f.disk.calls, "truncate")
	if f.disk.truncate != nil {
		return f.disk.truncate
	}
	return f.file.Truncate(size)
}

// onFakeDisk is fresh segments on a disk that works so far.
func onFakeDisk(t *testing.T, maxBytes int64) (*Writer, *fakeDisk) {
	w := opened(t, config(t, maxBytes))
	disk := &fakeDisk{room: 1 << 30}
	w.file = fakeFile{w.file, disk}
	w.create = func(path string) (file, error) {
		if disk.createErr != nil {
			return nil, disk.createErr
		}
		made, err := create(path)
		return fakeFile{made, disk}, err
	}
	return w, disk
}

func TestWhatIsDurableWhen(t *testing.T) {
	w, disk := onFakeDisk(t, 1<<20)
	steps := []struct {
		name string
		do   func() error
		want []string
	}{
		{"a durable batch", func() error { return w.Append(batch("1"), true) }, []string{"write", "sync"}},
		{"Sync with nothing to do", w.Sync, nil},
		{"a batch that can wait", func() error { return w.Append(batch("2"), false) }, []string{"write"}},
		{"Sync of it", w.Sync, []string{"sync"}},
		{"another that can wait", func() error { return w.Append(batch("3"), false) }, []string{"write"}},
		{"Close", w.Close, []string{"sync"}},
		{"a second Close", w.Close, nil},
	}
	for _, step := range steps {
		disk.calls = nil
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, disk.calls); diff != "" {
			t.Errorf("%s, calls (-want +got):\n%s", step.name, diff)
		}
	}
	wantLines(t, w.cfg, "1", "2", "3")
}

func TestFullDiskLeavesWholeBatches(t *testing.T) {
	seal, _ := chain{}.seal(batch("2", "3"))
	for _, short := range []bool{false, true} {
		for _, room := range []int{0, 1, 2, 5, 4 + len(seal) - 1} {
			t.Run(fmt.Sprintf("%d bytes left, short %v", room, short), func(t *testing.T) {
				w, disk := onFakeDisk(t, 1<<20)
				mustAppend(t, w, "1")
				disk.room, disk.short = room, short
				if err := w.Append(batch("2", "3"), true); err == nil {
					t.Fatal("Append on a full disk succeeds")
				}
				wantLines(t, w.cfg, "1")
				if err := w.Failed(); err != nil {
					t.Errorf("Failed = %v, although there may be room again", err)
				}
				disk.room = 1 << 20
				mustAppend(t, w, "4")
				wantLines(t, w.cfg, "1", "4")
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				mustAppend(t, opened(t, w.cfg), "5")
				wantLines(t, w.cfg, "1", "4", "5")
			})
		}
	}
}

func TestNothingIsTrustedAfterAFailedFsync(t *testing.T) {
	for name, fails := range map[string]func(*Writer) error{
		"of a batch": func(w *Writer) error { return w.Append(batch("3"), true) },
		"of Sync":    (*Writer).Sync,
		"of a segment that is full": func(w *Writer) error {
			w.cfg.MaxBytes = 1
			return w.Append(batch("3"), false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, disk := onFakeDisk(t, 1<<20)
			mustAppend(t, w, "1")
			if err := w.Append(batch("2"), false); err != nil {
				t.Fatal(err)
			}
			disk.syncErr = errDisk
			if err := fails(w); !errors.Is(err, errDisk) {
				t.Fatalf("error = %v, want %v", err, errDisk)
			}
			disk.syncErr, disk.calls = nil, nil
			for name, err := range map[string]error{
				"Append": w.Append(batch("4"), false), "Sync": w.Sync(), "Probe": w.Probe(0), "Failed": w.Failed(),
			} {
				if !errors.Is(err, errFailed) {
					t.Errorf("%s after a failed fsync = %v, want %v", name, err, errFailed)
				}
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			if len(disk.calls) > 0 {
				t.Errorf("calls after a failed fsync = %v, want none", disk.calls)
			}
			wantLines(t, w.cfg, "1", "2")
		})
	}
}

func TestBatchThatCannotBeCutOffIsTheLast(t *testing.T) {
	w, disk := onFakeDisk(t, 1<<20)
	mustAppend(t, w, "1")
	disk.room, disk.truncate = 10, errDisk
	if err := w.Append(batch("2", "3"), true); !errors.Is(err, errDisk) {
		t.Fatalf("Append = %v, want %v", err, errDisk)
	}
	disk.room, disk.truncate = 1<<20, nil
	for range 2 {
		if err := w.Append(batch("4"), true); err == nil || err != w.Failed() {
			t.Errorf("Append behind an unfinished batch = %v, Failed = %v", err, w.Failed())
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, found, err := Open(w.cfg)
	if err != nil || found != (Opened{Torn: 10}) {
		t.Errorf("Open = %+v, %v, want 10 bytes torn", found, err)
	}
	wantLines(t, w.cfg, "1")
}

func TestSegmentsFollowOneAnother(t *testing.T) {
	const segments = 30
	cfg := config(t, 100)
	w := opened(t, cfg)
	var want []string
	for n := range segments {
		if n%7 == 6 { // the chain goes on in another process
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w = opened(t, cfg)
		}
		line := fmt.Sprintf(`{"n":%d}`, n)
		if err := w.Append(batch(line, line), n%2 == 0); err != nil {
			t.Fatal(err)
		}
		want = append(want, line, line)
	}
	wantLines(t, cfg, want...)
	if files := names(t, cfg.Folder); len(files) != segments+1 {
		t.Errorf("files = %q, want %d segments and the lock", files, segments)
	}
}

func TestBatchIsNeverDivided(t *testing.T) {
	large := strings.Repeat("x", 10_000)
	cfg := written(t, 300, []string{"1"}, []string{large, large, large}, []string{"2"})
	wantLines(t, cfg, "1", large, large, large, "2")
	if n := bytes.Count(content(t, cfg.path(1)), []byte(large)); n != 3 {
		t.Errorf("the first segment has %d of the batch's 3 lines", n)
	}
	if n := bytes.Count(content(t, cfg.path(2)), []byte("\n")); n != 3 {
		t.Errorf("the second segment has %d lines, want header, line and seal", n)
	}
}

func TestSegmentThatCannotBeBegunIsTriedAgain(t *testing.T) {
	for name, breaks := range map[string]func(*fakeDisk){
		"no file can be made":        func(disk *fakeDisk) { disk.createErr = errDisk },
		"no room for the header":     func(disk *fakeDisk) { disk.room = 20 },
		"the header is not durable":  func(disk *fakeDisk) { disk.syncErr = errDisk },
		"no room, which nobody says": func(disk *fakeDisk) { disk.room, disk.short = 0, true },
	} {
		t.Run(name, func(t *testing.T) {
			w, disk := onFakeDisk(t, 1)
			mustAppend(t, w, "1")
			before := names(t, w.cfg.Folder)
			breaks(disk)
			for range 3 {
				if err := w.Append(batch("2"), true); err == nil {
					t.Fatal("Append succeeds, although its segment cannot be begun")
				}
			}
			if err := w.Failed(); err != nil {
				t.Errorf("Failed = %v", err)
			}
			if diff := cmp.Diff(before, names(t, w.cfg.Folder)); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
			wantLines(t, w.cfg, "1")
			*disk = fakeDisk{room: 1 << 20}
			mustAppend(t, w, "3")
			mustAppend(t, w, "4")
			wantLines(t, w.cfg, "1", "3", "4")
		})
	}
}

func TestSegmentThatIsNeitherBegunNorRemovedIsTheLast(t *testing.T) {
	w, disk := onFakeDisk(t, 1)
	mustAppend(t, w, "1")
	disk.room = 20
	made := w.create
	w.create = func(path string) (file, error) { // its name is gone when it is to be removed
		file, err := made(path)
		return file, errors.Join(err, os.Rename(path, path+".moved"))
	}
	if err := w.Append(batch("2"), true); !errors.Is(err, errDisk) {
		t.Fatalf("Append = %v, want %v", err, errDisk)
	}
	if err := w.Append(batch("3"), true); err == nil || err != w.Failed() {
		t.Errorf("Append = %v, Failed = %v", err, w.Failed())
	}
	put(t, w.cfg.path(2), content(t, w.cfg.path(2)+".moved"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w, found, err := Open(w.cfg)
	if err != nil || found != (Opened{Torn: 20}) {
		t.Fatalf("Open = %+v, %v, want the 20 bytes of the header torn", found, err)
	}
	t.Cleanup(func() { w.Close() })
	mustAppend(t, w, "4")
	wantLines(t, w.cfg, "1", "4")
}

func TestSegmentWhoseNameIsNotDurableIsTheLast(t *testing.T) {
	w, _ := onFakeDisk(t, 1)
	mustAppend(t, w, "1")
	made := w.create
	w.create = func(path string) (file, error) {
		file, err := made(path)
		return file, errors.Join(err, os.Rename(w.cfg.Folder, w.cfg.Folder+".moved"))
	}
	if err := w.Append(batch("2"), true); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Append = %v, want that the folder is not there", err)
	}
	if err := w.Failed(); err != errFailed {
		t.Errorf("Failed = %v, want %v", err, errFailed)
	}
}

func TestOnlyWholeLinesAreTaken(t *testing.T) {
	tests := []struct {
		name  string
		lines string
		want  error
	}{
		{"nothing", "", errNoLines},
		{"a line without its end", "1\n2", errUnended},
		{"an empty line", "1\n\n2\n", errEmpty},
		{"a seal", "1\n" + string(sealLine(1, sum{1})), errReserved},
		{"what begins as a seal", `{"seal":1}` + "\n", errReserved},
		{"a header", string(headerLine(2, sum{1})), errReserved},
		{"a line that is too long", strings.Repeat("x", MaxLine) + "\n", errLong},
		{"too much together", strings.Repeat(strings.Repeat("x", MaxLine-1)+"\n", 2) + "1\n", errBatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := opened(t, config(t, 1<<20))
			before := content(t, w.cfg.path(1))
			if err := w.Append([]byte(test.lines), true); err != test.want {
				t.Errorf("Append = %v, want %v", err, test.want)
			}
			if !bytes.Equal(before, content(t, w.cfg.path(1))) {
				t.Error("what was refused was written")
			}
		})
	}
}

func TestLongestBatchIsReadAgain(t *testing.T) {
	line := strings.Repeat("x", MaxLine-1)
	cfg := written(t, 1<<20, []string{line, line})
	wantLines(t, cfg, line, line)
	opened(t, cfg)
}

func TestProbeSaysWhetherThereIsRoomAndLeavesNothing(t *testing.T) {
	w, disk := onFakeDisk(t, 1<<20)
	mustAppend(t, w, "1")
	before := names(t, w.cfg.Folder)
	put(t, filepath.Join(w.cfg.Folder, ".decisions.probe"), []byte("of a process that was cut short"))
	for _, test := range []struct {
		name string
		disk fakeDisk
		size int
		want error
	}{
		{"a full disk", fakeDisk{room: 20 << 10}, 10, errDisk},
		{"a disk that cannot keep it", fakeDisk{room: 1 << 20, syncErr: errDisk}, 10, errDisk},
		{"a disk without files", fakeDisk{room: 1 << 20, createErr: errDisk}, 10, errDisk},
		{"room for a short batch, where a long one failed", fakeDisk{room: 1 << 20}, 2 << 20, errDisk},
		{"room again", fakeDisk{room: 1 << 20}, 10, nil},
		{"room for the longest batch", fakeDisk{room: MaxBatch + 1<<20}, 2 * MaxBatch, nil},
	} {
		*disk = test.disk
		if err := w.Probe(test.size); !errors.Is(err, test.want) {
			t.Errorf("%s: Probe = %v, want %v", test.name, err, test.want)
		}
		if diff := cmp.Diff(before, names(t, w.cfg.Folder)); diff != "" {
			t.Errorf("%s, files (-before +after):\n%s", test.name, diff)
		}
	}
	mustAppend(t, w, "2")
	wantLines(t, w.cfg, "1", "2")
}

func TestClosedWriterTakesNothing(t *testing.T) {
	w := opened(t, config(t, 1<<20))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Append": w.Append(batch("1"), true), "Sync": w.Sync(), "Probe": w.Probe(0)} {
		if err != errClosed {
			t.Errorf("%s = %v, want %v", name, err, errClosed)
		}
	}
	wantLines(t, w.cfg)
}

func BenchmarkAppend(b *testing.B) {
	w := opened(b, config(b, 64<<20))
	line := batch(`{"pad":"` + strings.Repeat("x", 1013) + `"}`)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Append(line, false); err != nil {
			b.Fatal(err)
		}
	}
}
