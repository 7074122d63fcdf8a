package audit

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func refusalFor(reason authz.Reason) authz.Record {
	record := anonymousDenial()
	record.Decision.Reason = reason
	return record
}

func TestRefusalIsWrittenSoonWithoutFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		if err := keep(log, anonymousDenial()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
		synctest.Wait()
		if diff := cmp.Diff([]string{"write"}, disk.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if want := lineOf(t, anonymousDenial()) + "\n"; string(disk.content) != want {
			t.Errorf("content = %q, want %q", disk.content, want)
		}
	})
}

func TestRefusalsBeyondTheLimitAreOneRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		for range maxSingle + 5 {
			if err := keep(log, refusalFor(authz.TokenExpired)); err != nil {
				t.Fatal(err)
			}
		}
		if err := keep(log, refusalFor(authz.NoCredentials)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(window)
		synctest.Wait()
		lines := strings.SplitAfter(string(disk.content), "\n")
		if got, want := len(lines)-1, maxSingle+2; got != want {
			t.Fatalf("%d lines, want %d", got, want)
		}
		want := `{"allowed":false,"count":5,"reason":"token_expired","status":401,` +
			`"time":"2000-01-01T00:00:00.000000000Z","until":"2000-01-01T00:00:01.000000000Z"}` + "\n"
		if diff := cmp.Diff(want, lines[maxSingle+1]); diff != "" {
			t.Errorf("the last line (-want +got):\n%s", diff)
		}
		if err := keep(log, refusalFor(authz.TokenExpired)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
		synctest.Wait()
		if last := parseLines(t, disk.content)[maxSingle+2]; last.Count != 0 || last.ID == "" {
			t.Errorf("the first of the next second is %+v, want a record of its own", last)
		}
	})
}

// TestFloodOfRefusalsGrowsTheLogByABoundedRate holds too that none is lost from the
// count, and that allows go through meanwhile.
func TestFloodOfRefusalsGrowsTheLogByABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 30}
		log := started(t, disk)
		const seconds, rate = 5, 2000
		for n := range seconds * rate {
			if err := keep(log, refusalFor(authz.NoCredentials)); err != nil {
				t.Fatal(err)
			}
			if n%rate == 0 {
				if err := keep(log, allow()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second / rate)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		lines, allows, refusals := parseLines(t, disk.content), 0, 0
		for _, line := range lines {
			switch {
			case line.Allowed:
				allows++
			case line.Count > 0:
				refusals += line.Count
			default:
				refusals++
			}
		}
		if refusals != seconds*rate || allows != seconds {
			t.Errorf("the log tells of %d refusals and %d allows, want %d and %d", refusals, allows, seconds*rate, seconds)
		}
		if most := (seconds + 1) * (maxSingle + 2); len(lines) > most {
			t.Errorf("%d lines, want at most %d", len(lines), most)
		}
	})
}

func TestRefusalsThatCannotBeWrittenAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{}
		log := started(t, disk)
		for range 30 { // three seconds
			if err := keep(log, refusalFor(authz.NoCredentials)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
			synctest.Wait()
		}
		log.mu.Lock()
		buffered := len(log.refused.lines)
		log.mu.Unlock()
		if len(disk.content) != 0 || buffered != 0 {
			t.Errorf("a full disk holds %q, and memory %d lines; want nothing", disk.content, buffered)
		}
		disk.makeRoom(1 << 20)
		time.Sleep(pause)
		synctest.Wait()
		want := []readRecord{{Reason: "no_credentials", Status: 401, Count: 30,
			Time: "2000-01-01T00:00:00.000000000Z", Until: "2000-01-01T00:00:03.100000000Z"}}
		if diff := cmp.Diff(want, parseLines(t, disk.content)); diff != "" {
			t.Errorf("the log when there is room again (-want +got):\n%s", diff)
		}
		if counted := log.State().Counted; counted != 30 {
			t.Errorf("State tells of %d counted, want 30", counted)
		}
	})
}

func TestRefusalTooLateIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := log.Record(ctx, anonymousDenial()); !errors.Is(err, context.Canceled) {
			t.Errorf("Record after the end = %v, want %v", err, context.Canceled)
		}
		log.Close()
		if len(disk.content) != 0 {
			t.Errorf("content = %q, want nothing", disk.content)
		}
	})
}

// Nobody waits for a refusal to be written, and yet its fault is everybody's.
func TestFaultWhileRefusalsAreWrittenEndsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20, syncErr: errDisk}
		log := started(t, disk)
		if err := keep(log, anonymousDenial()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * window) // what was only written is made durable
		synctest.Wait()
		for _, record := range []authz.Record{anonymousDenial(), allow()} {
			if err := keep(log, record); !errors.Is(err, errDisk) {
				t.Errorf("Record after a failed fsync = %v, want %v", err, errDisk)
			}
		}
	})
}

// TestReserveIsForRecords fills the disk up to the reserve: refusals before
// authentication are counted from then on, and written when there is room again.
func TestReserveIsForRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := &Log{key: testKey, folder: t.TempDir(), reserve: math.MaxInt64}
		log.start(disk, nil)
		defer log.Close()
		for range 20 {
			if err := keep(log, refusalFor(authz.NoCredentials)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
			synctest.Wait()
		}
		if err := keep(log, allow()); err != nil {
			t.Fatal(err)
		}
		if want := lineOf(t, allow()) + "\n"; string(disk.content) != want {
			t.Errorf("content = %q, want the allow alone", disk.content)
		}
		if state := log.State(); !state.Low || state.Free == 0 || state.Fault != nil {
			t.Errorf("State = %+v, want it low, and no fault", state)
		}
		log.mu.Lock()
		log.reserve = 1
		log.mu.Unlock()
		time.Sleep(window)
		synctest.Wait()
		records := parseLines(t, disk.content)
		if last := records[len(records)-1]; last.Count != 20 || len(records) != 2 {
			t.Errorf("with room again the log has %+v, want the refusals counted", records)
		}
	})
}

func TestBufferedRecordsAreWrittenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, release := heldDisk()
		log := &Log{key: testKey, buffered: true}
		log.start(disk, nil)
		defer log.Close()
		if err := keep(log, allowOf(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if want := lineOf(t, allowOf(1)) + "\n"; string(disk.content) != want {
			t.Errorf("content = %q, want the record", disk.content)
		}
		if diff := cmp.Diff([]string{"write"}, disk.did()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		release()
		time.Sleep(window + pause)
		synctest.Wait()
		if diff := cmp.Diff([]string{"write", "sync"}, disk.calls); diff != "" {
			t.Errorf("calls after a second (-want +got):\n%s", diff)
		}
	})
}

// TestBufferedRecordsWaitForRoom holds that what was answered is not forgotten, and that
// nothing more is answered on what could not be written.
func TestBufferedRecordsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{}
		log := &Log{key: testKey, buffered: true}
		log.start(disk, nil)
		defer log.Close()
		if err := keep(log, allowOf(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := keep(log, allowOf(2)); !errors.Is(err, errDisk) {
			t.Errorf("Record on a full disk = %v, want %v", err, errDisk)
		}
		disk.makeRoom(1 << 20)
		time.Sleep(pause)
		synctest.Wait()
		if err := keep(log, allowOf(3)); err != nil {
			t.Errorf("Record when there is room again = %v", err)
		}
		synctest.Wait()
		if want := lineOf(t, allowOf(1)) + "\n" + lineOf(t, allowOf(3)) + "\n"; string(disk.content) != want {
			t.Errorf("content = %q, want the first and the third record", disk.content)
		}
	})
}
