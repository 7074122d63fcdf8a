package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

const (
	// slack is how far apart a record and its input may stand, by the times of what
	// stands between them; but for a clock that was put right it is a check's time.
	slack = time.Minute
)

// Past is a record, and what the policy decided on.
type Past struct {
	Record *decisionv1.Decision
	// Input is nil where none was kept, or it cannot be read; NoInput says why then.
	Input   *vault.Entry
	NoInput error
	// Damaged says that an input is there, and is not what was kept.
	Damaged bool
}

// Mark is how far a History was read: what it takes to read on.
type Mark struct {
	Decisions segment.Place `json:"decisions"`
	Inputs    segment.Place `json:"inputs"`
	// Waiting are the records before Decisions that were not told: their inputs stand
	// behind Inputs, if anywhere.
	Waiting []segment.Place `json:"waiting,omitempty"`
}

// History reads all records of a time, each with its input: both logs side by side, and
// no more of either in memory than stands between a record and its input. It writes
// nothing, and a Log may write meanwhile. It is for one goroutine.
type History struct {
	since, until time.Time
	from         Mark
	// again are the records that an earlier History read and did not tell, less those that
	// were read again.
	again map[segment.Place]bool

	folder  string
	vault   *vault.Reader
	records stream
	kept    stream
	// waiting are the records that lack their inputs, held the inputs that lack records.
	waiting queue[waiting]
	held    queue[held]
	// early are the times of records that were left out since they are too early: their
	// inputs need not be opened.
	early queue[time.Time]
	yield func(Past, error) bool
}

// stream is one of the two logs.
type stream struct {
	next  func() (segment.Line, error, bool)
	place segment.Place
	// clock is the latest time that was read.
	clock time.Time
	ended bool
}

type waiting struct {
	record *decisionv1.Decision
	place  segment.Place
}

type held struct {
	entry vault.Entry
	fault error
	place segment.Place
}

// NewHistory is of the records from since until before until, where they are not zero,
// behind a mark.
func NewHistory(cfg Config, since, until time.Time, from Mark) *History {
	h := &History{since: since, until: until, from: from, folder: cfg.Folder, again: map[segment.Place]bool{}}
	for _, place := range from.Waiting {
		h.again[place] = true
	}
	h.vault = vault.NewReader(cfg.Folder, func(id string) *secret.Key { return secret.Find(cfg.InputKey, id) })
	return h
}

// All are the records, about in the order written. An error tells of damage, after which
// reading goes on. They end early when ctx ends. It is to be called once.
func (h *History) All(ctx context.Context) iter.Seq2[Past, error] {
	return func(yield func(Past, error) bool) {
		h.yield = yield
		h.records.place, h.kept.place = h.from.Decisions, h.from.Inputs
		stopRecords, stopInputs := h.open()
		defer stopRecords()
		defer stopInputs()
		for ctx.Err() == nil && h.step() {
		}
	}
}

func (h *History) open() (stopRecords, stopInputs func()) {
	begin := h.from.Decisions
	for _, place := range h.from.Waiting {
		if before := place.Previous(); before.Before(begin) {
			begin = before
		}
	}
	h.records.next, stopRecords = iter.Pull2(segment.After(h.folder, decisions, begin))
	h.kept.next, stopInputs = iter.Pull2(segment.After(h.folder, inputs, h.from.Inputs))
	return stopRecords, stopInputs
}

// Mark is behind what All told last.
func (h *History) Mark() Mark {
	mark := Mark{Decisions: h.records.place, Inputs: h.kept.place}
	if _, first, some := h.held.first(); some {
		mark.Inputs = first.place.Previous()
	}
	mark.Waiting = slices.Collect(maps.Keys(h.again))
	for one := range h.waiting.all() {
		mark.Waiting = append(mark.Waiting, one.place)
	}
	return mark
}

// step reads a line, of the log that is behind, and tells what follows from it. It
// returns false when there is no more, or no more is wanted.
func (h *History) step() bool {
	switch {
	case h.records.ended && h.waiting.len() == 0:
		return false
	case h.readsRecords():
		return h.readRecord() && h.giveUp()
	case !h.kept.ended:
		return h.readInput() && h.giveUp()
	}
	return h.giveUp()
}

