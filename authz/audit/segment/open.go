package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/durable"
)

var errLocked = errors.New("another process writes to it")

// Opened tells what was found.
type Opened struct {
	// Torn is how many bytes of an unfinished batch, or header, were cut off the end:
	// zero unless the process before was cut short while it wrote. No durable Append had
	// returned on them.
	Torn int64
	// Damaged is "", or the file, and where in it, behind which lines no longer fit
	// their seals. The file is left as it is, and a new segment begun.
	Damaged string
}

// Open takes up the last segment of a folder, or begins the first. Only the last one
// is verified: Lines verifies all. What it finds there is durable when it returns.
// Its error is authz.Problems, with keys as in the configuration: folder, name and
// max_bytes.
func Open(cfg Config) (*Writer, Opened, error) {
	if err := cfg.check(); err != nil {
		return nil, Opened{}, err
	}
	w := &Writer{cfg: cfg, create: create}
	opened, err := w.open()
	if err == nil {
		return w, opened, nil
	}
	if w.lock != nil {
		w.release()
	}
	var problems authz.Problems
	problems.Add("folder", err.Error(), fixOf(err))
	return nil, Opened{}, problems
}

func fixOf(err error) string {
	switch {
	case errors.Is(err, errLocked):
		return "stop that process, or give each its own folder"
	case errors.Is(err, errNotRegular):
		return "move it away, and let nothing else write to this folder"
	}
	return "name a folder that exists and can be read and written to, on a disk that has room and supports fsync"
}

func (w *Writer) open() (Opened, error) {
	if err := w.acquire(); err != nil {
		return Opened{}, err
	}
	numbers, err := list(w.cfg.Folder, w.cfg.Name)
	if err != nil {
		return Opened{}, err
	}
	if len(numbers) == 0 {
		return Opened{}, w.begin(1, sum{})
	}
	last := numbers[len(numbers)-1]
	file, err := openRegular(w.path(last), os.O_RDWR|os.O_APPEND)
	if err != nil {
		return Opened{}, err
	}
	opened, err := w.takeUp(file, last)
	if err != nil || opened.Damaged != "" {
		file.Close()
	}
	return opened, err
}

// acquire takes the lock. Its file stays: if it were removed, two processes could each
// hold a lock on a file of that name.
func (w *Writer) acquire() error {
	path := filepath.Join(w.cfg.Folder, "."+w.cfg.Name+".lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	w.lock = file
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// release gives the lock back. Closing its file alone would not while a process that was
// forked meanwhile has it open still, a moment before it becomes another program.
func (w *Writer) release() error {
	return errors.Join(syscall.Flock(int(w.lock.Fd()), syscall.LOCK_UN), w.lock.Close())
}

func (w *Writer) path(number int) string {
	return filepath.Join(w.cfg.Folder, fileName(w.cfg.Name, number))
}

// takeUp makes a segment the one that is appended to, cut to what seals vouch for; or
// begins the next one, where this one is damaged.
func (w *Writer) takeUp(file *os.File, number int) (Opened, error) {
	r := read(file, chain{})
	switch err := r.all(number); {
	case err == errDamaged:
		last, err := ending(file)
		if err != nil {
			return Opened{}, err
		}
		return Opened{Damaged: place(w.cfg.Name, number, r.chain)}, w.begin(number+1, last)
	case err != nil && err != errTorn:
		return Opened{}, err
	}
	torn, err := cut(file, r.chain.end)
	if err != nil {
		return Opened{}, err
	}
	at := r.chain
	if at.end == 0 {
		if at, err = w.beginAgain(file, number); err != nil {
			return Opened{}, err
		}
	}
	if err := errors.Join(file.Sync(), durable.Folder(w.cfg.Folder)); err != nil {
		return Opened{}, err
	}
	w.take(file, number, at)
	return Opened{Torn: torn}, nil
}

// place is where in a segment its chain ends, for people.
func place(name string, number int, at chain) string {
	return fmt.Sprintf("%s, byte %d", fileName(name, number), at.end)
}

// cut cuts off what is behind end, and returns how much that was.
func cut(file *os.File, end int64) (int64, error) {
	status, err := file.Stat()
	if err != nil || status.Size() <= end {
		return 0, err
	}
	return status.Size() - end, file.Truncate(end)
}

// beginAgain writes the header of a segment whose making was cut short.
func (w *Writer) beginAgain(file *os.File, number int) (chain, error) {
	previous, err := w.previous(number)
	if err != nil {
		return chain{}, err
	}
	header := headerLine(number, previous)
	return begun(header), writeAll(file, header)
}

// previous is what the header of a segment states of the one before, if that is there.
func (w *Writer) previous(number int) (sum, error) {
	before, err := openRegular(w.path(number-1), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return sum{}, nil
	}
	if err != nil {
		return sum{}, err
	}
	defer before.Close()
	return ending(before)
}
