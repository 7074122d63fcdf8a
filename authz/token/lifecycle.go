package token

import (
	"fmt"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// lifecycle bounds for how long and where tokens are good, beyond what they say
// themselves. Zero durations bound nothing.
type lifecycle struct {
	maxLifetime, maxAge time.Duration
	// claim is the one with the environment, which must be ours; "" asks for none.
	claim, environment string
}

func (i Issuer) lifecycle(environment string) lifecycle {
	return lifecycle{maxLifetime: i.MaxLifetime, maxAge: i.MaxAge, claim: i.Claims.Environment, environment: environment}
}

// checkEnvironment holds the environment that a token was issued for against ours. A
// token that does not tell may be for any.
func (l *lifecycle) checkEnvironment(claimed string) error {
	if l.claim != "" && claimed != l.environment {
		return fmt.Errorf("token: %w: %s is not that of this deployment", authz.TokenEnvironment, l.claim)
	}
	return nil
}

// checkLife bounds how long a token may live and has lived. What it says of its end
// itself is for checkTimes.
func (l *lifecycle) checkLife(c *claims, skew time.Duration, at time.Time) error {
	switch {
	case l.maxLifetime > 0 && c.expiresAt.Sub(c.issuedAt) > l.maxLifetime:
		return fmt.Errorf("token: %w: over %v", authz.TokenLifetime, l.maxLifetime)
	case l.maxAge > 0 && at.Sub(c.issuedAt) > l.maxAge+skew:
		return fmt.Errorf("token: %w: over %v", authz.TokenAge, l.maxAge)
	}
	return nil
}

func (i Issuer) lifecycleProblems(environment string) authz.Problems {
	var problems authz.Problems
	if i.MaxLifetime < 0 {
		problems.Add("max_lifetime", fmt.Sprintf("%v is out of range", i.MaxLifetime), "use a duration such as 10m, or remove it")
	}
	if i.MaxAge < 0 {
		problems.Add("max_token_age", fmt.Sprintf("%v is out of range", i.MaxAge), "use a duration such as 1h, or remove it")
	}
	if i.Claims.Environment != "" && environment == "" {
		problems.Add("claims.environment", "is named, but environment is not set: there is nothing to hold it against",
			"say which environment this deployment is, such as environment: production, or remove the claim")
	}
	return problems
}
