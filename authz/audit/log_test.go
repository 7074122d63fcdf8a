package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func allow() authz.Record {
	record := fullRecord()
	record.Decision.Allowed, record.Decision.Reason = true, authz.Granted
	return record
}

func TestWhatIsDurableBeforeTheAnswer(t *testing.T) {
	anonymousAllow := anonymousDenial()
	anonymousAllow.Decision.Allowed, anonymousAllow.Decision.Reason = true, authz.Granted
	client := anonymousDenial()
	client.Facts.Token = &authz.Token{Caller: authz.Caller{Kind: authz.Client}}
	client.Decision.Caller = client.Facts.Token.Caller
	// Whoever sends a proof again has not authenticated, though it is known whose it is.
	replay := anonymousDenial()
	replay.Decision.Reason, replay.Decision.Caller = authz.ProofReplayed, authz.Caller{Kind: authz.Customer, Subject: "ann"}
	// Nor has who sends what was stolen, though the token is verified.
	stolen := func(reason authz.Reason) authz.Record {
		decision := *client.Decision
		decision.Reason = reason
		return authz.Record{Decision: &decision, Facts: client.Facts}
	}
	tests := []struct {
		name   string
		record authz.Record
		want   []string
	}{
		{"an allow", allow(), []string{"write", "sync"}},
		{"an allow of a public operation", anonymousAllow, []string{"write", "sync"}},
		{"a denial of a customer", fullRecord(), []string{"write", "sync"}},
		{"a denial of a client", client, []string{"write", "sync"}},
		{"a refusal before authentication is not waited for", anonymousDenial(), nil},
		{"a replay is not waited for", replay, nil},
		{"a revoked token is not waited for", stolen(authz.TokenRevoked), nil},
		{"a token that may be revoked is not waited for", stolen(authz.RevocationsUnavailable), nil},
		{"a token from elsewhere is not waited for", stolen(authz.ClientAddress), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &fakeFiles{room: 1 << 20}
				log := started(t, disk)
				if err := keep(log, test.record); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, disk.calls); diff != "" {
					t.Errorf("calls before the answer (-want +got):\n%s", diff)
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				if want := lineOf(t, test.record) + "\n"; string(disk.content) != want {
					t.Errorf("content = %q, want %q", disk.content, want)
				}
			})
		})
	}
}

// started is a log on an empty file, closed when the test ends.
func started(t *testing.T, disk *fakeFiles) *Log {
	log := (&Log{key: testKey}).start(disk, nil)
	t.Cleanup(func() { log.Close() })
	return log
}

// TestFullDiskIsAFaultUntilThereIsRoom holds that nothing is kept of what was refused,
// and that the state says so without another request having to try.
func TestFullDiskIsAFaultUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := lineOf(t, fullRecord()) + "\n"
		disk := &fakeFiles{room: len(first) + 100}
		log := started(t, disk)
		if err := keep(log, fullRecord()); err != nil {
			t.Fatal(err)
		}
		if err := keep(log, fullRecord()); !errors.Is(err, errDisk) {
			t.Fatalf("Record on a full disk = %v, want %v", err, errDisk)
		}
		time.Sleep(10 * pause)
		synctest.Wait()
		if state := log.State(); !errors.Is(state.Fault, errDisk) || state.Written != 1 {
			t.Errorf("State of a full disk = %+v, want its fault and one record", state)
		}
		if string(disk.content) != first {
			t.Errorf("content = %q, want the first record alone", disk.content)
		}
		disk.makeRoom(1 << 20)
		time.Sleep(pause)
		synctest.Wait()
		if state := log.State(); state.Fault != nil {
			t.Errorf("State when there is room again = %+v, want no fault", state)
		}
		if err := keep(log, fullRecord()); err != nil {
			t.Errorf("Record when there is room again = %v", err)
		}
		if string(disk.content) != first+first {
			t.Errorf("content = %q, want two records", disk.content)
		}
	})
}

func TestNothingIsTrustedAfterAFailedFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20, syncErr: errDisk}
		log := started(t, disk)
		if err := keep(log, allow()); !errors.Is(err, errDisk) {
			t.Fatalf("Record = %v, want %v", err, errDisk)
		}
		if len(disk.content) != 0 {
			t.Errorf("an allow that was answered as a denial stays in the log: %q", disk.content)
		}
		synctest.Wait()
		disk.calls = nil
		for _, record := range []authz.Record{allow(), anonymousDenial()} {
			if err := keep(log, record); !errors.Is(err, errDisk) {
				t.Errorf("Record after a failed fsync = %v, want %v", err, errDisk)
			}
		}
		time.Sleep(10 * pause)
		synctest.Wait()
		if state := log.State(); !errors.Is(state.Fault, errDisk) {
			t.Errorf("State = %+v, want the fault to stay", state)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"close"}, disk.calls); diff != "" {
			t.Errorf("calls after a failed fsync (-want +got):\n%s", diff)
		}
	})
}

func TestCloseKeepsWhatWasOnlyWritten(t *testing.T) {
	disk := &fakeFiles{room: 1 << 20, closed: errors.New("bad descriptor")}
	log := started(t, disk)
	if err := keep(log, anonymousDenial()); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); !errors.Is(err, disk.closed) {
		t.Errorf("Close = %v, want %v", err, disk.closed)
	}
	if err := log.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if err := keep(log, allow()); !errors.Is(err, errClosed) {
		t.Errorf("Record after Close = %v, want %v", err, errClosed)
	}
	if diff := cmp.Diff([]string{"write", "sync", "close"}, disk.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func testConfig(t *testing.T) Config {
	keys := t.TempDir()
	return Config{Folder: t.TempDir(), ReserveBytes: 1,
		PseudonymKey: filepath.Join(keys, "pseudonym.key"), InputKey: filepath.Join(keys, "input.key")}
}

func mustOpen(t *testing.T, cfg Config) *Log {
	t.Helper()
	log, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func TestLogGrowsFromStartToStart(t *testing.T) {
	cfg := testConfig(t)
	for range 2 {
		log := mustOpen(t, cfg)
		if err := keep(log, allow()); err != nil {
			t.Fatal(err)
		}
		if got := log.Repairs(); len(got) > 0 {
			t.Errorf("Repairs = %q after a clean end", got)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if lines := readLines(t, cfg); len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("two starts wrote %q", lines)
	}
}

func TestUnfinishedTailIsCutOffAndSaid(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	if err := keep(log, allow()); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(cfg.Folder, decisions+"-*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("files of the log: %q, %v; want one", names, err)
	}
	file, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(lineOf(t, allow()) + "\n{\"hal"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	log = mustOpen(t, cfg)
	if got := log.Repairs(); len(got) != 1 || !strings.Contains(got[0], "unfinished") {
		t.Errorf("Repairs = %q, want what was cut off", got)
	}
	if err := keep(log, allow()); err != nil {
		t.Fatal(err)
	}
	if lines := readLines(t, cfg); len(lines) != 2 {
		t.Errorf("the log has %d records, want those two that were answered on", len(lines))
	}
}

func TestLogOfAnotherProcessIsRefused(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	var problems authz.Problems
	if _, err := Open(cfg); !errors.As(err, &problems) || problems[0].Key != "folder" {
		t.Errorf("second Open = %v, want a problem", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, cfg)
}

// TestKeyMadeForALogThatHasRecordsIsSaid takes the keys away from a log that has both
// kinds of files, and from one that has none yet.
func TestKeyMadeForALogThatHasRecordsIsSaid(t *testing.T) {
	for name, records := range map[string]int{"none yet": 0, "one": 1} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			log := mustOpen(t, cfg)
			for n := range records {
				if err := keep(log, withInput(n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(log.Close(), os.Remove(cfg.PseudonymKey), os.Remove(cfg.InputKey)); err != nil {
				t.Fatal(err)
			}
			said := strings.Join(mustOpen(t, cfg).Repairs(), "\n")
			for _, key := range []string{"decisions: made a new pseudonym key, id ", "inputs: made a new input key, id "} {
				if strings.Contains(said, key) != (records > 0) {
					t.Errorf("with %d records Repairs = %q; want %q only where there are any", records, said, key)
				}
			}
		})
	}
}

func TestFaultyKeyLetsTheLogGo(t *testing.T) {
	cfg := testConfig(t)
	if err := os.WriteFile(cfg.InputKey, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil {
		t.Fatal("Open with an empty key file = nil error")
	}
	if err := os.Remove(cfg.InputKey); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, cfg)
}

// TestDurableInMemoryIsRefused asks for a folder that Linux keeps in memory, where there
// is one, and for one that is not there yet in it.
func TestDurableInMemoryIsRefused(t *testing.T) {
	const memory = "/dev/shm"
	if !inMemory(memory) {
		if _, err := os.Stat(memory); err == nil {
			t.Errorf("%s is taken for a disk", memory)
		}
		return
	}
	for _, folder := range []string{memory, memory + "/absent/records"} {
		problems := Config{Folder: folder}.Check()
		if len(problems) != 1 || !strings.Contains(problems[0].Fix, "durability: buffered") {
			t.Errorf("Check of %s = %v, want a word on what to do", folder, problems)
		}
		if problems := (Config{Folder: folder, Durability: Buffered}).Check(); problems != nil {
			t.Errorf("Check of a buffered log in %s = %v, want none", folder, problems)
		}
	}
}

func TestRecordsOfManyAtOnceAreWholeLines(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	const writers, each = 8, 20
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for i := range each {
				record := anonymousDenial()
				if i%2 == 0 {
					record = allow()
				}
				record.Decision.ID = authz.DecisionID{byte(writer), byte(i)}
				if err := keep(log, record); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, line := range readLines(t, cfg) {
		var record struct{ ID string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		seen[record.ID] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d records in the log, want %d", len(seen), writers*each)
	}
}

func readLines(t *testing.T, cfg Config) (lines []string) {
	t.Helper()
	for line, err := range Lines(cfg.Folder) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	return lines
}

func BenchmarkDescribeAndEncode(b *testing.B) {
	record := allow()
	record.Decision.Detail, record.Decision.Verdict = "", authz.Verdict{Allowed: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canonical(describe(record, testKey)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWhatIsTooLateIsNotWritten holds that a caller who was refused because time ran
// out does not find an allow in the log.
func TestWhatIsTooLateIsNotWritten(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Record(ctx, allow()); !errors.Is(err, context.Canceled) {
		t.Errorf("Record() after the end = %v, want the context's error", err)
	}
	if lines := readLines(t, cfg); len(lines) > 0 {
		t.Errorf("the log holds %q; want nothing", lines)
	}
}

// TestFaultOutlastsRoomForLess holds that health does not come and go with each batch on a
// disk that has room for a small one.
func TestFaultOutlastsRoomForLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 3 * probe}
		log := started(t, disk)
		long := append(bytes.Repeat([]byte("x"), 4*probe), '\n')
		entry := &entry{line: long, done: make(chan error, 1)}
		if err := log.enqueue(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * pause)
		synctest.Wait()
		if err := <-entry.done; err == nil || log.State().Fault == nil {
			t.Errorf("with room for less: %v, %+v; want a fault", err, log.State())
		}
		disk.makeRoom(len(long))
		time.Sleep(pause)
		synctest.Wait()
		if fault := log.State().Fault; fault != nil {
			t.Errorf("Fault = %v although there is room for as much", fault)
		}
	})
}

// TestFaultOutlastsWhatJustFits holds that health does not come and go with each short
// record that still finds room on a full disk.
func TestFaultOutlastsWhatJustFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := len(lineOf(t, allow())) + 1
		disk := &fakeFiles{room: line + probe - 1}
		log := started(t, disk)
		log.tell(errDisk, nil)
		if err := keep(log, allow()); err != nil {
			t.Fatal(err)
		}
		if state := log.State(); state.Fault == nil || state.Written != 1 {
			t.Errorf("State after one record that fits = %+v, want the fault still", state)
		}
	})
}
