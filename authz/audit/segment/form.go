package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// MaxLine is how long a line may be, with its end.
	MaxLine = 16 << 20
	// MaxBatch is how long all lines of a batch may be: a reader holds a batch in
	// memory until it has seen the seal.
	MaxBatch = 32 << 20

	form = 1
	// maxFrame is more than a header or a seal ever has.
	maxFrame = 256
)

var (
	sealStart   = []byte(`{"seal"`)
	headerStart = []byte(`{"segment"`)
)

// sum is what a seal states. The zero sum is none.
type sum [sha256.Size]byte

// chain is how far seals vouch for a segment.
type chain struct {
	// end is where the last good seal ends, or the header where there is none yet.
	end    int64
	sum    sum
	sealed bool
}

// begun is the chain behind a header.
func begun(header []byte) chain {
	return chain{end: int64(len(header)), sum: sha256.Sum256(header)}
}

// seal is the line that closes a batch, and the chain behind it.
func (c chain) seal(lines []byte) ([]byte, chain) {
	hash := sha256.New()
	hash.Write(c.sum[:])
	hash.Write(lines)
	next := sum(hash.Sum(nil))
	line := sealLine(bytes.Count(lines, []byte("\n")), next)
	return line, chain{end: c.end + int64(len(lines)+len(line)), sum: next, sealed: true}
}

func sealLine(records int, s sum) []byte {
	return fmt.Appendf(nil, `{"seal":{"records":%d,"sha256":"%x"}}`+"\n", records, s[:])
}

// headerLine begins a segment behind one that ended with previous.
func headerLine(number int, previous sum) []byte {
	if previous == (sum{}) {
		return fmt.Appendf(nil, `{"segment":{"form":%d,"number":%d}}`+"\n", form, number)
	}
	return fmt.Appendf(nil, `{"segment":{"form":%d,"number":%d,"previous":"%x"}}`+"\n", form, number, previous[:])
}

// stated is the sum that a line states if it is a seal, be it true or not. There is
// one way to write a seal.
func stated(line []byte) (sum, bool) {
	if len(line) > maxFrame || !bytes.HasPrefix(line, sealStart) {
		return sum{}, false
	}
	var read struct {
		Seal struct {
			Records int    `json:"records"`
			SHA256  string `json:"sha256"`
		} `json:"seal"`
	}
	if err := json.Unmarshal(line, &read); err != nil {
		return sum{}, false
	}
	s := parseSum(read.Seal.SHA256)
	return s, bytes.Equal(line, sealLine(read.Seal.Records, s))
}

// endsInSeal reports lines whose last one has a seal at its end, which no JSON does.
func endsInSeal(lines []byte) bool {
	at := bytes.LastIndex(lines, sealStart)
	if at < 0 {
		return false
	}
	_, is := stated(lines[at:])
	return is
}

// parseHeader is the sum that the header of a segment states of the one before, zero
// where it states none, and whether it is that segment's header.
func parseHeader(line []byte, number int) (previous sum, is bool) {
	if len(line) > maxFrame {
		return sum{}, false
	}
	var read struct {
		Segment struct {
			Previous string `json:"previous"`
		} `json:"segment"`
	}
	if err := json.Unmarshal(line, &read); err != nil {
		return sum{}, false
	}
	previous = parseSum(read.Segment.Previous)
	return previous, bytes.Equal(line, headerLine(number, previous))
}

// parseSum is zero for what is not a sum.
func parseSum(text string) (s sum) {
	if decoded, err := hex.DecodeString(text); err == nil && len(decoded) == len(s) {
		copy(s[:], decoded)
	}
	return s
}

// reserved reports the lines that only this package writes.
func reserved(line []byte) bool {
	return bytes.HasPrefix(line, sealStart) || bytes.HasPrefix(line, headerStart)
}

var (
	errNoLines  = errors.New("there is no line to append")
	errBatch    = fmt.Errorf("the lines are longer than %d bytes together: append them in parts", MaxBatch)
	errUnended  = errors.New("the last line has no end")
	errEmpty    = errors.New("a line is empty")
	errLong     = fmt.Errorf("a line is longer than %d bytes", MaxLine)
	errReserved = errors.New(`a line begins as a seal or a header does: {"seal" and {"segment" are not for callers`)
)

// checkLines says why lines cannot be a batch.
func checkLines(lines []byte) error {
	switch {
	case len(lines) == 0:
		return errNoLines
	case len(lines) > MaxBatch:
		return errBatch
	case lines[len(lines)-1] != '\n':
		return errUnended
	}
	for line := range bytes.Lines(lines) {
		if err := checkLine(line); err != nil {
			return err
		}
	}
	return nil
}

func checkLine(line []byte) error {
	switch {
	case len(line) == 1:
		return errEmpty
	case len(line) > MaxLine:
		return errLong
	case reserved(line):
		return errReserved
	}
	return nil
}
