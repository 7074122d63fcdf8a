package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// maxWaiting and maxQueued are how many records, and bytes of them, may wait for the
// disk. It is more than are ever wanted at once: behind it there is a disk
// that hangs.
const (
	maxWaiting = 4096
	maxQueued  = 64 << 20
)

var (
	errClosed = errors.New("closed")
	errFull   = errors.New("too many records wait for the disk")
)

// files is what a Log asks of the files that it appends to: a segment.Writer's part.
type files interface {
	Append(lines []byte, durable bool) error
	Probe(size int) error
	Sync() error
	Failed() error
	Close() error
}

// Log is an open log. It is safe for concurrent use. One goroutine, which Close ends,
// writes the records: all that wait become durable by one fsync. Another writes inputs.
type Log struct {
	key *key
	// inputs is nil where none are kept.
	inputs   *keeper
	repairs  []string
	buffered bool
	folder   string
	reserve  int64

	// wake has room for one: there is something to write.
	wake chan struct{}
	// stop asks the writer to end, and ended says that it has.
	stop, ended chan struct{}

	mu      sync.Mutex
	waiting []*entry
	queued  int // the bytes of waiting
	refused refusals
	// differing are what a policy that is tried would have decided otherwise.
	differing differences
	// shut is why no record is taken any more, once it is set.
	shut  error
	state State
	// unwritten is the most, in bytes, that the disk did not take at once since its fault
	// began.
	unwritten int

	// The writer's alone until it has ended.
	records files
	// left is what could not be written until the log was closed, or nil.
	left error
	// synced is when what was only written was last made durable.
	synced time.Time
}

// entry is a record that waits to be written.
type entry struct {
	line   []byte
	record *decisionv1.Decision
	// late is closed when the caller's time is over; nil where nobody waits.
	late <-chan struct{}
	// done has room for the outcome, which is told only to a caller who has time left.
	done chan error
}

var _ authz.Recorder = (*Log)(nil)

// start begins to write.
func (l *Log) start(records files, inputs *keeper) *Log {
	l.records, l.inputs = records, inputs
	l.refused.since, l.differing.since, l.synced = time.Now(), time.Now(), time.Now()
	l.wake, l.stop, l.ended = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	l.look()
	go l.write()
	if inputs != nil {
		go inputs.run()
	}
	return l
}

// Repairs tells what Open found unfinished or damaged in the files, a text for each.
func (l *Log) Repairs() []string { return l.repairs }

// Subject returns the caller's pseudonym, the one that stands in records of its
// decisions, or "" where the caller has no subject.
func (l *Log) Subject(caller authz.Caller) string {
	return l.key.subject(caller.Issuer, caller.Subject)
}

// Record appends a decision to the log. An allow, and any decision about a caller
// who has authenticated, is on disk when it returns, unless the log is buffered. A
// refusal before that costs whoever provokes it nothing: it is written later, or only
// counted (see refusals).
//
// It returns an error at once where too many records wait, and when ctx ends. What has
// not been begun by then is not written; what had been, and is kept, is followed by a
// record that says that it was abandoned. After an error of the disk the record is cut
// off again, as far as the disk lets it be. After a failed fsync every later call
// fails too: the kernel may have dropped what it could not write, and report the next
// fsync as done. The record's decision and facts may not be nil.
func (l *Log) Record(ctx context.Context, record authz.Record) error {
	keep := l.keep
	if !record.Decision.Allowed && !authenticated(record) {
		keep = l.refuse
	}
	if err := keep(ctx, record); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// authenticated reports a caller who can be held to what it did. Whoever sends a token that
// is revoked, or from where its client never calls, is most likely somebody else, who could
// fill the disk with it; while it is not known what is revoked, anybody may be.
func authenticated(record authz.Record) bool {
	switch record.Decision.Reason {
	case authz.TokenRevoked, authz.RevocationsUnavailable, authz.ClientAddress:
		return false
	}
	return record.Facts.Token != nil
}

// keep makes a record as durable as the log is.
func (l *Log) keep(ctx context.Context, record authz.Record) error {
	e, err := l.entry(record, func(*authz.Input) bool { return true })
	if err != nil {
		return err
	}
	if l.buffered {
		return l.enqueue(ctx, e)
	}
	e.late, e.done = ctx.Done(), make(chan error, 1)
	if err := l.enqueue(ctx, e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
	}
	// The writer tells an outcome only while holding the lock, and only to a caller
	// who has time left: what is not there now never will be.
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case err := <-e.done:
		return err
	default:
		return ctx.Err()
	}
}

// Abandon appends the record that takes back another, which was kept and not answered. A
// log that cannot be written to keeps it until it can.
func (l *Log) Abandon(record authz.Record) {
	line, err := canonical(abandoned(describe(record, l.key)))
	if err != nil {
		return // as the record itself would have
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Abandoned++
	e := &entry{line: append(line, '\n')}
	l.waiting = append(l.waiting, e)
	l.queued += len(e.line)
	l.nudge()
}

// entry is the record's line; its input goes its own way, if that is affordable.
func (l *Log) entry(record authz.Record, affords func(*authz.Input) bool) (*entry, error) {
	e := &entry{record: describe(record, l.key)}
	if record.Facts.Input != nil && l.inputs != nil {
		e.record.InputOmitted = l.offer(record, affords)
		if e.record.InputOmitted == "" {
			e.record.InputKeyId = l.inputs.vault.KeyID()
		}
	}
	line, err := canonical(e.record)
	e.line = append(line, '\n')
	return e, err
}

func (l *Log) enqueue(ctx context.Context, e *entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.shut != nil:
		return l.shut
	case ctx.Err() != nil:
		return ctx.Err()
	case l.buffered && l.state.Fault != nil: // what is taken now might never be written
		return l.state.Fault
	case len(l.waiting) >= maxWaiting || l.queued >= maxQueued:
		return errFull
	}
	l.waiting = append(l.waiting, e)
	l.queued += len(e.line)
	l.nudge()
	return nil
}

// nudge wakes the writer, now or when it is done with what it is at.
func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close makes durable what waits and what was only written, and lets the files go. Its
// error says how many records could not be. Records after it fail. A second call does
// nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.shut == errClosed
	l.shut = errClosed
	l.mu.Unlock()
	if closed {
		return nil
	}
	close(l.stop)
	<-l.ended
	err := errors.Join(l.left, l.records.Close())
	if l.inputs != nil {
		err = errors.Join(err, l.inputs.close())
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
