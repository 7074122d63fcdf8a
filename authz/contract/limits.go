package contract

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// limits are how often an operation may be called by each client, or each subject. One
// that can be called by nobody in particular has none.
func (c *compiler) limits(at place, operation *authz.Operation) []authz.LimitRule {
	if at.present() && operation.TakesAnonymous() {
		c.fault(at, "limits an operation that can be called without a token", "ask for one in every alternative of its security, or remove it")
		return nil
	}
	var rules []authz.LimitRule
	for _, item := range c.list(at, "a list of limits") {
		if rule, ok := c.limit(item); ok {
			rules = append(rules, rule)
		}
	}
	if len(rules) > authz.MaxLimitRules {
		c.fault(at, fmt.Sprintf("has more than %d limits", authz.MaxLimitRules), "keep those that matter")
		return nil
	}
	return rules
}

func (c *compiler) limit(at place) (authz.LimitRule, bool) {
	if !c.known(at, "per", "max", "window") {
		return authz.LimitRule{}, false
	}
	faults := len(c.problems)
	rule := authz.LimitRule{Per: authz.Per(c.text(at.member("per"))), Max: c.whole(at.member("max")), Window: c.duration(at.member("window"))}
	if len(c.problems) > faults {
		return rule, false
	}
	asLimit := authz.Limit{Name: "a", Key: "a", Max: rule.Max, Window: rule.Window}
	switch {
	case !slices.Contains([]authz.Per{authz.PerClient, authz.PerSubject}, rule.Per):
		c.fault(at, `does not say whose it is`, `write per: client, or per: subject`)
	case rule.Window%time.Second != 0 || asLimit.Check() != nil:
		c.fault(at, "is no limit that can be held", "give max, 1 to 1000000000, and window, whole seconds up to 744h")
	default:
		return rule, true
	}
	return rule, false
}

// whole is a whole number from zero, 0 where it is absent.
func (d *document) whole(at place) int64 {
	if !at.present() {
		return 0
	}
	number, err := strconv.ParseInt(at.value(), 10, 64)
	if err != nil || number < 0 || number > math.MaxInt32 || at.node.ShortTag() != "!!int" {
		d.fault(at, fmt.Sprintf("%q is not a whole number", at.value()), "write it as 100")
		return 0
	}
	return number
}
