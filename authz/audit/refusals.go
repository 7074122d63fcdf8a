package audit

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

const (
	// window is what refusals are counted over, and maxSingle how many of a reason
	// are kept one by one in it.
	window    = time.Second
	maxSingle = 100
	// maxRefusedInputs is how many bytes of inputs of such refusals are kept in a window:
	// only those of policy-only APIs have any. Whoever provokes them fills the disk no
	// faster.
	maxRefusedInputs = 64 << 10
)

// refusals are those of callers who have not authenticated, as authenticated says. They cost whoever provokes
// them nothing, so they must not cost us an fsync, nor a line each: those beyond
// maxSingle of a reason in a window are only counted, and stand in one record. What a
// flood adds to the log is bounded by the number of reasons, a closed list.
type refusals struct {
	// since is when the window began, or the first one of those that could not be
	// written.
	since  time.Time
	lines  []refusal
	single map[authz.Reason]int
	beyond map[authz.Reason]uint32
	inputs int // the bytes of those that were kept in the window
}

// refusal is one that is kept by itself and not yet written.
type refusal struct {
	reason authz.Reason
	line   []byte
}

// refuse keeps a refusal before authentication to be written soon, or counts it.
func (l *Log) refuse(ctx context.Context, record authz.Record) error {
	reason := record.Decision.Reason
	single, err := l.admit(ctx, reason)
	if err != nil || !single {
		return err
	}
	e, err := l.entry(record, l.affords)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut != nil {
		return l.shut
	}
	l.refused.lines = append(l.refused.lines, refusal{reason, e.line})
	return nil
}

// affords reports that an input of a refusal may still be kept in this window.
func (l *Log) affords(input *authz.Input) bool {
	size := len(input.Document) + len(input.Answers)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused.inputs+size > maxRefusedInputs {
		return false
	}
	l.refused.inputs += size
	return true
}

// admit reports that the refusal is to be kept by itself; otherwise it is counted.
func (l *Log) admit(ctx context.Context, reason authz.Reason) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.shut != nil:
		return false, l.shut
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	single := l.refused.admit(reason)
	if !single {
		l.state.Counted++
	}
	return single, nil
}

func (r *refusals) admit(reason authz.Reason) bool {
	if r.single[reason] >= maxSingle {
		r.count(reason, 1)
		return false
	}
	if r.single == nil {
		r.single = map[authz.Reason]int{}
	}
	r.single[reason]++
	return true
}

func (r *refusals) count(reason authz.Reason, n uint32) {
	if r.beyond == nil {
		r.beyond = map[authz.Reason]uint32{}
	}
	r.beyond[reason] += min(n, math.MaxUint32-r.beyond[reason])
}

// writeRefusals writes what was kept and, where a window is over, what was counted in
// it. What cannot be written, or would take from the reserve, is counted too: a full disk
// must not fill memory. At the end, where window is zero, counts take from the reserve.
func (l *Log) writeRefusals(window time.Duration) error {
	now := time.Now()
	taken := l.takeRefusals(now, window)
	if l.low() {
		l.putBack(taken)
		if window > 0 {
			return nil
		}
		taken = l.takeRefusals(now, window)
	}
	lines, err := taken.encode(now)
	if err == nil && len(lines) > 0 {
		err = l.records.Append(lines, false)
		l.tell(err, lines)
	}
	if err != nil {
		l.putBack(taken)
	}
	return err
}

// takeRefusals takes what is to be written now, and begins a window where the last
// one is over.
func (l *Log) takeRefusals(now time.Time, window time.Duration) refusals {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.refused
	if now.Sub(taken.since) >= window {
		l.refused = refusals{since: now}
		return taken
	}
	l.refused.lines, taken.beyond = nil, nil
	return taken
}

// putBack counts on from what could not be written.
func (l *Log) putBack(taken refusals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused.since = taken.since
	l.state.Counted += uint64(len(taken.lines))
	for _, one := range taken.lines {
		l.refused.count(one.reason, 1)
	}
	for reason, n := range taken.beyond {
		l.refused.count(reason, n)
	}
}

// encode is the lines to write.
func (r *refusals) encode(now time.Time) (lines []byte, err error) {
	for _, one := range r.lines {
		lines = append(lines, one.line...)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.beyond)) {
		line, err := canonical(counted(reason, r.beyond[reason], r.since, now))
		if err != nil {
			return nil, err
		}
		lines = append(append(lines, line...), '\n')
	}
	return lines, nil
}

// size is how many there are.
func (r *refusals) size() int {
	n := len(r.lines)
	for _, beyond := range r.beyond {
		n += int(beyond)
	}
	return n
}

// counted is the record of refusals that were not kept one by one.
func counted(reason authz.Reason, n uint32, since, until time.Time) *decisionv1.Decision {
	return &decisionv1.Decision{
		Time:    timestamppb.New(since),
		Until:   timestamppb.New(until),
		Allowed: proto.Bool(false),
		Status:  uint32(reason.Status()),
		Reason:  reason.String(),
		Count:   n,
	}
}
