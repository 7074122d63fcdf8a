package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/countersign-io/countersign/authz"
)

var (
	errClosed = errors.New("closed")
	errFailed = errors.New("an earlier fsync failed, and what is on disk is not known until the log is opened again")
)

// file is what a Log asks of its file.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Log is an open log. It is safe for concurrent use; records are written one after
// the other.
type Log struct {
	key  *key
	torn int64

	mu   sync.Mutex
	file file
	// size is where the last whole record ends.
	size int64
	// failed is why nothing more is written, once it is set.
	failed error
}

var _ authz.Recorder = (*Log)(nil)

// openLog opens or makes the log at path. It holds a lock on it: of two processes
// that append, each would cut off what the other wrote while undoing a failed write
// of its own.
func openLog(path string, key *key, problems *authz.Problems) *Log {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		problems.Add("file", err.Error(), "name a file in a folder that exists and can be written to")
		return nil
	}
	log := &Log{key: key, file: file}
	if what, fix := log.take(file, path); what != "" {
		problems.Add("file", what, fix)
		file.Close()
		return nil
	}
	return log
}

// take makes an opened file ours, or says what is wrong with it.
func (l *Log) take(file *os.File, path string) (what, fix string) {
	status, err := file.Stat()
	if err != nil {
		return err.Error(), "name a file that can be read"
	}
	if !status.Mode().IsRegular() {
		return "is not a regular file", "name one: a pipe or a device cannot tell when a record is on disk"
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "another process writes to it", "stop that process, or give each its own file"
	}
	if l.size, err = lastLine(file, status.Size()); err != nil {
		return "cannot be read: " + err.Error(), "check the disk"
	}
	l.torn = status.Size() - l.size
	if l.torn > 0 {
		err = file.Truncate(l.size)
	}
	if err := errors.Join(err, file.Sync(), syncFolder(path)); err != nil {
		return "cannot be made durable: " + err.Error(), "name a file on a disk that supports fsync"
	}
	return "", ""
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
// who has authenticated, is on disk when it returns; a refusal before that is left
// to the operating system, because it costs whoever provokes it nothing.
//
// After an error the record is cut off again, as far as the disk lets it be. After a
// failed fsync every later call fails too: the kernel may have dropped what it could
// not write, and report the next fsync as done. Neither part of the record may be
// nil. What has not been begun when ctx ends is not written: its caller has been
// refused by then. A write that has begun is not cut short.
func (l *Log) Record(ctx context.Context, record authz.Record) error {
	line, err := canonical(describe(record, l.key))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	decision := record.Decision
	durable := decision.Allowed || decision.Caller.Kind != authz.Anonymous
	if err := l.append(ctx, append(line, '\n'), durable); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

func (l *Log) append(ctx context.Context, line []byte, durable bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmp.Or(l.failed, ctx.Err()); err != nil {
		return err
	}
	if n, err := l.file.Write(line); err != nil || n < len(line) {
		return l.undo(errors.Join(err, shortWrite(n, len(line))))
	}
	if durable {
		if err := l.file.Sync(); err != nil {
			l.failed = errFailed
			return l.undo(err)
		}
	}
	l.size += int64(len(line))
	return nil
}

func shortWrite(n, want int) error {
	if n < want {
		return io.ErrShortWrite
	}
	return nil
}

// undo cuts off what is left of a record that was not kept, so that the next one
// does not begin in the middle of a line, and so that the log holds no allow that
// was answered as a denial. Where that fails, nothing more can be written.
func (l *Log) undo(cause error) error {
	if err := l.file.Truncate(l.size); err != nil {
		cause = errors.Join(cause, err)
		l.failed = fmt.Errorf("an unfinished record could not be cut off: %w", err)
	}
	return cause
}

// Close makes durable what was written, and lets the file go. Records after it
// fail. A second call does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == errClosed {
		return nil
	}
	var sync error
	if l.failed == nil {
		sync = l.file.Sync()
	}
	l.failed = errClosed
	if err := errors.Join(sync, l.file.Close()); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
