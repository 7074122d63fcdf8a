package audit

import (
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/vault"
)

const (
	// maxKept is how many bytes of inputs may wait to be kept. A disk that is slower than
	// they come loses some: no request waits for an input.
	maxKept = 32 << 20
	// maxSealed is how many bytes of them are appended at once, but for what one adds.
	maxSealed = 4 << 20
	// besides is about what an input that waits takes beside its document.
	besides = 1 << 10
)

// Why an input is not kept, in its record.
const (
	omittedTooLarge = "too_large"
	omittedReserve  = "reserve"
	omittedFault    = "fault"
	omittedFlood    = "flood"
)

// offer hands the input of a record over to be kept, or says why it is not. That is told
// by the record and the log's state, and is no reason to refuse a request whose decision
// can be recorded.
func (l *Log) offer(record authz.Record, affords func(*authz.Input) bool) (omitted string) {
	input := *record.Facts.Input
	input.Prepared = nil // what waits is not to hold more than is kept
	if omitted = l.omits(); input.TooLarge {
		omitted = omittedTooLarge
	}
	if omitted == "" && !affords(&input) {
		omitted = omittedFlood
	}
	if omitted == "" && !l.inputs.take(vault.Entry{ID: record.Decision.ID, Time: record.Facts.Time,
		Revision: record.Decision.Revision, Input: input}) {
		omitted = omittedFault
	}
	if omitted != "" && omitted != omittedFlood {
		l.inputs.lose(1)
	}
	return omitted
}

// omits is why no input is kept now, or "".
func (l *Log) omits() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state.Low:
		return omittedReserve
	case l.state.Fault != nil, l.shut != nil:
		return omittedFault
	}
	return ""
}

// keeper keeps inputs. Only its own goroutine, which close ends, touches the disk, so that
// no record is ever behind a large input, or an fsync of inputs.
type keeper struct {
	// vault is the goroutine's, but for its KeyID.
	vault *vault.Vault
	files files

	// wake has room for one: there is something to keep.
	wake        chan struct{}
	stop, ended chan struct{}

	mu      sync.Mutex
	waiting []vault.Entry
	queued  int // the bytes of waiting
	lost    uint64
	// fault is why none is taken, or nil.
	fault error

	// The goroutine's alone: what must go well before inputs are taken again, and when what
	// was written was last made durable.
	unsealed  *vault.Entry
	unwritten int
	synced    time.Time
}

func newKeeper(vault *vault.Vault, files files) *keeper {
	return &keeper{vault: vault, files: files, synced: time.Now(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
}

// take takes an input to be kept soon, unless there is a fault or too many wait.
func (k *keeper) take(entry vault.Entry) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	size := sizeOf(entry)
	if k.fault != nil || k.queued+size > maxKept {
		return false
	}
	k.waiting = append(k.waiting, entry)
	k.queued += size
	k.nudge()
	return true
}

func sizeOf(entry vault.Entry) int {
	return len(entry.Input.Document) + len(entry.Input.Answers) + besides
}

func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) lose(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost += uint64(n)
}

// run keeps what is taken until close.
func (k *keeper) run() {
	defer close(k.ended)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-k.wake:
			k.keep(k.next())
		case <-tick.C:
			k.retry()
			k.sync()
		case <-k.stop:
			for batch := k.next(); len(batch) > 0; batch = k.next() {
				k.keep(batch)
			}
			return
		}
	}
}

// next is what is to be appended at once. The keeper is woken again for what is left.
func (k *keeper) next() []vault.Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for size := 0; n < len(k.waiting) && size < maxSealed; n++ {
		size += sizeOf(k.waiting[n])
		k.queued -= sizeOf(k.waiting[n])
	}
	batch := k.waiting[:n:n]
	if k.waiting = k.waiting[n:]; len(k.waiting) > 0 {
		k.nudge()
	} else {
		k.waiting = nil
	}
	return batch
}

// keep seals and writes a batch. It becomes durable within a second: a power failure can
// lose the last of it.
func (k *keeper) keep(batch []vault.Entry) {
	var lines []byte
	for i, entry := range batch {
		line, err := k.vault.Seal(entry)
		if err != nil {
			k.unsealed = &batch[i]
			k.fail(err, len(batch))
			return
		}
		lines = append(lines, line...)
	}
	if len(lines) == 0 {
		return
	}
	if err := k.files.Append(lines, false); err != nil {
		k.unwritten = len(lines)
		k.fail(err, len(batch))
	}
}

// fail takes no inputs any more, and loses those that wait and n others.
func (k *keeper) fail(err error, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = err
	k.lost += uint64(n + len(k.waiting))
	k.waiting, k.queued = nil, 0
}

// retry looks, after a fault, whether what failed would go well now.
func (k *keeper) retry() {
	if _, fault := k.state(); fault == nil {
		return
	}
	err := k.files.Probe(k.unwritten)
	if err == nil && k.unsealed != nil {
		_, err = k.vault.Seal(*k.unsealed)
	}
	if err == nil {
		k.unsealed, k.unwritten = nil, 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = err
}

// sync makes durable, once in a window, what was only written.
func (k *keeper) sync() {
	if time.Since(k.synced) < window {
		return
	}
	k.synced = time.Now()
	if err := k.files.Sync(); err != nil {
		k.fail(err, 0)
	}
}

func (k *keeper) state() (lost uint64, fault error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost, k.fault
}

// close keeps what waits, makes it durable, and lets the files go.
func (k *keeper) close() error {
	close(k.stop)
	<-k.ended
	return k.files.Close()
}
