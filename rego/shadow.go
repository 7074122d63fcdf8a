package rego

import (
	"cmp"

	"github.com/countersign-io/countersign/authz"
)

// ShadowConfig says which policy is tried beside the one that decides.
type ShadowConfig struct {
	// Path is as Config's, and required.
	Path string `yaml:"path"`
	// Decision is as Config's; "" is that one's.
	Decision string `yaml:"decision"`
}

// NewShadow loads and compiles the policy that is tried, as strictly as the one that
// decides; nil where none is named. Its error is authz.Problems, with keys of ShadowConfig.
func NewShadow(cfg Config) (*Engine, error) {
	switch {
	case cfg.Shadow == nil:
		return nil, nil
	case cfg.Shadow.Path == "":
		return nil, authz.Problems{{Key: "path", What: "is missing", Fix: "name the policy that is tried, or remove the key around it"}}
	}
	return New(Config{Path: cfg.Shadow.Path, Decision: cmp.Or(cfg.Shadow.Decision, cfg.Decision)})
}
