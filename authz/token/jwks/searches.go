package jwks

import "time"

const (
	// atOnce is how many searches for keys that are new to us may follow on each other
	// at once. An issuer that signs with a key as soon as it publishes it must not have
	// its tokens refused because somebody else has just sent an unknown key.
	atOnce = 5
	// mostSought bounds the memory of keys that were looked for.
	mostSought = 100
)

// searches bound the refreshes because of unknown keys: one in every so often on
// average, however many keys tokens name. A key that was looked for before, such as a
// removed one whose tokens are still sent, is looked for only where nothing was for as
// long, so that it takes nothing from a new one.
type searches struct {
	every time.Duration
	// paid is when all searches so far will have been paid for by the time that passed.
	paid time.Time
	// sought are kids that were looked for, or some of them.
	sought map[string]bool
}

// begin reports that the key may be looked for now, and takes it that it is.
func (s *searches) begin(kid string, now time.Time) bool {
	ahead := atOnce - 1
	if s.sought[kid] {
		ahead = 0
	}
	if s.paid.Sub(now) > time.Duration(ahead)*s.every {
		return false
	}
	if s.paid.Before(now) {
		s.paid = now
	}
	s.paid = s.paid.Add(s.every)
	if s.sought == nil || len(s.sought) >= mostSought {
		s.sought = map[string]bool{} // the keys forgotten are new once more
	}
	s.sought[kid] = true
	return true
}
