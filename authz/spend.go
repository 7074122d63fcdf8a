package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxLimits bounds the limits of a verdict.
const maxLimits = 8

// spend spends one of each limit of an allow, the policy's and the contract's, or nothing where one of them is spent.
// What was spent stays so, whatever becomes of the request: it was let try.
func (p *Pipeline) spend(ctx context.Context, f *Facts, v *Verdict) error {
	if !v.Allowed {
		return nil
	}
	limits := slices.Clone(v.Limits)
	for _, rule := range f.Match.Operation.Limits {
		limits = append(limits, rule.of(f.Match.Operation, f.Caller()))
	}
	if len(limits) == 0 {
		return nil
	}
	if p.Limiter == nil {
		return fmt.Errorf("limits: %w: there is nothing to spend them against", LimitsUnavailable)
	}
	spent := make(chan outcome[Spending], 1)
	go guard(spent, func() (Spending, error) { return p.Limiter.Spend(ctx, limits) })
	spending, err := await(ctx, spent)
	if errors.Is(err, ErrNoAnswer) && f.Match.BestEffort() {
		f.Unspent = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("limits: %w: %w", LimitsUnavailable, err)
	}
	f.Spending = spending
	if !spending.OK {
		return fmt.Errorf("limits: %w: %s", LimitReached, strings.Join(spending.Reached(), ", "))
	}
	return nil
}

// Reached are the names of the limits that refused; none where nothing did.
func (s Spending) Reached() []string {
	var names []string
	if s.OK {
		return nil
	}
	for _, left := range s.Left {
		if left.Remaining == 0 {
			names = append(names, left.Limit.Name)
		}
	}
	return names
}

func (v *Verdict) checkLimits() error {
	if len(v.Limits) > maxLimits {
		return fmt.Errorf("verdict: %w: more than %d limits", PolicyError, maxLimits)
	}
	for _, limit := range v.Limits {
		if err := limit.Check(); err != nil {
			return fmt.Errorf("verdict: %w: %w", PolicyError, err)
		}
	}
	return nil
}
