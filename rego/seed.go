package rego

import (
	"crypto/sha256"
	"math/rand/v2"

	"github.com/countersign-io/countersign/authz"
)

// seed is the randomness of one decision: the same for the same id, so that rand
// and uuid repeat when the decision is replayed. It is for one goroutine.
type seed struct {
	id     authz.DecisionID
	stream *rand.ChaCha8
}

// Read fills p. The stream is made at first use: few policies ask for it.
func (s *seed) Read(p []byte) (int, error) {
	if s.stream == nil {
		s.stream = rand.NewChaCha8(sha256.Sum256(s.id[:]))
	}
	return s.stream.Read(p)
}
