package audit

import "bytes"

// State is how a log stands: what an operator is told of it.
type State struct {
	// Fault is why no record can be kept, or nil. A full disk is one until there is room
	// again; a failed fsync is one until the process starts again.
	Fault error
	// Waiting are the records that wait to be written.
	Waiting int
	// Written are the records that were written, Abandoned those of them that take one
	// back, and Counted the refusals before authentication that were only counted.
	Written, Abandoned, Counted uint64
	// LostInputs are those that could not be kept.
	LostInputs uint64
	// InputsFault is why none is kept now, or nil: it ends as Fault does, and denies nothing.
	InputsFault error
	// Free is what is free of the disk, in bytes, and Low says that it is less than the
	// reserve: neither inputs nor refusals before authentication are written then.
	Free uint64
	Low  bool
}

// State tells how the log stands.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.state
	state.Waiting = len(l.waiting)
	if l.inputs != nil {
		state.LostInputs, state.InputsFault = l.inputs.state()
	}
	return state
}

// look looks how much of the disk is free and, where nothing could be written, whether
// it can be now: with health saying that it cannot, no request may come to try it. As much
// as failed must fit: with room for less, health would come and go with each batch.
func (l *Log) look() {
	free, known := room(l.folder)
	l.mu.Lock()
	l.state.Free, l.state.Low = free, known && free < uint64(l.reserve)
	faulty, unwritten := l.state.Fault != nil && l.shut == nil, l.unwritten
	l.mu.Unlock()
	if !faulty {
		return
	}
	err := l.records.Probe(unwritten)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Fault = err; err == nil {
		l.unwritten = 0
	}
}

// tell notes how the writing of lines went, and ends the log where nothing can follow it.
func (l *Log) tell(err error, lines []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.unwritten = max(l.unwritten, len(lines))
	}
	switch {
	case err == nil: // A fault stays until there is room for what failed, and more than a short record.
		l.state.Written += uint64(bytes.Count(lines, []byte("\n")))
	case l.shut == nil:
		l.state.Fault, l.shut = err, l.records.Failed()
	}
}

// end takes no record any more.
func (l *Log) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut == nil {
		l.state.Fault, l.shut = err, err
	}
}

func (l *Log) low() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Low
}
