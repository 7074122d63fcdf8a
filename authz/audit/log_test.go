package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

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
	client.Decision.Caller = authz.Caller{Kind: authz.Client}
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
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &fakeFile{room: 1 << 20}
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
func started(t *testing.T, disk *fakeFile) *Log {
	log := start(testKey, disk, 0)
	t.Cleanup(func() { log.Close() })
	return log
}

func TestFullDiskLeavesWholeLines(t *testing.T) {
	first := lineOf(t, fullRecord()) + "\n"
	for _, room := range []int{0, 1, len(first) - 1} {
		t.Run(fmt.Sprintf("%d bytes left", room), func(t *testing.T) {
			disk := &fakeFile{room: len(first) + room}
			log := started(t, disk)
			if err := keep(log, fullRecord()); err != nil {
				t.Fatal(err)
			}
			if err := keep(log, fullRecord()); !errors.Is(err, errDisk) {
				t.Fatalf("Record on a full disk = %v, want %v", err, errDisk)
			}
			if string(disk.content) != first {
				t.Errorf("content = %q, want one whole line", disk.content)
			}
			disk.room = 1 << 20
			if err := keep(log, fullRecord()); err != nil {
				t.Errorf("Record when there is room again = %v", err)
			}
			if string(disk.content) != first+first {
				t.Errorf("content = %q, want two whole lines", disk.content)
			}
		})
	}
}

func TestNothingIsTrustedAfterAFailedFsync(t *testing.T) {
	disk := &fakeFile{room: 1 << 20, syncErr: errDisk}
	log := started(t, disk)
	if err := keep(log, allow()); !errors.Is(err, errDisk) {
		t.Fatalf("Record = %v, want %v", err, errDisk)
	}
	if len(disk.content) != 0 {
		t.Errorf("an allow that was answered as a denial stays in the log: %q", disk.content)
	}
	disk.syncErr, disk.calls = nil, nil
	for _, record := range []authz.Record{allow(), anonymousDenial()} {
		if err := keep(log, record); !errors.Is(err, errFailed) {
			t.Errorf("Record after a failed fsync = %v, want %v", err, errFailed)
		}
	}
	if len(disk.calls) != 0 {
		t.Errorf("calls after a failed fsync = %v, want none", disk.calls)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"close"}, disk.calls); diff != "" {
		t.Errorf("calls of Close (-want +got):\n%s", diff)
	}
}

func TestHalfALineThatStaysEndsTheLog(t *testing.T) {
	disk := &fakeFile{room: 3, truncateErr: errors.New("input/output error")}
	log := started(t, disk)
	if err := keep(log, allow()); !errors.Is(err, errDisk) || !errors.Is(err, disk.truncateErr) {
		t.Fatalf("Record = %v, want both errors", err)
	}
	disk.room, disk.calls = 1<<20, nil
	if err := keep(log, allow()); !errors.Is(err, disk.truncateErr) {
		t.Errorf("Record behind half a line = %v, want %v", err, disk.truncateErr)
	}
	if len(disk.calls) != 0 {
		t.Errorf("calls = %v, want none: the line would be glued to half a one", disk.calls)
	}
}

func TestCloseKeepsWhatWasOnlyWritten(t *testing.T) {
	disk := &fakeFile{room: 1 << 20, closed: errors.New("bad descriptor")}
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
	folder := t.TempDir()
	return Config{File: filepath.Join(folder, "decisions.jsonl"), Key: filepath.Join(folder, "pseudonym.key")}
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
		if log.Torn() != 0 {
			t.Errorf("Torn = %d after a clean end", log.Torn())
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	lines := readLines(t, cfg.File)
	if len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("two starts wrote %q", lines)
	}
	status, err := os.Stat(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if status.Mode().Perm() != 0o600 {
		t.Errorf("mode of the log = %v, want 0600", status.Mode())
	}
}

func TestTornLastLineIsCutOff(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	tests := []struct {
		name, content, want string
	}{
		{"an empty log", "", ""},
		{"whole lines", "{}\n{}\n", "{}\n{}\n"},
		{"half a line", "{}\n{\"a", "{}\n"},
		{"half a first line", "{\"a", ""},
		{"a tail of zeros", "{}\n\x00\x00\x00", "{}\n"},
		{"half a line longer than a chunk", "{}\n" + long, "{}\n"},
		{"a whole line longer than a chunk", long + "\n", long + "\n"},
		{"half a first line longer than a chunk", long, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig(t)
			if err := os.WriteFile(cfg.File, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			log := mustOpen(t, cfg)
			if got, want := log.Torn(), int64(len(test.content)-len(test.want)); got != want {
				t.Errorf("Torn = %d, want %d", got, want)
			}
			if err := keep(log, allow()); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(cfg.File)
			if err != nil {
				t.Fatal(err)
			}
			added, kept := strings.CutPrefix(string(content), test.want)
			if !kept || strings.Count(added, "\n") != 1 || !json.Valid([]byte(added)) {
				t.Errorf("the log after one record ends in %q", added)
			}
		})
	}
}

func TestLogOfAnotherProcessIsRefused(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "file: another process writes to it") {
		t.Errorf("second Open = %v, want a problem", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, cfg)
}

func TestLogThatCannotBeDurableIsRefused(t *testing.T) {
	cfg := testConfig(t)
	cfg.File = os.DevNull
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "file: is not a regular file") {
		t.Errorf("Open of a device = %v, want a problem", err)
	}
}

func TestFaultyKeyLetsTheLogGo(t *testing.T) {
	cfg := testConfig(t)
	if err := os.WriteFile(cfg.Key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err == nil {
		t.Fatal("Open with an empty key file = nil error")
	}
	if err := os.Remove(cfg.Key); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, cfg)
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
	for _, line := range readLines(t, cfg.File) {
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

func readLines(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(content, []byte("\n")) {
		t.Fatalf("the log ends without a newline: %q", content)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
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
	if text, err := os.ReadFile(cfg.File); err != nil || len(text) > 0 {
		t.Errorf("the log holds %q, %v; want nothing", text, err)
	}
}
