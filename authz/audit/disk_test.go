package audit

import "sync"

// fakeFile keeps what is written in memory, and what is asked of it in order. A test
// looks at it only while the log's writer has nothing to do.
type fakeFile struct {
	mu      sync.Mutex
	content []byte
	calls   []string
	// room is how many more bytes fit; the rest of a write fails as on a full disk.
	room                         int
	syncErr, truncateErr, closed error
	// slow, if set, is called in every fsync.
	slow func()
}

func (f *fakeFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "write")
	n := min(f.room, len(line))
	f.content = append(f.content, line[:n]...)
	f.room -= n
	if n < len(line) {
		return n, errDisk
	}
	return n, nil
}

func (f *fakeFile) Sync() error {
	f.calls = append(f.calls, "sync")
	if f.slow != nil {
		f.slow()
	}
	return f.syncErr
}

func (f *fakeFile) Truncate(size int64) error {
	f.calls = append(f.calls, "truncate")
	if f.truncateErr == nil {
		f.room += len(f.content) - int(size)
		f.content = f.content[:size]
	}
	return f.truncateErr
}

func (f *fakeFile) Close() error {
	f.calls = append(f.calls, "close")
	return f.closed
}

// makeRoom lets n more bytes fit.
func (f *fakeFile) makeRoom(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = n
}
