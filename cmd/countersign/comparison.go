package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

const (
	// maxRows bounds the differences that are told apart, and the causes: one that has a
	// value of each request in it must not fill the memory.
	maxRows = 1000
	// maxDecisions is how many decisions are named of each difference.
	maxDecisions = 5
)

// comparison is what replay tells.
type comparison struct {
	// Candidate is the policy's digest.
	Candidate string `json:"candidate"`
	// Records are all that were read, From and To the times of the first and the last.
	Records int       `json:"records"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	// Counts are the decisions of each outcome: of refusals that were only counted when
	// they were recorded, all of them.
	Counts map[outcome]int `json:"counts"`
	// Differences are the decisions that flipped or changed; Others are more of them.
	Differences []*difference `json:"differences"`
	Others      int           `json:"others,omitempty"`
	// Causes are what undetermined decisions need, and why others could not be compared.
	Causes []*why `json:"causes"`

	differences map[string]*difference
	causes      map[why]*why
}

// difference is what sets decisions of one operation apart from what they were.
type difference struct {
	Outcome   outcome `json:"outcome"`
	API       string  `json:"api"`
	Operation string  `json:"operation"`
	Was       side    `json:"was"`
	Now       side    `json:"now"`
	Count     int     `json:"count"`
	// Decisions are the first of them.
	Decisions []string `json:"decisions"`
}

// side is one of two verdicts.
type side struct {
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	// Rule is the code that the policy gave.
	Rule string `json:"rule,omitempty"`
	// Refusals and Waived are told where they are the difference.
	Refusals []string `json:"refusals,omitempty"`
	Waived   []string `json:"waived,omitempty"`
	// Detail is where a policy failed: file and line.
	Detail string `json:"detail,omitempty"`
}

type why struct {
	Outcome outcome `json:"outcome"`
	What    string  `json:"what"`
	Count   int     `json:"count"`
}

func newComparison() *comparison {
	c := &comparison{Counts: map[outcome]int{}, Differences: []*difference{}, Causes: []*why{}}
	for _, each := range outcomes {
		c.Counts[each] = 0
	}
	c.index()
	return c
}

// index makes what was read again from a file ready to be added to.
func (c *comparison) index() {
	c.differences, c.causes = map[string]*difference{}, map[why]*why{}
	for _, d := range c.Differences {
		c.differences[d.key()] = d
	}
	for _, w := range c.Causes {
		c.causes[why{Outcome: w.Outcome, What: w.What}] = w
	}
}

// key is the same for decisions that are told together.
func (d *difference) key() string {
	return fmt.Sprintf("%q", []any{d.Outcome, d.API, d.Operation, d.Was, d.Now})
}

func (c *comparison) add(j judged) {
	count := 1
	if j.record != nil {
		count = max(1, int(j.record.Count))
		c.saw(j.record.Time.AsTime())
	}
	c.Counts[j.outcome] += count
	for _, what := range j.because {
		c.cause(j.outcome, what)
	}
	if j.outcome == flipped || j.outcome == changed {
		c.differ(j)
	}
}

func (c *comparison) saw(at time.Time) {
	if c.Records++; c.Records == 1 {
		c.From = at
	}
	c.To = at
}

func (c *comparison) cause(of outcome, what string) {
	key := why{Outcome: of, What: what}
	if c.causes[key] == nil && len(c.Causes) >= maxRows {
		key.What = "others"
	}
	if c.causes[key] == nil {
		row := key
		c.causes[key] = &row
		c.Causes = append(c.Causes, &row)
	}
	c.causes[key].Count++
}

func (c *comparison) differ(j judged) {
	d := differenceOf(j)
	key := d.key()
	row := c.differences[key]
	switch {
	case row == nil && len(c.Differences) >= maxRows:
		c.Others++
		return
	case row == nil:
		row = d
		c.differences[key] = d
		c.Differences = append(c.Differences, d)
	}
	row.Count++
	if len(row.Decisions) < maxDecisions {
		row.Decisions = append(row.Decisions, j.record.Id)
	}
}

func differenceOf(j judged) *difference {
	d := &difference{Outcome: j.outcome, API: j.record.Api, Operation: j.record.Operation,
		Was: side{Outcome: then(j.record), Reason: reasonThen(j.record), Rule: j.record.PolicyReason},
		Now: side{Outcome: j.now.Outcome, Reason: j.now.Reason, Rule: j.now.PolicyReason}}
	if d.Outcome == changed && d.Was.Reason == d.Now.Reason && d.Was.Rule == d.Now.Rule {
		d.Was.Refusals, d.Now.Refusals = set(j.record.Refusals), set(j.now.Refusals)
		d.Was.Waived, d.Now.Waived = set(j.record.Waived), set(j.now.Waived)
	}
	if d.Now.Reason == authz.PolicyError.String() {
		d.Now.Detail = j.now.Detail
	}
	return d
}

// then is what the policy decided.
func then(record *decisionv1.Decision) string {
	if record.GetAllowed() && !unenforced(record) {
		return allowed
	}
	return denied
}

// unenforced reports a denial of a policy that was only tried: the request was let through.
func unenforced(record *decisionv1.Decision) bool {
	return slices.Contains(record.Unchecked, authz.PolicyDenied.String())
}

func reasonThen(record *decisionv1.Decision) string {
	if unenforced(record) {
		return authz.PolicyDenied.String()
	}
	return record.Reason
}

// compared are the decisions that the candidate made.
func (c *comparison) compared() int { return c.Counts[same] + c.Counts[flipped] + c.Counts[changed] }

// finished is the comparison in the order in which it is told: flips first, and of each
// outcome the most frequent.
func (c *comparison) finished(candidate string) *comparison {
	c.Candidate = candidate
	slices.SortFunc(c.Differences, func(a, b *difference) int {
		return cmp.Or(rank(a.Outcome, b.Outcome), cmp.Compare(b.Count, a.Count), cmp.Compare(a.key(), b.key()))
	})
	slices.SortFunc(c.Causes, func(a, b *why) int {
		return cmp.Or(rank(a.Outcome, b.Outcome), cmp.Compare(b.Count, a.Count), cmp.Compare(a.What, b.What))
	})
	return c
}

func rank(a, b outcome) int {
	return cmp.Compare(slices.Index(outcomes, a), slices.Index(outcomes, b))
}
