package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz/audit/segment"
)

const (
	// pause is how long a refusal before authentication waits to be written, and what is
	// still owed after a fault of the disk to be tried again.
	pause = 100 * time.Millisecond
	// maxCommit is how many bytes are committed at once, but for what one record adds.
	maxCommit = segment.MaxBatch / 2
)

// write is the only goroutine that touches the files of records, so that no caller ever waits for
// a lock that is held while the disk is slow.
func (l *Log) write() {
	defer close(l.ended)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var owed []byte
	for {
		select {
		case <-l.wake:
			owed, _ = l.commit(owed)
		case <-tick.C:
			l.look()
			owed, _ = l.commit(owed)
			l.writeRefusals(window)
			l.writeDifferences(differing)
			l.sync(window)
		case <-l.stop:
			l.left = l.finish(owed)
			return
		}
	}
}

// finish writes all that is owed and that waits, and says how much of it cannot be.
func (l *Log) finish(owed []byte) error {
	var err error
	for more := true; more && err == nil; more = len(owed) > 0 || l.waits() {
		owed, err = l.commit(owed)
	}
	stranded := l.take(math.MaxInt) // none, unless there is an error
	l.settle(stranded, err)
	err = errors.Join(err, l.writeRefusals(0), l.writeDifferences(0))
	lost := bytes.Count(append(owed, unwaited(stranded)...), []byte("\n")) + l.refused.size()
	if lost == 0 {
		return nil
	}
	return fmt.Errorf("%d records could not be written: %w", lost, err)
}

func (l *Log) waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

// commit writes what is owed and all records that wait, and makes them durable by one
// fsync unless the log is buffered. It returns what is owed then: the records of what
// was abandoned meanwhile, or, where nothing could be written, what must be tried again.
// Of a durable log that is at most one batch, because a batch is kept only with what is
// owed before it; a buffered one takes no more records until what is owed is written.
func (l *Log) commit(owed []byte) ([]byte, error) {
	taken := l.take(maxCommit - len(owed))
	if len(taken) == 0 && len(owed) == 0 {
		return nil, nil
	}
	lines := bytes.Clone(owed)
	for _, e := range taken {
		lines = append(lines, e.line...)
	}
	err := l.records.Append(lines, !l.buffered)
	l.tell(err, lines)
	late := l.settle(taken, err)
	if err != nil {
		return append(owed, unwaited(taken)...), err
	}
	return l.abandon(late), nil
}

// unwaited is what must be tried again: the lines of records that nobody waits for.
func unwaited(batch []*entry) (lines []byte) {
	for _, e := range batch {
		if e.done == nil {
			lines = append(lines, e.line...)
		}
	}
	return lines
}

// take takes the records that wait, but for those whose callers have been refused, until
// they have so many bytes. The writer is woken again for what is left.
func (l *Log) take(room int) []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := slices.DeleteFunc(l.waiting, (*entry).isLate)
	taken := 0
	for ; taken < len(batch) && room > 0; taken++ {
		room -= len(batch[taken].line)
	}
	l.waiting, l.queued = slices.Clone(batch[taken:]), 0
	for _, e := range l.waiting {
		l.queued += len(e.line)
	}
	if len(l.waiting) > 0 {
		l.nudge()
	}
	return batch[:taken]
}

// settle tells the outcome to those who have time left, and returns the others. A
// caller whose time ends after this was told finds it all the same.
func (l *Log) settle(batch []*entry, err error) (late []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		switch {
		case e.done == nil: // answered before
		case e.isLate():
			late = append(late, e)
		default:
			e.done <- err
		}
	}
	return late
}

// abandon is the lines that take back records whose callers were refused.
func (l *Log) abandon(late []*entry) (lines []byte) {
	for _, e := range late {
		line, err := canonical(abandoned(e.record))
		if err != nil { // no form for a field, although the record itself had one
			l.end(err)
			return nil
		}
		lines = append(append(lines, line...), '\n')
		l.nudge()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Abandoned += uint64(len(late))
	return lines
}

func (e *entry) isLate() bool {
	select {
	case <-e.late:
		return true
	default:
		return false
	}
}

// sync makes durable, once in a window, what was only written: refusals, and the records
// of a buffered log.
func (l *Log) sync(window time.Duration) {
	if time.Since(l.synced) < window {
		return
	}
	l.synced = time.Now()
	if err := l.records.Sync(); err != nil {
		l.tell(err, nil)
	}
}