// readsRecords reports that records are behind, by time or, where both logs have come to
// the same, by what is in memory of them: a clock that was put back makes no difference.
// Before the time that is asked for records go ahead, so that the inputs of those that are
// left out are known, and not opened.
func (h *History) readsRecords() bool {
	switch {
	case h.records.ended:
		return false
	case h.kept.ended, h.records.clock.Before(h.since) && h.early.len() < maxApart/2:
		return true
	case !h.records.clock.Equal(h.kept.clock):
		return h.records.clock.Before(h.kept.clock)
	}
	return h.waiting.len() <= h.held.len()
}

func (h *History) readRecord() bool {
	line, err, more := h.records.next()
	switch {
	case !more:
		h.records.ended = true
		return true
	case err != nil:
		return h.yield(Past{}, err)
	}
	if h.told(line.Place) {
		return true
	}
	record := &decisionv1.Decision{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line.Text, record); err != nil {
		return h.yield(Past{}, fmt.Errorf("%s: a record cannot be read", line.Place.In(decisions)))
	}
	return h.take(record, line.Place)
}

// told reports a record that an earlier History has told. It notes the place of others.
func (h *History) told(place segment.Place) bool {
	if h.records.place.Before(place) {
		h.records.place = place
		return false
	}
	again := h.again[place]
	delete(h.again, place)
	return !again
}

func (h *History) take(record *decisionv1.Decision, place segment.Place) bool {
	at := record.Time.AsTime()
	h.records.passes(at)
	if !h.until.IsZero() && at.After(h.until.Add(slack)) {
		h.records.ended = true
	}
	if record.Shadow != nil { // what another policy would have said is no decision
		return true
	}
	if !h.until.IsZero() && !at.Before(h.until) {
		return true
	}
	id, err := authz.ParseDecisionID(record.Id)
	if at.Before(h.since) {
		if _, there := h.held.take(id); !there && record.InputKeyId != "" && err == nil {
			h.early.put(id, at, 0)
		}
		return true
	}
	if record.InputKeyId == "" || err != nil {
		return h.yield(Past{Record: record, NoInput: whyNoInput(record)}, nil)
	}
	if found, there := h.held.take(id); there {
		return h.join(record, found)
	}
	h.waiting.put(id, waiting{record: record, place: place}, 0)
	return true
}

func (h *History) readInput() bool {
	line, err, more := h.kept.next()
	switch {
	case !more:
		h.kept.ended = true
		return true
	case err != nil:
		return h.yield(Past{}, err)
	}
	h.kept.place = line.Place
	if id, known := vault.IDOf(line.Text); known && h.early.len() > 0 {
		if at, early := h.early.take(id); early {
			h.kept.passes(at)
			return true
		}
	}
	entry, err := h.vault.Open(line.Text)
	if err != nil && entry.ID == (authz.DecisionID{}) {
		return h.yield(Past{}, fmt.Errorf("%s: an input cannot be read", line.Place.In(inputs)))
	}
	if entry.Time.IsZero() {
		entry.Time = h.records.clock // not known without its key, so nothing tells it from now
	}
	h.kept.passes(entry.Time)
	found := held{entry: entry, fault: err, place: line.Place}
	if one, there := h.waiting.take(entry.ID); there {
		return h.join(one.record, found)
	}
	h.held.put(entry.ID, found, sizeOf(entry))
	return true
}

func (h *History) join(record *decisionv1.Decision, found held) bool {
	if found.fault != nil {
		return h.yield(Past{Record: record, NoInput: found.fault, Damaged: !errors.Is(found.fault, vault.ErrNoKey)}, nil)
	}
	return h.yield(Past{Record: record, Input: &found.entry}, nil)
}

func (s *stream) passes(at time.Time) {
	if at.After(s.clock) {
		s.clock = at
	}
}

// giveUp tells the records whose inputs will not come, and drops inputs without records:
// those of refusals that were too many to be kept one by one.
func (h *History) giveUp() bool {
	for {
		id, one, some := h.held.first()
		if !some || !h.records.ended && !h.held.full() && h.records.clock.Sub(one.entry.Time) <= slack {
			break
		}
		h.held.take(id)
	}
	for {
		id, at, some := h.early.first()
		if !some || !h.kept.ended && !h.early.full() && h.kept.clock.Sub(at) <= slack {
			break
		}
		h.early.take(id)
	}
	for {
		id, one, some := h.waiting.first()
		if !some || !h.kept.ended && !h.waiting.full() && h.kept.clock.Sub(one.record.Time.AsTime()) <= slack {
			return true
		}
		h.waiting.take(id)
		if !h.yield(Past{Record: one.record, NoInput: errInputGone}, nil) {
			return false
		}
	}
}
