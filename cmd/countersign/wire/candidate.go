package wire

import (
	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
)

// Candidate is the policy that a configuration names, or the one at path in its place,
// with the same decision. Nothing else that the configuration names is opened.
func Candidate(cfg *config.Config, path string) (*rego.Engine, error) {
	if err := guarded(cfg); err != nil {
		return nil, err
	}
	named := cfg.Policy
	if path != "" {
		named.Path = path
	}
	policy, err := rego.New(named)
	problems := authz.ProblemsOf(err)
	for i := range problems {
		if path != "" && problems[i].File == "" {
			problems[i].File = path
		}
	}
	return policy, cfg.Locate("policy", problems).Err()
}
