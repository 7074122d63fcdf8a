package audit

import (
	"errors"
	"fmt"
	"io"
)

var errFailed = errors.New("an earlier fsync failed, and what is on disk is not known until the log is opened again")

// file is what a Log asks of its file.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// disk is a file that holds whole lines only. It is for one goroutine.
type disk struct {
	file file
	// size is where the last whole record ends.
	size int64
	// failed is why nothing more is written, once it is set.
	failed error
}

// append writes lines, all or none, and makes them durable or leaves that to the
// operating system.
func (d *disk) append(lines []byte, durable bool) error {
	if d.failed != nil {
		return d.failed
	}
	if n, err := d.file.Write(lines); err != nil || n < len(lines) {
		return d.undo(errors.Join(err, shortWrite(n, len(lines))))
	}
	if durable {
		if err := d.file.Sync(); err != nil {
			d.failed = errFailed
			return d.undo(err)
		}
	}
	d.size += int64(len(lines))
	return nil
}

func shortWrite(n, want int) error {
	if n < want {
		return io.ErrShortWrite
	}
	return nil
}

// undo cuts off what is left of records that were not kept, so that the next one
// does not begin in the middle of a line, and so that the log holds no allow that
// was answered as a denial. Where that fails, nothing more can be written.
func (d *disk) undo(cause error) error {
	if err := d.file.Truncate(d.size); err != nil {
		cause = errors.Join(cause, err)
		d.failed = fmt.Errorf("an unfinished record could not be cut off: %w", err)
	}
	return cause
}

// close makes durable what was only written.
func (d *disk) close() error {
	var sync error
	if d.failed == nil {
		sync = d.file.Sync()
	}
	return errors.Join(sync, d.file.Close())
}
