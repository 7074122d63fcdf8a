package dpop

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// Config says what one API asks of proofs.
type Config struct {
	// Origins are the API's public ones, such as https://api.bank.example: where clients
	// believe to be, whatever the request says. A proof must be for one of them.
	Origins []string `yaml:"origins"`
	// Algorithms are those that a proof may be signed with; none means PS256, ES256
	// and EdDSA.
	Algorithms []string `yaml:"algorithms"`
	// MaxAge is how old a proof may be, to 5 minutes; zero means 60 s.
	MaxAge time.Duration `yaml:"max_age"`
	// Nonce demands that proofs hold a nonce of ours (RFC 9449 §9).
	Nonce bool `yaml:"nonce"`
}

const (
	defaultMaxAge = time.Minute
	mostMaxAge    = 5 * time.Minute
)

// Accepted are the algorithms that a proof may be signed with.
func (c Config) Accepted() []string {
	if len(c.Algorithms) == 0 {
		return jose.DefaultAlgorithms
	}
	return c.Algorithms
}

// Check returns all faults of the configuration as authz.Problems, with keys relative
// to it, or nil.
func (c Config) Check() error {
	var problems authz.Problems
	if len(c.Origins) == 0 {
		problems.Add("origins", "is missing: proofs are for a URL, and no header says which is ours",
			"name the origins that clients call, such as https://api.bank.example")
	}
	for i, origin := range c.Origins {
		if _, fault := normalOrigin(origin); fault != "" {
			problems.Add(fmt.Sprintf("origins[%d]", i), fault, "write https://, the host, and its port if it has one, and nothing behind")
		}
	}
	for i, algorithm := range c.Algorithms {
		if !slices.Contains(jose.Algorithms, algorithm) {
			problems.Add(fmt.Sprintf("algorithms[%d]", i), fmt.Sprintf("%q is not accepted", algorithm), "use "+strings.Join(jose.Algorithms, ", "))
		}
	}
	if c.MaxAge < 0 || c.MaxAge > mostMaxAge {
		problems.Add("max_age", fmt.Sprintf("%v is out of range", c.MaxAge), fmt.Sprintf("use 0s to %v", mostMaxAge))
	}
	return problems.Err()
}
