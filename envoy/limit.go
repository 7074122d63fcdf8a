package envoy

import "sync/atomic"

// limit bounds how many checks are under way at once. What is beyond it is refused
// now: in a queue it would wait until Envoy had given up, and still cost what it
// costs. The zero limit admits nothing.
type limit struct {
	slots chan struct{}
	shed  atomic.Uint64
}

func newLimit(most int) *limit { return &limit{slots: make(chan struct{}, most)} }

// enter admits a check, which must leave, or counts it as shed.
func (l *limit) enter() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		l.shed.Add(1)
		return false
	}
}

func (l *limit) leave() { <-l.slots }
