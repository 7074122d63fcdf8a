package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// Lines reads all segments of a name in a folder, in order, each line without its end;
// a line is good until the next one is asked for. Only lines that a good seal stands
// for are given, and no error is made of a last batch without one: that may just be
// written, or be what a process that was cut short has left.
//
// An error names the file, and the byte up to which it is good. After it, reading goes
// on with the next segment, or, where a segment is whole but does not continue the one
// before, with its lines. Segments that are missing before the first one are none: they
// may have been archived.
//
// A Writer may have the segments open meanwhile. What it has not yet made durable is
// read too.
func Lines(folder, name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		numbers, err := list(folder, name)
		if err != nil {
			yield(nil, err)
			return
		}
		w := walk{folder: folder, name: name, yield: yield}
		for i, number := range numbers {
			w.number, w.last = number, i == len(numbers)-1
			if !w.follow() || !w.segment() {
				return
			}
		}
	}
}

// walk goes through segments. Its methods return false when the reader wants no more.
type walk struct {
	folder, name string
	yield        func([]byte, error) bool
	number       int
	// last says that nothing is known to come behind the segment.
	last bool
	// before is the number of the segment before, and ended the last sum it states, zero
	// where that is not known.
	before int
	ended  sum
}

// follow tells of segments that are missing before this one.
func (w *walk) follow() bool {
	first, before := w.before+1, w.before
	w.before = w.number
	if before == 0 || first == w.number {
		return true
	}
	w.ended = sum{}
	return w.yield(nil, fmt.Errorf("%s: is not there, and %s is; restore all segments between %s and it from a copy",
		fileName(w.name, first), fileName(w.name, w.number), fileName(w.name, before)))
}

func (w *walk) segment() bool {
	ended := w.ended
	w.ended = sum{}
	file, err := openRegular(filepath.Join(w.folder, fileName(w.name, w.number)), os.O_RDONLY)
	if w.last && errors.Is(err, fs.ErrNotExist) {
		return true // the Writer could not finish it, and has removed it again
	}
	if err != nil {
		return w.yield(nil, fmt.Errorf("%w; restore it from a copy", err))
	}
	defer file.Close()
	r := read(file, chain{})
	previous, err := r.header(w.number)
	if err != nil {
		return w.end(file, r.chain, err)
	}
	if ended != (sum{}) && previous != ended {
		if !w.fault(r.chain, "does not continue the segment before it: one of the two was changed or replaced") {
			return false
		}
	}
	return w.batches(file, r)
}

// batches gives all lines behind a header.
func (w *walk) batches(file io.ReaderAt, r *reader) bool {
	again := false
	for {
		batch, err := r.next()
		if err == errDamaged && !again {
			// What a Writer could not finish and cut off again may have been read in part.
			r, again = read(file, r.chain), true
			continue
		}
		if err != nil {
			return w.end(file, r.chain, err)
		}
		again = false
		for line := range bytes.Lines(batch) {
			if !w.yield(line[:len(line)-1], nil) {
				return false
			}
		}
	}
}

// end tells why a segment could not be read further, if anything is wrong with that.
func (w *walk) end(file io.ReaderAt, at chain, why error) bool {
	switch {
	case why == io.EOF || why == errTorn && w.last:
		w.ended = at.sum
		return true
	case why == errTorn:
		w.ended = at.sum
		return w.fault(at, "is cut off: the end of this segment is not sealed, although another follows")
	case why != errDamaged:
		return w.fault(at, why.Error())
	}
	var err error
	if w.ended, err = ending(file); err != nil {
		return w.fault(at, err.Error())
	}
	return w.fault(at, "what follows does not fit its seal: it was damaged or changed")
}

func (w *walk) fault(at chain, what string) bool {
	return w.yield(nil, fmt.Errorf("%s: %s; compare the file with a copy, and keep both", place(w.name, w.number, at), what))
}
