package contract

import (
	"fmt"
	"slices"

	yaml "go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// observe are the checks whose failures are told and refuse nothing, by their codes; an
// empty list enforces all in so many words. What is native must be known and observable;
// another code is the policy's, which is not known here.
func (c *compiler) observe(at place) []string {
	if !at.present() || at.node.Kind == yaml.SequenceNode && len(at.items()) == 0 {
		return nil
	}
	var codes []string
	for _, item := range c.list(at, "a list of checks") {
		code := c.text(item)
		switch what := unobservable(code); {
		case code == "": // told
		case !authz.IsCode(code):
			c.fault(item, fmt.Sprintf("%q is no code of a check", code), "write codes as records have them, such as object_malformed or not_owner, or "+authz.ObserveAll)
		case what != "":
			c.fault(item, fmt.Sprintf("%q %s", code, what), "remove it; to try out that too, use Envoy's shadow_mode")
		case !slices.Contains(codes, code):
			codes = append(codes, code)
		}
	}
	return codes
}

// unobservable says why a code cannot be observed, or "". The policy has a reason of its
// own that is called as the native one which stands for it.
func unobservable(code string) string {
	reason, native := authz.ReasonNamed(code)
	switch {
	case authz.Granting(code):
		return "is always enforced: it is what grants"
	case !native, reason.Observable(), reason == authz.StepUpRequired:
		return ""
	case reason == authz.PolicyDenied:
		return "names no check: it stands for the policy's own reasons"
	}
	return "is always enforced"
}
