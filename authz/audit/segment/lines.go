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
		for line, err := range After(folder, name, Place{}) {
			if !yield(line.Text, err) {
				return
			}
		}
	}
}

// Place is how far segments were read: to a line of one of them, counted from 1. The
// zero Place is their beginning.
type Place struct {
	Segment int `json:"segment"`
	Line    int `json:"line"`
}

// Before reports that a place comes before another.
func (p Place) Before(other Place) bool {
	return p.Segment < other.Segment || p.Segment == other.Segment && p.Line < other.Line
}

// Previous is the place behind which a line stands.
func (p Place) Previous() Place { return Place{Segment: p.Segment, Line: p.Line - 1} }

// In says which line it is of a name's segments.
func (p Place) In(name string) string {
	return fmt.Sprintf("%s, line %d without seals", fileName(name, p.Segment), p.Line)
}

// Line is a line of a segment without its end, and where it stands.
type Line struct {
	Text  []byte
	Place Place
}

// After is as Lines, from behind a place. Segments before that one are not opened, and
// of the place's own what was wrong up to there is not told again.
func After(folder, name string, place Place) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		numbers, err := list(folder, name)
		if err != nil {
			yield(Line{}, err)
			return
		}
		w := walk{folder: folder, name: name, yield: yield, place: place, before: max(0, place.Segment-1), reader: read(nil, chain{})}
		for i, number := range numbers {
			if number < place.Segment {
				continue
			}
			w.number, w.line, w.last = number, 0, i == len(numbers)-1
			if !w.follow() || !w.segment() {
				return
			}
		}
	}
}

// walk goes through segments. Its methods return false when the reader wants no more.
type walk struct {
	folder, name string
	yield        func(Line, error) bool
	// place is up to where nothing is given.
	place Place
	// number is the segment's, and line how many of its lines were read.
	number, line int
	// last says that nothing is known to come behind the segment.
	last bool
	// before is the number of the segment before, and ended the last sum it states, zero
	// where that is not known.
	before int
	ended  sum
	reader *reader
}

// follow tells of segments that are missing before this one.
func (w *walk) follow() bool {
	first, before := w.before+1, w.before
	w.before = w.number
	if before == 0 || first == w.number {
		return true
	}
	w.ended = sum{}
	return w.yield(Line{}, fmt.Errorf("%s: is not there, and %s is; restore all segments between %s and it from a copy",
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
		return w.yield(Line{}, fmt.Errorf("%w; restore it from a copy", err))
	}
	defer file.Close()
	w.reader.begin(file, chain{})
	previous, err := w.reader.header(w.number)
	if err != nil {
		return w.end(file, w.reader.chain, err)
	}
	if ended != (sum{}) && previous != ended {
		if !w.fault(w.reader.chain, "does not continue the segment before it: one of the two was changed or replaced") {
			return false
		}
	}
	return w.batches(file)
}

// batches gives all lines behind a header.
func (w *walk) batches(file io.ReaderAt) bool {
	again := false
	for {
		batch, err := w.reader.next()
		if err == errDamaged && !again {
			// What a Writer could not finish and cut off again may have been read in part.
			w.reader.begin(file, w.reader.chain)
			again = true
			continue
		}
		if err != nil {
			return w.end(file, w.reader.chain, err)
		}
		again = false
		for line := range bytes.Lines(batch) {
			if !w.give(line[:len(line)-1]) {
				return false
			}
		}
	}
}

func (w *walk) give(text []byte) bool {
	w.line++
	if w.number == w.place.Segment && w.line <= w.place.Line {
		return true
	}
	return w.yield(Line{Text: text, Place: Place{Segment: w.number, Line: w.line}}, nil)
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
	return w.yield(Line{}, fmt.Errorf("%s: %s; compare the file with a copy, and keep both", place(w.name, w.number, at), what))
}
