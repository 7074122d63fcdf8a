package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// heldDisk is a disk whose fsync takes until release is called, and then no time.
func heldDisk() (disk *fakeFiles, release func()) {
	held := make(chan struct{})
	return &fakeFiles{room: 1 << 30, slow: func() { <-held }}, sync.OnceFunc(func() { close(held) })
}

func allowOf(n int) authz.Record {
	record := allow()
	record.Decision.ID = authz.DecisionID{byte(n >> 8), byte(n)}
	return record
}

func TestAllThatWaitShareOneFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, release := heldDisk()
		log := started(t, disk)
		const records = 50
		var answered sync.WaitGroup
		done := make(chan error, records)
		for n := range records {
			answered.Go(func() { done <- keep(log, allowOf(n)) })
			if n == 0 {
				synctest.Wait() // the first one's fsync has begun
			}
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Errorf("%d records were answered before any fsync", len(done))
		}
		release()
		answered.Wait()
		for range records {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff([]string{"write", "sync", "write", "sync"}, disk.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if lines := bytes.Count(disk.content, []byte("\n")); lines != records {
			t.Errorf("%d records in the log, want %d", lines, records)
		}
	})
}

func TestFailedBatchIsRefusedWhole(t *testing.T) {
	for name, breaks := range map[string]func(*fakeFiles){
		"no room for all of it": func(disk *fakeFiles) { disk.makeRoom(3000) },
		"a failed fsync":        func(disk *fakeFiles) { disk.slow = func() { disk.syncErr = errDisk } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, release := heldDisk()
				log := started(t, disk)
				var all sync.WaitGroup
				all.Go(func() {
					if err := keep(log, allowOf(0)); err != nil {
						t.Errorf("Record of the batch before = %v", err)
					}
				})
				synctest.Wait()
				for n := range 10 {
					all.Go(func() {
						if err := keep(log, allowOf(n+1)); !errors.Is(err, errDisk) {
							t.Errorf("Record = %v, want %v", err, errDisk)
						}
					})
				}
				synctest.Wait()
				breaks(disk)
				release()
				all.Wait()
				if want := lineOf(t, allowOf(0)) + "\n"; string(disk.content) != want {
					t.Errorf("content = %q, want the first record alone", disk.content)
				}
			})
		})
	}
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	for name, queue := range map[string]struct{ entries, bytes int }{"of records": {maxWaiting, 3}, "of bytes": {4, maxQueued / 4}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, release := heldDisk()
				log := started(t, disk)
				var first sync.WaitGroup
				first.Go(func() { keep(log, allow()) })
				synctest.Wait()
				for range queue.entries {
					line := append(bytes.Repeat([]byte("x"), queue.bytes-1), '\n')
					if err := log.enqueue(t.Context(), &entry{line: line, done: make(chan error, 1)}); err != nil {
						t.Fatal(err)
					}
				}
				if err := keep(log, allow()); !errors.Is(err, errFull) {
					t.Errorf("Record behind %d others = %v, want %v", queue.entries, err, errFull)
				}
				release()
				first.Wait()
				synctest.Wait()
				if err := keep(log, allow()); err != nil {
					t.Errorf("Record when none wait any more = %v", err)
				}
			})
		})
	}
}

func TestWhatWaitedTooLongIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, release := heldDisk()
		log := started(t, disk)
		var first sync.WaitGroup
		first.Go(func() { keep(log, allowOf(0)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := log.Record(ctx, allowOf(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Record behind a slow fsync = %v, want %v", err, context.DeadlineExceeded)
		}
		release()
		first.Wait()
		synctest.Wait()
		if want := lineOf(t, allowOf(0)) + "\n"; string(disk.content) != want {
			t.Errorf("content = %q, want the first record alone", disk.content)
		}
	})
}

const abandonedLine = `{"abandoned":true,"allowed":false,"api":"accounts","id":"00070000-0000-0000-0000-000000000000",` +
	`"interactionId":"c770aef3-6784-41f7-8e0e-ff5f97bddb3a","method":"GET",` +
	`"operation":"GetAccount","path":"/accounts/{AccountId}","reason":"not_recorded","revision":"sha256:abc","status":503,` +
	`"time":"2026-11-20T09:00:00.000000123Z","traceId":"0af7651916cd43dd8448eb211c80319c"}` + "\n"

func TestWhatBecameDurableTooLateIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, release := heldDisk()
		log := started(t, disk)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := log.Record(ctx, allowOf(7)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Record while its fsync is slow = %v, want %v", err, context.DeadlineExceeded)
		}
		release()
		synctest.Wait()
		if diff := cmp.Diff(lineOf(t, allowOf(7))+"\n"+abandonedLine, string(disk.content)); diff != "" {
			t.Errorf("content (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"write", "sync", "write", "sync"}, disk.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestAbandonedRecordIsOwedUntilThereIsRoom(t *testing.T) {
	for name, end := range map[string]func(*Log){
		"then it is written soon":   func(*Log) { time.Sleep(pause); synctest.Wait() },
		"or before the next record": func(log *Log) { keep(log, allowOf(8)) },
		"or when the log is closed": func(log *Log) { log.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, release := heldDisk()
				log := started(t, disk)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				if err := log.Record(ctx, allowOf(7)); err == nil {
					t.Fatal("Record = nil error")
				}
				disk.makeRoom(20)
				release()
				synctest.Wait()
				late := lineOf(t, allowOf(7)) + "\n"
				if string(disk.content) != late {
					t.Fatalf("content of a full disk = %q, want the late record alone", disk.content)
				}
				disk.makeRoom(1 << 20)
				end(log)
				if want := []byte(late + abandonedLine); !bytes.HasPrefix(disk.content, want) {
					t.Errorf("content = %q, want it to begin with %q", disk.content, want)
				}
			})
		})
	}
}

func TestCloseKeepsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, release := heldDisk()
		log := started(t, disk)
		var all sync.WaitGroup
		for n := range 3 {
			all.Go(func() {
				if err := keep(log, allowOf(n)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		all.Go(func() { log.Close() })
		synctest.Wait()
		if err := keep(log, allowOf(3)); !errors.Is(err, errClosed) {
			t.Errorf("Record while the log closes = %v, want %v", err, errClosed)
		}
		release()
		all.Wait()
		if lines := bytes.Count(disk.content, []byte("\n")); lines != 3 {
			t.Errorf("%d records in the log, want 3", lines)
		}
	})
}

// TestCloseKeepsAllThatWaitsOfABufferedLog holds it for more than a few commits take, and
// that what cannot be written then is told.
func TestCloseKeepsAllThatWaitsOfABufferedLog(t *testing.T) {
	const entries = 10
	line := append(bytes.Repeat([]byte("x"), maxCommit/3), '\n')
	for name, test := range map[string]struct {
		room, kept int
		want       string
	}{
		"with room":                {1 << 30, entries, ""},
		"with room for less":       {maxCommit * 3 / 2, 3, "7 records could not be written: "},
		"with room for nothing":    {0, 0, "10 records could not be written: "},
		"with room for all but it": {entries*len(line) - 1, 9, "1 records could not be written: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &fakeFiles{room: test.room}
				log := &Log{key: testKey, buffered: true}
				for range entries { // before the writer begins
					log.waiting = append(log.waiting, &entry{line: line})
				}
				log.start(disk, nil)
				err := log.Close()
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("Close = %v, want %q", err, test.want)
				}
				if got := len(disk.content) / len(line); got != test.kept {
					t.Errorf("%d records are kept, want %d", got, test.kept)
				}
			})
		})
	}
}

func TestWhatIsAbandonedWhileTheLogClosesIsSaid(t *testing.T) {
	for range 20 { // whether the writer sees the record or the close first is chance
		synctest.Test(t, func(t *testing.T) {
			disk := &fakeFiles{room: 1 << 20, slow: func() { time.Sleep(10 * time.Millisecond) }}
			log := started(t, disk)
			var all sync.WaitGroup
			all.Go(func() { keep(log, allowOf(0)) })
			synctest.Wait()
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Millisecond)
				defer cancel()
				if err := log.Record(ctx, allowOf(7)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Record = %v, want %v", err, context.DeadlineExceeded)
				}
			})
			synctest.Wait()
			log.Close()
			all.Wait()
			if !bytes.HasSuffix(disk.content, []byte(abandonedLine)) {
				t.Errorf("content = %q, want it to end with %q", disk.content, abandonedLine)
			}
		})
	}
}

// endingContext ends just after the record was kept, and before Record looks.
type endingContext struct {
	context.Context
	asked int
	done  chan struct{}
	keep  func()
}

func (c *endingContext) Done() <-chan struct{} {
	if c.asked++; c.asked == 2 {
		c.keep()
		close(c.done)
	}
	return c.done
}

func (c *endingContext) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestWhatWasKeptInTimeIsToldThoughTimeEnds(t *testing.T) {
	for range 50 { // of two channels that are ready, select takes either
		log := &Log{key: testKey, wake: make(chan struct{}, 1)} // without a writer
		ctx := &endingContext{Context: t.Context(), done: make(chan struct{}), keep: func() {
			if late := log.settle(log.take(maxCommit), nil); len(late) > 0 {
				t.Error("the record is late")
			}
		}}
		if err := log.Record(ctx, allow()); err != nil {
			t.Fatalf("Record = %v, although it was kept and nobody will take it back", err)
		}
	}
}

