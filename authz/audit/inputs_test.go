package audit

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/vault"
)

// keeping is a log that keeps inputs, closed when the test ends.
func keeping(t *testing.T, records, inputs *fakeFiles) *Log {
	log := &Log{key: testKey}
	log.start(records, newKeeper(vault.New(t.TempDir(), testSecret), inputs))
	t.Cleanup(func() { log.Close() })
	return log
}

// omissions are what records say of their inputs, in the order written.
func omissions(t *testing.T, content []byte) (omitted []string) {
	t.Helper()
	for _, record := range parseLines(t, content) {
		omitted = append(omitted, record.InputOmitted)
	}
	return omitted
}

// TestInputThatCannotBeKeptIsLostAndCounted holds that a decision that can be recorded
// stands.
func TestInputThatCannotBeKeptIsLostAndCounted(t *testing.T) {
	for name, lose := range map[string]func(l *Log, inputs *fakeFiles){
		"its file is full":      func(_ *Log, inputs *fakeFiles) { inputs.makeRoom(0) },
		"the reserve is begun":  func(l *Log, _ *fakeFiles) { l.reserve, l.state.Low = math.MaxInt64, true },
		"its reach is not kept": func(l *Log, _ *fakeFiles) { l.inputs.vault = vault.New("/absent", testSecret) },
		"records have a fault":  func(l *Log, _ *fakeFiles) { l.state.Fault = errDisk },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inputs := &fakeFiles{room: 1 << 20}
				log := keeping(t, &fakeFiles{room: 1 << 20}, inputs)
				log.mu.Lock()
				lose(log, inputs)
				log.mu.Unlock()
				if err := keep(log, withInput(1)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if state := log.State(); state.LostInputs != 1 || len(inputs.content) != 0 {
					t.Errorf("State = %+v, want one input lost", state)
				}
			})
		})
	}
}

// TestNoRecordWaitsForInputs holds it while an fsync of inputs takes without end, and that
// what waits is kept when it has ended.
func TestNoRecordWaitsForInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inputs, release := heldDisk()
		log := keeping(t, &fakeFiles{room: 1 << 20}, inputs)
		if err := keep(log, withInput(0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * window) // its fsync has begun
		const more = 5
		for n := range more {
			began := time.Now()
			if err := keep(log, withInput(1+n)); err != nil || time.Since(began) > 0 {
				t.Fatalf("Record behind an fsync of inputs = %v after %v, want it at once", err, time.Since(began))
			}
		}
		release()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(inputs.content, []byte("\n")); got != 1+more {
			t.Errorf("%d inputs are kept, want %d", got, 1+more)
		}
	})
}

// TestInputsBeyondTheQueueAreLost holds that memory is bounded, and that each record says
// what became of its input.
func TestInputsBeyondTheQueueAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inputs, release := heldDisk()
		records := &fakeFiles{room: 1 << 20}
		log := keeping(t, records, inputs)
		large := strings.Repeat("x", maxKept/4-besides)
		kept := 1
		for n := range 7 {
			record := withInput(n)
			record.Facts.Input = &authz.Input{Document: []byte(large)}
			if err := keep(log, record); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				time.Sleep(2 * window) // its fsync has begun
			}
		}
		omitted := omissions(t, records.content)
		for n, why := range omitted {
			if (why == "fault") != (n > 4) {
				t.Errorf("record %d says %q, want a fault of those behind the fifth only", n, why)
			}
			if why == "" && n > 0 {
				kept++
			}
		}
		if lost := log.State().LostInputs; lost != 2 {
			t.Errorf("%d inputs are lost, want 2", lost)
		}
		release()
		synctest.Wait()
		if got := bytes.Count(inputs.content, []byte("\n")); got != kept {
			t.Errorf("%d inputs are kept, want %d", got, kept)
		}
		if inputs.largest > 2*(maxSealed+maxKept/4) {
			t.Errorf("%d bytes were appended at once", inputs.largest)
		}
	})
}

// TestInputsAreNotTrustedAfterAFailedFsync holds that the fault stands, and that records
// are written on.
func TestInputsAreNotTrustedAfterAFailedFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inputs := &fakeFiles{room: 1 << 20, syncErr: errDisk}
		log := keeping(t, &fakeFiles{room: 1 << 20}, inputs)
		for n := range 3 {
			if err := keep(log, withInput(n)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * window)
		}
		if state := log.State(); !errors.Is(state.InputsFault, errDisk) || state.LostInputs != 2 || state.Fault != nil {
			t.Errorf("State = %+v, want a fault of inputs that stays", state)
		}
	})
}

// TestInputsAreTriedAgain holds that a fault of inputs is tried by a clock, and not by
// requests, and ends when what failed goes well.
func TestInputsAreTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		breaks, mends func(folder string, inputs *fakeFiles) error
	}{
		"when there is room": {
			func(_ string, inputs *fakeFiles) error { inputs.makeRoom(0); return nil },
			func(_ string, inputs *fakeFiles) error { inputs.makeRoom(1 << 20); return nil },
		},
		"when the file of reaches can be made": {
			func(folder string, _ *fakeFiles) error { return os.Remove(folder) },
			func(folder string, _ *fakeFiles) error { return os.Mkdir(folder, 0o700) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				folder := filepath.Join(t.TempDir(), "records")
				records, inputs := &fakeFiles{room: 1 << 20}, &fakeFiles{room: 1 << 20}
				log := &Log{key: testKey}
				log.start(records, newKeeper(vault.New(folder, testSecret), inputs))
				defer log.Close()
				record := func(n int) {
					t.Helper()
					if err := keep(log, withInput(n)); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				if err := os.Mkdir(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := test.breaks(folder, inputs); err != nil {
					t.Fatal(err)
				}
				record(0)
				if state := log.State(); state.InputsFault == nil || state.Fault != nil {
					t.Errorf("State = %+v, want a fault of inputs alone", state)
				}
				asked := len(inputs.did())
				record(1)
				if got := len(inputs.did()); got != asked {
					t.Errorf("a request tries again: %q", inputs.did())
				}
				if err := test.mends(folder, inputs); err != nil {
					t.Fatal(err)
				}
				time.Sleep(pause)
				synctest.Wait()
				if fault := log.State().InputsFault; fault != nil {
					t.Errorf("InputsFault = %v, although it is mended", fault)
				}
				record(2)
				if got := strings.Join(omissions(t, records.content), ","); got != ",fault," {
					t.Errorf("records say %q of their inputs, want a fault of the second", got)
				}
				if lost, got := log.State().LostInputs, bytes.Count(inputs.content, []byte("\n")); lost != 2 || got != 1 {
					t.Errorf("%d inputs are lost and %d kept, want 2 and 1", lost, got)
				}
			})
		})
	}
}
