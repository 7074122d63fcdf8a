package audit

import (
	"bytes"
	"slices"
	"time"
)

// pause is how long a refusal before authentication waits to be written, and what is
// still owed after a fault of the disk to be tried again.
const pause = 100 * time.Millisecond

// write is the only goroutine that touches the disk, so that no caller ever waits for
// a lock that is held while the disk is slow.
func (l *Log) write() {
	defer close(l.ended)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var owed []byte
	for {
		select {
		case <-l.wake:
			owed = l.commit(owed)
		case <-tick.C:
			owed = l.commit(owed)
			l.writeRefusals(window)
		case <-l.stop:
			// Committing what waits can leave something owed, once.
			l.commit(l.commit(owed))
			l.writeRefusals(0)
			return
		}
	}
}

// commit makes durable, by one fsync, what is owed and all records that wait. It
// returns what is owed then: the records of what was abandoned meanwhile, or the same
// as before where nothing could be written. It is at most one batch, because a batch
// is kept only with what is owed before it.
func (l *Log) commit(owed []byte) []byte {
	batch := l.take()
	if len(batch) == 0 && len(owed) == 0 {
		return nil
	}
	lines := bytes.Clone(owed)
	for _, e := range batch {
		lines = append(lines, e.line...)
	}
	err := l.disk.append(lines, true)
	late := l.settle(batch, err)
	if err != nil {
		return owed
	}
	return l.abandon(late)
}

// take takes the records that wait, but for those whose callers have been refused.
func (l *Log) take() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := slices.DeleteFunc(l.waiting, (*entry).isLate)
	l.waiting = nil
	return batch
}

// settle tells the outcome to those who have time left, and returns the others. A
// caller whose time ends after this was told finds it all the same.
func (l *Log) settle(batch []*entry, err error) (late []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut == nil {
		l.shut = l.disk.failed
	}
	for _, e := range batch {
		if e.isLate() {
			late = append(late, e)
			continue
		}
		e.done <- err
	}
	return late
}

// abandon is the lines that take back records whose callers were refused.
func (l *Log) abandon(late []*entry) []byte {
	var lines []byte
	for _, e := range late {
		line, err := canonical(abandoned(e.record))
		if err != nil { // no form for a field, although the record itself had one
			l.disk.failed = err
			return nil
		}
		lines = append(append(lines, line...), '\n')
		l.nudge()
	}
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
