// Package segment keeps lines in files that are only ever appended to, sealed so that
// damage and tampering show, and begun anew when they have grown to a size.
//
// Every line of a file is one JSON object: a header, then batches of the caller's
// lines, each closed by a seal. A seal is a SHA-256 over the seal before it (the
// first: over the header) and the batch, and a header states the last seal of the
// segment before. So a line that was changed, removed, added or put elsewhere shows,
// and so does a whole segment.
//
// It does not show what whoever can write all of it does with care: the sums have no
// key, and everything behind a change can be sealed again. Nor does it show that the
// end of the last segment is gone, or the first segments. It knows nothing of what
// the lines say.
package segment

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/countersign-io/countersign/authz"
)

// Config says where segments are kept. All of it is required.
type Config struct {
	// Folder must exist. One Writer at a time may have segments of a name open in it.
	Folder string
	// Name begins the names of the files: "decisions" makes decisions-00000001.jsonl,
	// decisions-00000002.jsonl and so on. Other files in the folder are left alone.
	Name string
	// MaxBytes is the size at which a segment is closed. A batch is never divided: the
	// last one of a segment may end beyond it.
	MaxBytes int64
}

const (
	suffix = ".jsonl"
	// digits make the order of names that of numbers.
	digits    = 8
	maxNumber = 99_999_999
)

func (c Config) check() error {
	var problems authz.Problems
	if c.Folder == "" {
		problems.Add("folder", "is missing", "name a folder that exists")
	}
	if !isName(c.Name) {
		problems.Add("name", "is missing, or has more than small letters, digits and dashes", "use one such as decisions")
	}
	if c.MaxBytes <= 0 {
		problems.Add("max_bytes", "is not more than 0", "use a size such as 67108864, 64 MiB")
	}
	return problems.Err()
}

func isName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && name[0] != '-'
}

func fileName(name string, number int) string {
	return fmt.Sprintf("%s-%0*d%s", name, digits, number, suffix)
}

// list is the numbers of the segments in a folder, in order.
func list(folder, name string) ([]int, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, entry := range entries {
		if number := numberOf(entry.Name(), name); number > 0 {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

// numberOf is the number of the segment that a file is by its name, or 0.
func numberOf(file, name string) int {
	rest, ours := strings.CutPrefix(file, name+"-")
	text, ends := strings.CutSuffix(rest, suffix)
	if !ours || !ends || len(text) != digits {
		return 0
	}
	number := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0
		}
		number = number*10 + int(text[i]-'0')
	}
	return number
}

var errNotRegular = errors.New("is not a regular file")

// openRegular opens a file that exists. A link could point at a file that is not ours,
// and a pipe would hold us up.
func openRegular(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENXIO):
		return nil, &os.PathError{Op: "open", Path: path, Err: errNotRegular}
	case err != nil:
		return nil, err
	}
	status, err := file.Stat()
	if err == nil && !status.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
