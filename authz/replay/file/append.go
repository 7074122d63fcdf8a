package file

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// lockEvery is how often a lock that another has is tried for.
const lockEvery = 5 * time.Millisecond

// Append keeps a text, of 1 to 256 bytes, until then. It is on disk when Append
// returns. Some 100,000 are kept at most.
func (l *Log) Append(ctx context.Context, text string, until time.Time) error {
	if text == "" || len(text) > maxText {
		return errText
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	file, err := l.locked(ctx, os.O_RDWR|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	defer file.Close()
	line := entry{until: until.UnixMilli() + 1, text: text}.line()
	end, err := ending(file)
	if err != nil {
		return err
	}
	if end+int64(len(line)) > maxFile {
		return l.replace(file, line)
	}
	// What a crash left unfinished was no entry, and must not become the beginning of one.
	if err := file.Truncate(end); err != nil {
		return cause(err)
	}
	if _, err := file.WriteString(line); err != nil {
		return errors.Join(cause(err), file.Truncate(end))
	}
	if err := sync(file); err != nil || end > 0 {
		return err
	}
	return syncFolder(l.path) // it may just have been made
}

// torn is what a crash may have left of a line.
var torn = regexp.MustCompile(`^([0-9]{1,19}( ([A-Z2-7]{0,26}( [A-Za-z0-9+/]*=*)?)?)?)?$`)

// ending is where the last whole line of a file ends. What follows it is to be cut off, so
// it must be what was left of one of ours.
func ending(file *os.File) (int64, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, cause(err)
	}
	tail := make([]byte, min(size, maxLine))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, cause(err)
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if end == 0 && size > maxLine || !torn.Match(tail[end:]) {
		return 0, errLine
	}
	return size - int64(len(tail)-end), nil
}

// Tidy drops what has expired. It waits for who appends, until ctx ends.
func (l *Log) Tidy(ctx context.Context) error {
	file, err := l.locked(ctx, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return l.replace(file, "")
}

// replace puts a file with what has not expired, and a line more where it is not "", in
// the place of one that is locked. Who reads has the one or the other, whole.
func (l *Log) replace(file *os.File, more string) (err error) {
	standing, changed, err := l.standing(file)
	if err != nil || !changed && more == "" {
		return err
	}
	if len(standing)+len(more) > maxFile {
		return errFull
	}
	made, err := os.CreateTemp(filepath.Dir(l.path), "."+filepath.Base(l.path)+".*") // for its owner only
	if err != nil {
		return cause(err)
	}
	defer func() {
		if err != nil {
			os.Remove(made.Name())
		}
	}()
	_, written := made.WriteString(standing + more)
	if err := errors.Join(written, give(made, l.path), sync(made), made.Close()); err != nil {
		return err
	}
	if err := os.Rename(made.Name(), l.path); err != nil {
		return cause(err)
	}
	return syncFolder(l.path)
}

// standing are the lines of a file that have not expired, and whether there is anything
// else in it.
func (l *Log) standing(file *os.File) (text string, changed bool, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", false, cause(err)
	}
	var standing strings.Builder
	now := l.now().UnixMilli()
	for from := bufio.NewReader(file); ; {
		line, _, whole, err := readLine(from)
		if err != nil {
			return "", false, err
		}
		if !whole {
			size, err := file.Seek(0, io.SeekEnd)
			return standing.String(), int64(standing.Len()) != size, err
		}
		entry, err := parse(line)
		if err != nil {
			return "", false, err
		}
		if entry.until > now {
			standing.Write(line)
			standing.WriteByte('\n')
		}
	}
}

// locked opens the file and waits until nobody else appends to it.
func (l *Log) locked(ctx context.Context, flags int) (*os.File, error) {
	poll := time.NewTicker(lockEvery)
	defer poll.Stop()
	for {
		file, err := open(l.path, flags)
		if err != nil {
			return nil, err
		}
		locked, err := l.lock(file)
		if locked && err == nil {
			return file, nil
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-poll.C:
		}
	}
}

// lock reports that the file is locked, and still the one at path: while it was waited
// for, another may have been put in its place.
func (l *Log) lock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, cause(err)
	}
	mine, err := file.Stat()
	if err != nil {
		return false, cause(err)
	}
	there, err := os.Lstat(l.path)
	if err != nil || !os.SameFile(mine, there) {
		return false, nil
	}
	// Looked at where it stands: what has this name alone is nobody else's file.
	if linked(there) {
		return false, ErrMode
	}
	return true, give(file, l.path)
}

// linked reports a file that has another name, too: who may write to the folder could
// have made one of a file of root's.
func linked(status os.FileInfo) bool { return status.Sys().(*syscall.Stat_t).Nlink > 1 }

// open opens a file that nobody but its owner can read or write.
func open(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, cause(err)
	}
	status, err := file.Stat()
	switch {
	case err != nil || !status.Mode().IsRegular() || status.Mode().Perm()&0o077 != 0 || linked(status):
		return nil, errors.Join(ErrMode, file.Close())
	case status.Size() > maxFile:
		return nil, errors.Join(errSize, file.Close())
	}
	return file, nil
}

// give makes a file its folder's owner's, who is to read what root appended.
func give(file *os.File, path string) error {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return cause(err)
	}
	owner := folder.Sys().(*syscall.Stat_t)
	if int(owner.Uid) == os.Geteuid() {
		return nil
	}
	if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
		return cause(err)
	}
	return nil
}

func sync(file *os.File) error {
	if err := file.Sync(); err != nil {
		return cause(err)
	}
	return nil
}

// syncFolder makes a name as durable as what it names.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return cause(err)
	}
	defer folder.Close()
	return sync(folder)
}
