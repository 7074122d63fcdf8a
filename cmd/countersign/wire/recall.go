package wire

import (
	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
)

// Current is what a configuration says now, as far as a decision of the past can be held
// against it.
type Current struct {
	// Policy is nil where it is wrong, or it is not known which one is meant.
	Policy *rego.Engine
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
	named := append(l.read(), authz.ProblemsOf(guarded(cfg))...)
	now := Current{Policy: l.Policy, Problems: authz.ProblemsOf(Merge(faults, named))}
	if faults != nil {
		now.Policy = nil // a key that was misspelt may be the one that names it
	}
	if len(now.Problems) == 0 {
		now.Revision = l.revision()
	}
	return now
}