// TestRecordAndAnswerAgree holds, for callers whose time ends at any moment of a
// commit, that the last record of a decision says what Record told.
func TestRecordAndAnswerAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 30, slow: func() { time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond) }}
		log := started(t, disk)
		const callers, each = 20, 50
		var mu sync.Mutex
		answers := map[string]bool{}
		var group sync.WaitGroup
		for caller := range callers {
			group.Go(func() {
				for i := range each {
					record := allowOf(caller*each + i)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(6))*time.Millisecond)
					err := log.Record(ctx, record)
					cancel()
					mu.Lock()
					answers[record.Decision.ID.String()] = err == nil
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		last := lastRecords(t, disk.content)
		kept, abandoned := 0, 0
		for id, allowed := range answers {
			record, found := last[id]
			if record.Allowed != allowed || record.Abandoned != (found && !allowed) {
				t.Errorf("decision %s: answered %v, recorded %+v", id, allowed, record)
			}
			if allowed {
				kept++
			}
			if record.Abandoned {
				abandoned++
			}
		}
		if kept == 0 || abandoned == 0 || kept+abandoned == len(answers) {
			t.Errorf("%d kept and %d abandoned of %d: not all ways were taken", kept, abandoned, len(answers))
		}
	})
}

type readRecord struct {
	ID, Reason, Time, Until string
	InputOmitted            string
	Allowed, Abandoned      bool
	Count, Status           int
}

func parseLines(t *testing.T, content []byte) (records []readRecord) {
	t.Helper()
	for line := range bytes.Lines(content) {
		var record readRecord
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		records = append(records, record)
	}
	return records
}

// lastRecords is the last record of each decision.
func lastRecords(t *testing.T, content []byte) map[string]readRecord {
	t.Helper()
	last := map[string]readRecord{}
	for _, record := range parseLines(t, content) {
		last[record.ID] = record
	}
	return last
}

// BenchmarkRecord is the time for a record, by how many are written at once.
func BenchmarkRecord(b *testing.B) {
	for _, durability := range []Durability{Durable, Buffered} {
		for _, writers := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/writers=%d", durability, writers), func(b *testing.B) {
				keys := b.TempDir()
				log, err := Open(Config{Folder: b.TempDir(), Durability: durability, Inputs: NoInputs,
					PseudonymKey: filepath.Join(keys, "key")})
				if err != nil {
					b.Fatal(err)
				}
				defer log.Close()
				recordBy(b, writers, log)
			})
		}
	}
}

// recordBy shares b.N records among writers, and tells how long one took at the
// median and at worst but one in a hundred.
func recordBy(b *testing.B, writers int, to authz.Recorder) {
	b.ReportAllocs()
	took := make([]time.Duration, b.N)
	next := make(chan int, b.N)
	for n := range b.N {
		next <- n
	}
	close(next)
	b.ResetTimer()
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			record := allow()
			for n := range next {
				began := time.Now()
				if err := to.Record(context.Background(), record); err != nil {
					b.Error(err)
				}
				took[n] = time.Since(began)
			}
		})
	}
	group.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "ns/median")
	b.ReportMetric(float64(took[len(took)*99/100]), "ns/p99")
}

// TestWhatIsTooMuchForOneCommitIsCommittedInSeveral holds that no more is appended at
// once than can be, and that nothing is left behind.
func TestWhatIsTooMuchForOneCommitIsCommittedInSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, release := heldDisk()
		log := started(t, disk)
		var first sync.WaitGroup
		first.Go(func() { keep(log, allow()) })
		synctest.Wait() // its fsync has begun
		line := append(bytes.Repeat([]byte("x"), maxCommit/3), '\n')
		const entries = 10
		done := make(chan error, entries)
		for range entries {
			if err := log.enqueue(t.Context(), &entry{line: line, done: done}); err != nil {
				t.Fatal(err)
			}
		}
		release()
		first.Wait()
		synctest.Wait()
		if len(done) != entries {
			t.Errorf("%d of %d are told that they are kept", len(done), entries)
		}
		if got, want := len(disk.content)-len(lineOf(t, allow()))-1, entries*len(line); got != want {
			t.Errorf("%d bytes are kept, want %d", got, want)
		}
		if disk.largest > maxCommit+len(line) {
			t.Errorf("%d bytes were appended at once, want about %d at most", disk.largest, maxCommit)
		}
	})
}

func TestAbandonedByThePipelineIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		if err := keep(log, allowOf(7)); err != nil {
			t.Fatal(err)
		}
		disk.makeRoom(0)
		log.Abandon(allowOf(7))
		synctest.Wait()
		disk.makeRoom(1 << 20)
		time.Sleep(2 * pause)
		synctest.Wait()
		if diff := cmp.Diff(lineOf(t, allowOf(7))+"\n"+abandonedLine, string(disk.content)); diff != "" {
			t.Errorf("content (-want +got):\n%s", diff)
		}
		if state := log.State(); state.Abandoned != 1 || state.Written != 2 {
			t.Errorf("State = %+v, want two records, one of them abandoned", state)
		}
	})
}
