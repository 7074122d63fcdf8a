package audit

import (
	"iter"

	"github.com/countersign-io/countersign/authz"
)

const (
	// maxApart bounds how many halves may come between two of one decision, and maxHeld
	// how many bytes those that wait may have.
	maxApart = 1 << 13
	maxHeld  = 16 << 20
)

// queue has the halves of decisions that lack their others, in the order in which they
// came. The zero queue is empty.
type queue[H any] struct {
	halves map[authz.DecisionID]half[H]
	// order also has those that were taken since the first that is there came.
	order []authz.DecisionID
	bytes int
}

type half[H any] struct {
	is    H
	bytes int
}

func (q *queue[H]) put(id authz.DecisionID, is H, bytes int) {
	if q.halves == nil {
		q.halves = map[authz.DecisionID]half[H]{}
	}
	q.take(id) // an id that comes twice is the later's
	q.halves[id] = half[H]{is: is, bytes: bytes}
	q.order = append(q.order, id)
	q.bytes += bytes
}

func (q *queue[H]) take(id authz.DecisionID) (is H, there bool) {
	one, there := q.halves[id]
	if there {
		delete(q.halves, id)
		q.bytes -= one.bytes
	}
	return one.is, there
}

// first is what has waited longest.
func (q *queue[H]) first() (id authz.DecisionID, is H, some bool) {
	for ; len(q.order) > 0; q.order = q.order[1:] {
		if one, there := q.halves[q.order[0]]; there {
			return q.order[0], one.is, true
		}
	}
	return id, is, false
}

func (q *queue[H]) all() iter.Seq[H] {
	return func(yield func(H) bool) {
		for _, id := range q.order {
			if one, there := q.halves[id]; there && !yield(one.is) {
				return
			}
		}
	}
}

func (q *queue[H]) len() int { return len(q.halves) }

// full reports that what has waited longest is to wait no more.
func (q *queue[H]) full() bool { return len(q.order) > maxApart || q.bytes > maxHeld }
