package segment

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/countersign-io/countersign/authz/audit/durable"
)

var (
	errFailed = errors.New("an earlier fsync failed, and what is on disk is not known until the segments are opened again")
	errClosed = errors.New("closed")
)

// minProbe is what must fit at least before it is worth trying to append again.
const minProbe = 64 << 10

// file is what a Writer asks of its segment.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Writer appends to the last segment. It is for one goroutine.
type Writer struct {
	cfg Config
	// lock is held until Close: of two writers, each would cut off what the other wrote.
	lock *os.File
	// create makes a file that must not exist.
	create func(path string) (file, error)

	file   file
	number int
	chain  chain
	// loose says that something was appended that is not known to be durable.
	loose bool
	// failed is why nothing more is written, once it is set.
	failed error
}

func create(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// Append writes lines and a seal behind them, all or none, and makes them durable with
// everything before them, or leaves that to the operating system. Each line ends in \n
// and is not empty; none begins with {"seal" or {"segment"; MaxLine and MaxBatch bound
// them. Where the segment has reached its size, the next one is begun first.
//
// After an error none of the lines stay, as far as the disk lets them be cut off again.
// Append may be tried again unless Failed says otherwise.
func (w *Writer) Append(lines []byte, durable bool) error {
	if w.failed != nil {
		return w.failed
	}
	if err := checkLines(lines); err != nil {
		return err
	}
	if w.chain.sealed && w.chain.end >= w.cfg.MaxBytes {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	seal, next := w.chain.seal(lines)
	// One write, so that a reader seldom meets a batch without its seal.
	batch := append(append(make([]byte, 0, len(lines)+len(seal)), lines...), seal...)
	if err := writeAll(w.file, batch); err != nil {
		return w.undo(err)
	}
	if durable {
		if err := w.file.Sync(); err != nil {
			w.failed = errFailed
			return w.undo(err)
		}
	}
	w.chain, w.loose = next, !durable
	return nil
}

func writeAll(to io.Writer, text []byte) error {
	n, err := to.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return err
}

// undo cuts off what is left of a batch that was not kept, so that the next one does
// not begin in the middle of a line, and so that no line stays whose writer was told
// that it does not. Where that fails, nothing more can be written.
func (w *Writer) undo(cause error) error {
	if err := w.file.Truncate(w.chain.end); err != nil {
		cause = errors.Join(cause, err)
		w.failed = fmt.Errorf("an unfinished batch could not be cut off: %w", err)
	}
	return cause
}

// rotate closes the segment and begins the next. Where that cannot be begun, the
// Writer stays with the one it has, which is whole.
func (w *Writer) rotate() error {
	if err := w.Sync(); err != nil {
		return err
	}
	full := w.file
	if err := w.begin(w.number+1, w.chain.sum); err != nil {
		return err
	}
	full.Close() // what it holds is durable
	return nil
}

// begin makes a segment durably, or takes away what it has made of it.
func (w *Writer) begin(number int, previous sum) error {
	if number > maxNumber {
		return fmt.Errorf("%s has the last number; keep the next ones in another folder", fileName(w.cfg.Name, maxNumber))
	}
	path := w.path(number)
	file, err := w.create(path)
	if err != nil {
		return err
	}
	header := headerLine(number, previous)
	// Unlike that of a batch, this fsync may be tried again: it will be of another file.
	if err := writeDurably(file, header); err != nil {
		file.Close()
		return w.remove(path, err)
	}
	if err := durable.Folder(w.cfg.Folder); err != nil {
		w.failed = errFailed
		return errors.Join(err, file.Close())
	}
	w.take(file, number, begun(header))
	return nil
}

func writeDurably(file file, text []byte) error {
	if err := writeAll(file, text); err != nil {
		return err
	}
	return file.Sync()
}

// remove takes away a segment that could not be begun.
func (w *Writer) remove(path string, cause error) error {
	if err := os.Remove(path); err != nil {
		cause = errors.Join(cause, err)
		w.failed = fmt.Errorf("an unfinished segment could not be removed: %w", err)
	}
	return cause
}

// take goes on in a file that is durable up to where its chain stands.
func (w *Writer) take(file file, number int, at chain) {
	w.file, w.number, w.chain, w.loose = file, number, at, false
}

// Probe tells, after an Append of so many bytes that failed, whether as many can be
// written durably now, or some tens of KiB if that is more, and MaxBatch at most. It
// leaves nothing behind.
func (w *Writer) Probe(size int) error {
	if w.failed != nil {
		return w.failed
	}
	path := filepath.Join(w.cfg.Folder, "."+w.cfg.Name+".probe")
	os.Remove(path) // of a process that was cut short
	file, err := w.create(path)
	if err != nil {
		return err
	}
	content := make([]byte, min(max(size, minProbe), MaxBatch))
	rand.Read(content) // takes its room on a disk that packs
	return errors.Join(writeDurably(file, content), file.Close(), os.Remove(path))
}

// Sync makes durable what was appended without.
func (w *Writer) Sync() error {
	if w.failed != nil {
		return w.failed
	}
	if !w.loose {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		w.failed = errFailed
		return err
	}
	w.loose = false
	return nil
}

// Failed is why nothing more is ever written, or nil. After a failed fsync the kernel
// may have dropped what it could not write, and report the next fsync as done.
func (w *Writer) Failed() error { return w.failed }

// Close makes durable what was only written, and lets the segments go. What follows
// fails. A second call does nothing.
func (w *Writer) Close() error {
	if w.failed == errClosed {
		return nil
	}
	var sync error
	if w.failed == nil {
		sync = w.Sync()
	}
	w.failed = errClosed
	return errors.Join(sync, w.file.Close(), w.release())
}
