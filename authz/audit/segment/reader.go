package segment

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
)

var (
	// errTorn: the rest is what a write that was cut short leaves. No seal is in it.
	errTorn = errors.New("the end is not sealed")
	// errDamaged: what follows is nothing that a Writer leaves, however it ended.
	errDamaged = errors.New("what stands here does not fit its seal")
)

// reader reads a segment batch by batch, and gives nothing that no seal stands for. Its
// buffers are those of the segments that it read before.
type reader struct {
	from        *bufio.Reader
	text, batch []byte
	chain       chain
}

// read begins where a chain stands, or with the header where it is zero.
func read(file io.ReaderAt, at chain) *reader {
	r := &reader{from: bufio.NewReaderSize(nil, 64<<10)}
	r.begin(file, at)
	return r
}

// begin has r read another segment, or go on elsewhere in one.
func (r *reader) begin(file io.ReaderAt, at chain) {
	r.from.Reset(io.NewSectionReader(file, at.end, math.MaxInt64-at.end))
	r.chain = at
}

// header reads the first line, and returns what it states of the segment before.
func (r *reader) header(number int) (previous sum, err error) {
	line, err := r.line()
	switch {
	case err == io.EOF && len(line) <= maxFrame:
		return sum{}, errTorn
	case err != nil && err != io.EOF:
		return sum{}, err
	}
	previous, is := parseHeader(line, number)
	if !is {
		return sum{}, errDamaged
	}
	r.chain = begun(line)
	return previous, nil
}

// next returns the next batch without its seal; it is good until the next call. At the
// end it returns io.EOF, or errTorn or errDamaged for what stands behind the chain.
func (r *reader) next() ([]byte, error) {
	r.batch = r.batch[:0]
	for {
		line, err := r.line()
		switch {
		case err == io.EOF:
			return nil, r.rest(line)
		case err != nil:
			return nil, err
		case bytes.HasPrefix(line, sealStart):
			return r.sealed(line)
		case checkLine(line) != nil || len(r.batch)+len(line) > MaxBatch:
			return nil, errDamaged
		}
		r.batch = append(r.batch, line...)
	}
}

func (r *reader) sealed(line []byte) ([]byte, error) {
	want, next := r.chain.seal(r.batch)
	if !bytes.Equal(line, want) {
		return nil, errDamaged
	}
	r.chain = next
	return r.batch, nil
}

// rest says what an end without a seal is. A seal is written behind its lines: one
// that is whole, or begun otherwise than these lines ask for, was not cut short but
// changed, or its lines were.
func (r *reader) rest(unended []byte) error {
	if len(r.batch) == 0 && len(unended) == 0 {
		return io.EOF
	}
	want, _ := r.chain.seal(r.batch)
	// Some file systems put zeros in the place of what they could not write.
	begun := bytes.TrimRight(unended, "\x00")
	switch {
	case reserved(begun) && !bytes.HasPrefix(want, begun), len(r.batch)+len(unended) > MaxBatch+maxFrame:
		return errDamaged
	case endsInSeal(r.batch):
		return errDamaged // a line and its seal are one, because the end of the line was changed
	}
	return errTorn
}

// all reads a segment to its end, where it returns nil, or to where next returned an
// error.
func (r *reader) all(number int) error {
	_, err := r.header(number)
	for err == nil {
		_, err = r.next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// line reads to the end of a line. A line that is too long comes in pieces, each too
// long for a line.
func (r *reader) line() ([]byte, error) {
	r.text = r.text[:0]
	for {
		part, err := r.from.ReadSlice('\n')
		r.text = append(r.text, part...)
		if err != bufio.ErrBufferFull {
			return r.text, err
		}
		if len(r.text) > MaxLine {
			return r.text, nil
		}
	}
}

// ending is the last sum that a segment states, whatever was done to it: what the
// header of the next one names.
func ending(file io.ReaderAt) (sum, error) {
	r := read(file, chain{})
	line, err := r.line()
	last := begun(line).sum
	for err == nil {
		if line, err = r.line(); err == nil {
			if s, is := stated(line); is {
				last = s
			}
		}
	}
	if err != io.EOF {
		return sum{}, err
	}
	return last, nil
}
