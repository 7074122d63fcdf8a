package memory

import (
	"container/heap"
	"errors"
)

var errFull = errors.New("memory: full of what has not expired")

// table is a bounded map whose entries end. What has not ended is never dropped to
// make room. It is not safe for concurrent use. Times are Unix nanoseconds.
type table[V any] struct {
	entries map[[32]byte]entry[V]
	ends    ends
	max     int
}

type entry[V any] struct {
	value V
	until int64
}

func newTable[V any](max int) *table[V] {
	return &table[V]{entries: map[[32]byte]entry[V]{}, max: max}
}

// get returns an entry that has not ended.
func (t *table[V]) get(key [32]byte, now int64) (entry[V], bool) {
	found, ok := t.entries[key]
	return found, ok && found.until > now
}

// room makes room for n more, or says that there is none. What it does per call is
// bounded while there is room, so that nobody waits for another's rubbish.
func (t *table[V]) room(n int, now int64) error {
	for swept := 0; len(t.ends) > 0 && t.ends[0].at <= now; swept++ {
		if swept > n && len(t.ends)+n <= t.max {
			break
		}
		t.drop()
	}
	if len(t.ends)+n > t.max {
		return errFull
	}
	return nil
}

// drop removes the entry that ends first, unless another has taken its place.
func (t *table[V]) drop() {
	first := heap.Pop(&t.ends).(end)
	if t.entries[first.key].until == first.at {
		delete(t.entries, first.key)
	}
}

// add puts in a key that get does not find, once room has made room for it.
func (t *table[V]) add(key [32]byte, value V, until int64) {
	t.entries[key] = entry[V]{value: value, until: until}
	heap.Push(&t.ends, end{key: key, at: until})
}

// set changes the value of an entry, which ends when it did.
func (t *table[V]) set(key [32]byte, value V) {
	t.entries[key] = entry[V]{value: value, until: t.entries[key].until}
}

// ends is a heap, the earliest first.
type ends []end

type end struct {
	key [32]byte
	at  int64
}

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
