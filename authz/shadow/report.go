package shadow

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const (
	// maxRows bounds the differences that are told apart, and maxSamples the decisions that
	// are named of each.
	maxRows    = 500
	maxSamples = 10
)

// Report is what came of trying a candidate.
type Report struct {
	// Candidate is its digest, "" where none was tried.
	Candidate string `json:"candidate"`
	// Revision is that of the snapshot in which it is tried.
	Revision string `json:"revision"`
	// Since is when that snapshot was put in force, and Counts are the trials since then.
	Since  time.Time      `json:"since,omitzero"`
	Counts map[Result]int `json:"counts"`
	// Differences are the most frequent first; Others are those that differ in more ways
	// than are told apart.
	Differences []Row `json:"differences"`
	Others      int   `json:"others,omitempty"`
}

// Row are the decisions of one operation that differ in the same way.
type Row struct {
	API       authz.API `json:"api"`
	Operation string    `json:"operation"`
	Was       Side      `json:"was"`
	Would     Side      `json:"would"`
	Differs   []string  `json:"differs"`
	Count     int       `json:"count"`
	// Decisions are the ids of the last of them.
	Decisions []string `json:"decisions"`
}

// Side is one of two outcomes. Why a policy could not decide is told by the records alone,
// which mask names: that text may hold one.
type Side struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// tally keeps what Report tells. It begins anew with each snapshot: what differs from one
// policy need not from another.
type tally struct {
	mu    sync.Mutex
	shown Report
	rows  map[string]*Row
	// candidate is that of the snapshot, or nil.
	candidate *authz.Candidate
	// before are the trials that had been dropped when it began.
	before int64
}

// add counts what came of a trial. What still comes of a snapshot before is no part of it.
func (t *tally) add(trial *authz.Trial, result Result, difference *authz.Difference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if trial.Candidate != t.candidate {
		return
	}
	t.shown.Counts[result]++
	if difference == nil {
		return
	}
	row := rowOf(trial, difference)
	key := fmt.Sprintf("%q", []any{row.API, row.Operation, row.Was, row.Would, row.Differs})
	switch known := t.rows[key]; {
	case known != nil:
		row = known
	case len(t.rows) >= maxRows:
		t.shown.Others++
		return
	default:
		t.rows[key] = row
	}
	row.Count++
	row.Decisions = append(row.Decisions, trial.Decision.ID.String())
	row.Decisions = row.Decisions[max(0, len(row.Decisions)-maxSamples):]
}

// begin begins anew, when so many trials had been dropped.
func (t *tally) begin(candidate *authz.Candidate, revision string, since time.Time, dropped int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.candidate, t.before, t.rows = candidate, dropped, map[string]*Row{}
	t.shown = Report{Revision: revision, Since: since, Counts: map[Result]int{}}
	if candidate == nil {
		return
	}
	t.shown.Candidate = candidate.Digest
	for _, result := range Results() {
		t.shown.Counts[result] = 0
	}
}

func rowOf(trial *authz.Trial, difference *authz.Difference) *Row {
	operation := trial.Facts.Match.Operation
	return &Row{API: operation.API, Operation: operation.ID, Was: sideOf(&difference.Was), Would: sideOf(&difference.Would), Differs: difference.Differs}
}

func sideOf(outcome *authz.Outcome) Side {
	return Side{Allowed: outcome.Allowed, Reason: outcome.Code()}
}

func (t *tally) report(dropped int64) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	report := t.shown
	report.Differences, report.Counts = []Row{}, map[Result]int{}
	for result, count := range t.shown.Counts {
		report.Counts[result] = count
	}
	if t.candidate != nil {
		report.Counts[Dropped] = int(dropped - t.before)
	}
	for _, row := range t.rows {
		copied := *row
		copied.Decisions = slices.Clone(row.Decisions)
		report.Differences = append(report.Differences, copied)
	}
	slices.SortFunc(report.Differences, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.API, b.API), cmp.Compare(a.Operation, b.Operation),
			cmp.Compare(a.Would.Reason, b.Would.Reason), cmp.Compare(a.Was.Reason, b.Was.Reason), slices.Compare(a.Differs, b.Differs))
	})
	return report
}
