package wire

import (
	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
)

// Current is what a configuration says now, as far as a decision of the past can be held
// against it.
type Current struct {
	// Policies are nil where one is wrong, or it is not known which are meant.
	Policies *Policies
	// Shadow is the policy that is tried beside, or nil where none is, or it is wrong.
	Shadow *Policies
	// Revision is "" where a System would not start.
	Revision string
	// Problems are all that is wrong, but with the stores.
	Problems authz.Problems
}

// Recall reads what a configuration names, faults being what is wrong with the file
// itself. It opens no store and no key set, so that what was recorded can be told while
// they are down. It writes nothing.
func Recall(cfg *config.Config, faults error) Current {
	l := &Loaded{Config: cfg}
	l.takeKept()
	named := append(l.read(), authz.ProblemsOf(guarded(cfg))...)
	now := Current{Problems: authz.ProblemsOf(Merge(faults, named))}
	if l.Policy == nil && len(now.Problems) == 0 {
		now.Problems = l.missing()
	}
	// A key that was misspelt may be the one that names it.
	if faults == nil && l.Policy != nil {
		now.Policies = &Policies{Policy: l.Policy, PolicyOnly: l.PolicyOnly}
	}
	if faults == nil && l.Shadow != nil {
		now.Shadow = &Policies{Policy: l.Shadow, PolicyOnly: l.PolicyOnly}
	}
	if len(now.Problems) == 0 {
		now.Revision = l.revision()
	}
	return now
}
