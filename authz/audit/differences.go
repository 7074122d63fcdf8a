package audit

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

const (
	// differing is what differences are counted over; in it maxAlike of one kind, and
	// maxDiffering in all, are kept one by one. A policy that differs in every decision must
	// not fill the disk that decisions are recorded on.
	differing    = 10 * time.Second
	maxAlike     = 5
	maxDiffering = 50
)

// differences are those of a policy that is tried. They tell nothing of what was decided,
// so they wait for no fsync and take nothing of the reserve.
type differences struct {
	// since is when the period began, or the first one of those that could not be written.
	since  time.Time
	lines  [][]byte
	alike  map[likeness]int
	kept   int
	beyond uint32
}

// likeness is what differences of one kind have in common.
type likeness struct {
	api, operation, was, would string
}

// Differ keeps how a policy that is tried differs from what was decided, in a record of its
// own: soon, unless there are many of its kind, which are only counted. It does not wait.
func (l *Log) Differ(record authz.Record, difference *authz.Difference) {
	kind := likeness{string(api(record.Facts)), record.Decision.OperationID(), difference.Was.Code(), difference.Would.Code()}
	if !l.admitDifference(kind) {
		return
	}
	line, err := canonical(differs(record, difference, l.key))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.shut != nil {
		return
	}
	l.differing.lines = append(l.differing.lines, append(line, '\n'))
}

// admitDifference reports that one is to be kept by itself; otherwise it is counted.
func (l *Log) admitDifference(kind likeness) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &l.differing
	if l.shut != nil {
		return false
	}
	if l.state.Low || l.state.Fault != nil || d.kept >= maxDiffering || d.alike[kind] >= maxAlike {
		d.count(1)
		return false
	}
	if d.alike == nil {
		d.alike = map[likeness]int{}
	}
	d.kept++
	d.alike[kind]++
	return true
}

func (d *differences) count(n int) { d.beyond += min(uint32(n), math.MaxUint32-d.beyond) }

// writeDifferences writes what was kept and, where a period is over, how many were not.
// What cannot be written, or would take from the reserve, is counted. At the end, where
// period is zero, that is only lost.
func (l *Log) writeDifferences(period time.Duration) error {
	now := time.Now()
	taken := l.takeDifferences(now, period)
	var lines []byte
	for _, line := range taken.lines {
		lines = append(lines, line...)
	}
	if taken.beyond > 0 {
		line, err := canonical(uncounted(taken.beyond, taken.since, now))
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	if len(lines) == 0 {
		return nil
	}
	if l.low() {
		l.putBackDifferences(taken)
		return nil
	}
	err := l.records.Append(lines, false)
	l.tell(err, lines)
	if err != nil {
		l.putBackDifferences(taken)
	}
	return err
}

// takeDifferences takes what is to be written now, and begins a period where the last one
// is over.
func (l *Log) takeDifferences(now time.Time, period time.Duration) differences {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.differing
	if now.Sub(taken.since) >= period {
		l.differing = differences{since: now}
		return taken
	}
	l.differing.lines, taken.beyond = nil, 0
	return taken
}

// putBackDifferences counts on from what could not be written.
func (l *Log) putBackDifferences(taken differences) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.differing.since = taken.since
	l.differing.count(len(taken.lines))
	l.differing.count(int(taken.beyond))
}

// differs is the record of a difference. It has no id: it is no decision.
func differs(record authz.Record, difference *authz.Difference, key *key) *decisionv1.Decision {
	d, f := record.Decision, record.Facts
	names := allNames(d, f, key)
	out := &decisionv1.Decision{
		Time:           timestamppb.New(f.Time),
		Revision:       d.Revision,
		Api:            string(api(f)),
		Method:         method(f.Request.Method),
		TraceId:        traceID(f.Request),
		PseudonymKeyId: key.id,
		Shadow: &decisionv1.Shadow{
			Decision:  d.ID.String(),
			Candidate: difference.Candidate,
			Was:       outcome(&difference.Was, names),
			Would:     outcome(&difference.Would, names),
			Differs:   difference.Differs,
		},
	}
	if d.Operation != nil {
		out.Operation, out.Path = d.Operation.ID, d.Operation.Path
	}
	return out
}

func outcome(o *authz.Outcome, names names) *decisionv1.Outcome {
	return &decisionv1.Outcome{
		Allowed:      proto.Bool(o.Allowed),
		Reason:       o.Reason.String(),
		PolicyReason: o.PolicyReason,
		Refusals:     names.maskCodes(o.Refusals),
		Waived:       names.maskCodes(o.Waived),
		Observed:     names.maskCodes(o.Observed),
		Detail:       cut(names.mask(o.Detail), maxDetail),
	}
}

// uncounted is the record of differences that were not kept one by one.
func uncounted(n uint32, since, until time.Time) *decisionv1.Decision {
	return &decisionv1.Decision{Time: timestamppb.New(since), Until: timestamppb.New(until), Count: n, Shadow: &decisionv1.Shadow{}}
}
