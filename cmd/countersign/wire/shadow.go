package wire

import (
	"bytes"
	"encoding/hex"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/shadow"
	"github.com/countersign-io/countersign/rego"
)

// readShadow loads the policy that is tried beside the one in force. One that is wrong does
// not load with the rest: the revision would name what nobody can try, and whoever waits
// for what is tried would wait for nothing.
func (l *Loaded) readShadow() authz.Problems {
	var err error
	l.Shadow, err = rego.NewShadow(l.Config.Policy)
	return l.Config.Locate("policy.shadow", authz.ProblemsOf(err))
}

// Tries reports a policy that is tried: one that is the same as the policy in force is not.
func (l *Loaded) Tries() bool {
	return l.Shadow != nil && (l.Policy == nil || !bytes.Equal(l.Shadow.Digest(), l.Policy.Digest()))
}

// candidate is that policy, or nil.
func (l *Loaded) candidate() *authz.Candidate {
	if !l.Tries() {
		return nil
	}
	return &authz.Candidate{Policy: l.Shadow, Digest: hex.EncodeToString(l.Shadow.Digest())}
}

// Trials have policies tried, and record where they differ, until Close of s. count must be
// safe for concurrent use.
func (s *System) Trials(count func(operation *authz.Operation, result shadow.Result)) *shadow.Pool {
	s.trials = shadow.New(s.log, count)
	s.trials.Begin(s.Candidate, s.Revision, time.Now())
	s.Pipeline.Shadow = s.trials
	return s.trials
}
