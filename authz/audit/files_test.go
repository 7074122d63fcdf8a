package audit

import (
	"slices"
	"sync"
)

// fakeFiles keep what is appended in memory, and what is asked of them in order. A test
// looks at them only while the log's writer has nothing to do.
type fakeFiles struct {
	mu      sync.Mutex
	content []byte
	calls   []string
	// room is how many more bytes fit; what does not fit is not kept at all.
	room            int
	syncErr, closed error
	failed          error
	// slow, if set, is called in every fsync.
	slow func()
	// largest is the most that was appended at once.
	largest int
	// unsynced is set by what was appended and not made durable.
	unsynced bool
}

// probe is how much room a fake wants to call itself well.
const probe = 500

func (f *fakeFiles) Append(lines []byte, durable bool) error {
	if f.failed != nil {
		return f.failed
	}
	if !f.write(lines) {
		return errDisk
	}
	f.unsynced = true
	if !durable {
		return nil
	}
	before := len(f.content) - len(lines)
	if err := f.Sync(); err != nil {
		f.content = f.content[:before]
		return err
	}
	return nil
}

func (f *fakeFiles) write(lines []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "write")
	f.largest = max(f.largest, len(lines))
	if len(lines) > f.room {
		return false
	}
	f.content = append(f.content, lines...)
	f.room -= len(lines)
	return true
}

func (f *fakeFiles) Sync() error {
	if !f.unsynced {
		return nil
	}
	f.mu.Lock()
	f.calls = append(f.calls, "sync")
	f.mu.Unlock()
	if f.slow != nil {
		f.slow()
	}
	f.failed, f.unsynced = f.syncErr, false
	return f.syncErr
}

func (f *fakeFiles) Probe(size int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "probe")
	if f.failed != nil {
		return f.failed
	}
	if f.room < max(probe, size) {
		return errDisk
	}
	return nil
}

func (f *fakeFiles) Failed() error { return f.failed }

func (f *fakeFiles) Close() error {
	if f.failed == nil {
		f.Sync()
	}
	f.calls = append(f.calls, "close")
	return f.closed
}

// did is what was asked so far, for a test that goes on.
func (f *fakeFiles) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// makeRoom lets n more bytes fit.
func (f *fakeFiles) makeRoom(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = n
}
