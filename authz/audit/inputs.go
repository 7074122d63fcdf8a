package audit

import (
	"bytes"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/vault"
)

// Why an input is not kept, in its record.
const (
	omittedTooLarge = "too_large"
	omittedReserve  = "reserve"
	omittedFault    = "fault"
)

// seal is the line of a record's input, or nil and why: that an input cannot be kept is
// told by the record and the log's state, and is no reason to refuse a request whose
// decision can be recorded.
func (l *Log) seal(record authz.Record) (line []byte, omitted string) {
	switch {
	case record.Facts.Input.TooLarge:
		omitted = omittedTooLarge
	case l.low():
		omitted = omittedReserve
	default:
		var err error
		line, err = l.vault.Seal(vault.Entry{ID: record.Decision.ID, Time: record.Facts.Time,
			Revision: record.Decision.Revision, Input: *record.Facts.Input})
		if err != nil {
			omitted = omittedFault
		}
	}
	if omitted != "" {
		l.lose(1)
	}
	return line, omitted
}

// keepInputs writes the inputs of records that are about to be written. They become
// durable within a second: a power failure can lose the last of them.
func (l *Log) keepInputs(batch []*entry) {
	var lines []byte
	for _, e := range batch {
		lines = append(lines, e.input...)
		if len(lines) >= maxCommit {
			l.appendInputs(lines)
			lines = nil
		}
	}
	l.appendInputs(lines)
}

func (l *Log) appendInputs(lines []byte) {
	if len(lines) == 0 {
		return
	}
	if err := l.inputs.Append(lines, false); err != nil {
		l.lose(bytes.Count(lines, []byte("\n")))
	}
}

func (l *Log) lose(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.LostInputs += uint64(n)
}
