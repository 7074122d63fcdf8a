package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// maxWaiting is how many records may wait for the disk, some megabytes of lines. It is
// more than are ever wanted at once: behind it there is a disk that hangs.
const maxWaiting = 4096

var (
	errClosed = errors.New("closed")
	errFull   = errors.New("too many records wait for the disk")
)

// Log is an open log. It is safe for concurrent use. One goroutine, which Close ends,
// writes to the file: all records that wait become durable by one fsync.
type Log struct {
	key  *key
	torn int64

	// wake has room for one: there is something to write.
	wake chan struct{}
	// stop asks the writer to end, and ended says that it has.
	stop, ended chan struct{}

	mu      sync.Mutex
	waiting []*entry
	refused refusals
	// shut is why no record is taken any more, once it is set.
	shut error

	disk disk // the writer's alone until it has ended
}

// entry is a record that waits to be durable.
type entry struct {
	line   []byte
	record *decisionv1.Decision
	// late is closed when the caller's time is over.
	late <-chan struct{}
	// done has room for the outcome, which is told only to a caller who has time left.
	done chan error
}

var _ authz.Recorder = (*Log)(nil)

// start begins to write to a file whose last record ends at size.
func start(key *key, file file, size int64) *Log {
	log := &Log{
		key: key, disk: disk{file: file, size: size}, refused: refusals{since: time.Now()},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go log.write()
	return log
}

// openLog opens or makes the log at path. It holds a lock on it: of two processes
// that append, each would cut off what the other wrote while undoing a failed write
// of its own.
func openLog(path string, key *key, problems *authz.Problems) *Log {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		problems.Add("file", err.Error(), "name a file in a folder that exists and can be written to")
		return nil
	}
	size, torn, what, fix := take(file, path)
	if what != "" {
		problems.Add("file", what, fix)
		file.Close()
		return nil
	}
	log := start(key, file, size)
	log.torn = torn
	return log
}

// take makes an opened file ours, cut to its last whole line, or says what is wrong
// with it.
func take(file *os.File, path string) (size, torn int64, what, fix string) {
	status, err := file.Stat()
	if err != nil {
		return 0, 0, err.Error(), "name a file that can be read"
	}
	if !status.Mode().IsRegular() {
		return 0, 0, "is not a regular file", "name one: a pipe or a device cannot tell when a record is on disk"
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, 0, "another process writes to it", "stop that process, or give each its own file"
	}
	if size, err = lastLine(file, status.Size()); err != nil {
		return 0, 0, "cannot be read: " + err.Error(), "check the disk"
	}
	if torn = status.Size() - size; torn > 0 {
		err = file.Truncate(size)
	}
	if err := errors.Join(err, file.Sync(), syncFolder(path)); err != nil {
		return 0, 0, "cannot be made durable: " + err.Error(), "name a file on a disk that supports fsync"
	}
	return size, torn, "", ""
}

// lastLine is where the last line that has an end ends, at most size.
func lastLine(file io.ReaderAt, size int64) (int64, error) {
	chunk := make([]byte, 64<<10)
	for end := size; end > 0; {
		begin := max(0, end-int64(len(chunk)))
		part := chunk[:end-begin]
		if _, err := file.ReadAt(part, begin); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return begin + int64(at) + 1, nil
		}
		end = begin
	}
	return 0, nil
}

// Torn is how many bytes of an unfinished last line Open cut off: zero unless the
// process before was cut short while it wrote. Nothing was answered on that record.
func (l *Log) Torn() int64 { return l.torn }

// Subject returns the caller's pseudonym, the one that stands in records of its
// decisions, or "" where the caller has no subject.
func (l *Log) Subject(caller authz.Caller) string {
	return l.key.subject(caller.Issuer, caller.Subject)
}

// Record appends a decision to the log. An allow, and any decision about a caller
// who has authenticated, is on disk when it returns. A refusal before that costs
// whoever provokes it nothing: it is written later, or only counted (see refusals).
//
// It returns an error at once where too many records wait, and when ctx ends. What has
// not been begun by then is not written; what had been, and is kept, is followed by a
// record that says that it was abandoned. After an error of the disk the record is cut
// off again, as far as the disk lets it be. After a failed fsync every later call
// fails too: the kernel may have dropped what it could not write, and report the next
// fsync as done. Neither part of the record may be nil.
func (l *Log) Record(ctx context.Context, record authz.Record) error {
	keep := l.keep
	if d := record.Decision; !d.Allowed && d.Caller.Kind == authz.Anonymous {
		keep = l.refuse
	}
	if err := keep(ctx, record); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// keep makes a record durable.
func (l *Log) keep(ctx context.Context, record authz.Record) error {
	described := describe(record, l.key)
	line, err := canonical(described)
	if err != nil {
		return err
	}
	e := &entry{line: append(line, '\n'), record: described, late: ctx.Done(), done: make(chan error, 1)}
	if err := l.enqueue(ctx, e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
	}
	// The writer tells an outcome only while holding the lock, and only to a caller
	// who has time left: what is not there now never will be.
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case err := <-e.done:
		return err
	default:
		return ctx.Err()
	}
}

func (l *Log) enqueue(ctx context.Context, e *entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.shut != nil:
		return l.shut
	case ctx.Err() != nil:
		return ctx.Err()
	case len(l.waiting) >= maxWaiting:
		return errFull
	}
	l.waiting = append(l.waiting, e)
	l.nudge()
	return nil
}

// nudge wakes the writer, now or when it is done with what it is at.
func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close makes durable what waits and what was only written, and lets the file go.
// Records after it fail. A second call does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.shut == errClosed
	l.shut = errClosed
	l.mu.Unlock()
	if closed {
		return nil
	}
	close(l.stop)
	<-l.ended
	if err := l.disk.close(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
