package authz

import (
	"context"
	"time"
)

// What is decided as time runs out is still recorded, within recordGrace, and a
// recorder that does not heed it is left behind after recordSlack more. Together they
// are less than what package envoy keeps of a call's time.
const (
	recordGrace = 10 * time.Millisecond
	recordSlack = 8 * time.Millisecond
)

// record offers the decision to the recorder, once. Whether the record or the end of
// its time came first is the recorder's to say, so that what it keeps and what is
// answered agree; one that does not heed its time is left behind a little later, and
// told so if it kept the record all the same.
func record(ctx context.Context, recorder Recorder, decision *Decision, facts *Facts) error {
	heeded, cancel := extended(ctx, recordGrace)
	defer cancel()
	waiting, stop := extended(heeded, recordSlack)
	defer stop()
	recorded := make(chan outcome[struct{}], 1)
	offered := Record{Decision: decision, Facts: facts}
	go guard(recorded, func() (struct{}, error) { return struct{}{}, recorder.Record(heeded, offered) })
	if result, there := awaited(waiting, recorded); there {
		return result.err
	}
	go takeBack(recorder, offered, recorded)
	return waiting.Err()
}

// takeBack waits for what was left behind: if the record was kept, it says what nobody
// was answered.
func takeBack(recorder Recorder, offered Record, recorded <-chan outcome[struct{}]) {
	if late := <-recorded; late.err != nil {
		return
	}
	guard(make(chan outcome[struct{}], 1), func() (struct{}, error) { recorder.Abandon(offered); return struct{}{}, nil })
}

// now reads a clock; nil means time.Now.
func now(clock func() time.Time) time.Time {
	if clock == nil {
		return time.Now()
	}
	return clock()
}
