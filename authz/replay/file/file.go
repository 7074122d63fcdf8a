// Package file keeps a log of texts in a file: what one process appends, another that
// follows the file finds there, and a process that starts later too.
//
// Each entry is a line. One is appended at a time, under a lock of the file, and is on
// disk when Append returns. What a crash left of a line has no end, and is none; a line
// that is whole and cannot be read is told to who follows, and hides none of the others.
// Where entries that have
// expired are dropped, the file is replaced as a whole.
//
// The file is its owner's alone, who is its folder's.
package file

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// maxText bounds a text, and maxFile the file, in bytes: room for 100,000 entries.
	maxText = 256
	maxFile = 16 << 20
	// maxLine is longer than a line can be.
	maxLine = 512
	// page is how many entries Since returns at most.
	page = 1_000
)

var (
	errText = errors.New("file: a text of the log is not 1 to 256 bytes")
	errFull = errors.New("file: the log is full of what has not expired")
	errLine = errors.New("file: a line of the log is none that was written here; take the line out, or restore the file from a copy")
	errSize = errors.New("file: the log is longer than 16 MiB, and so none that was written here; restore it from a copy")
	// ErrMode is of a file that others could have written to, or read.
	ErrMode = errors.New("file: the log is no regular file, has another name too, or can be read or written by others than its owner; chmod 600 it")
)

// Log is a log in a file. It is safe for concurrent use, by several processes too.
type Log struct {
	path string
	now  func() time.Time
}

// New returns the log at path, in a folder that is there. The file need not be: it is
// made by the first Append, and until then the log is empty. now is the clock; nil means
// time.Now.
func New(path string, now func() time.Time) *Log {
	if now == nil {
		now = time.Now
	}
	return &Log{path: path, now: now}
}

// Since returns what was appended after a mark, the oldest first, and the mark to go on
// from: not all of it at once, but something where there is something. The first mark
// is "". "" stands for a line that cannot be read. A mark is where the end of a line
// stands, and that: where the file has another there now, it leads to nothing but the first
// mark. What has expired may be returned too.
func (l *Log) Since(ctx context.Context, mark string) (texts []string, next string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	file, err := open(l.path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	at, found := find(file, mark)
	if !found {
		return nil, "", nil
	}
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return nil, "", cause(err)
	}
	return read(bufio.NewReader(file), at, mark)
}

// find is where in the file to go on from a mark, and whether it is one of this file.
func find(file *os.File, mark string) (at int64, found bool) {
	if mark == "" {
		return 0, true
	}
	number, line, _ := strings.Cut(mark, ":")
	at, err := strconv.ParseInt(number, 10, 64)
	if err != nil || at < 0 {
		return 0, false
	}
	there := make([]byte, len(line)+1)
	if _, err := file.ReadAt(there, at); err != nil || string(there) != line+"\n" {
		return 0, false
	}
	return at + int64(len(there)), true
}

// read reads whole lines from where the file stands, which is at.
func read(from *bufio.Reader, at int64, mark string) (texts []string, next string, err error) {
	next = mark
	for len(texts) < page {
		line, length, whole, err := readLine(from)
		if err != nil || !whole {
			return texts, next, err
		}
		// Of what cannot be read the text is "".
		entry, _ := parse(line)
		texts = append(texts, entry.text)
		at += length
		next = strconv.FormatInt(at-int64(len(line))-1, 10) + ":" + string(line)
	}
	return texts, next, nil
}

// readLine is the next line without its end, or the end of one that is too long to be ours,
// and how far it reaches. One that has no end is not whole: it is being written, or a crash
// cut it short.
func readLine(from *bufio.Reader) (line []byte, length int64, whole bool, err error) {
	for {
		part, err := from.ReadSlice('\n')
		length += int64(len(part))
		line = append(line, part...)
		line = line[max(0, len(line)-maxLine-1):]
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), length, true, nil
		case err == io.EOF && length <= maxLine:
			return nil, length, false, nil
		case err == io.EOF:
			return nil, length, false, errLine
		case err != bufio.ErrBufferFull:
			return nil, length, false, cause(err)
		}
	}
}

// entry is one line: when it may be forgotten, in Unix milliseconds, and its text.
type entry struct {
	until int64
	text  string
}

// line has something random in it, so that no two entries are one line.
func (e entry) line() string {
	return fmt.Sprintf("%d %s %s\n", e.until, rand.Text(), base64.StdEncoding.EncodeToString([]byte(e.text)))
}

func parse(line []byte) (entry, error) {
	fields := strings.Split(string(line), " ")
	if len(fields) != 3 || len(line) >= maxLine { // the end of one that is longer, it may be
		return entry{}, errLine
	}
	until, err := strconv.ParseInt(fields[0], 10, 64)
	text, undecoded := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil || undecoded != nil || len(text) == 0 || len(text) > maxText {
		return entry{}, errLine
	}
	return entry{until: until, text: string(text)}, nil
}

// cause is an error of a file without its path, which is in the operator's configuration.
func cause(err error) error {
	var fault *fs.PathError
	if errors.As(err, &fault) {
		err = fault.Err
	}
	return fmt.Errorf("file: the log: %w", err)
}
