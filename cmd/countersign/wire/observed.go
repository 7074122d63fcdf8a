package wire

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/contract"
)

// Observed are operations of one API that only observe the same checks.
type Observed struct {
	API        authz.API `json:"api"`
	Checks     []string  `json:"checks"`
	Operations []string  `json:"operations"`
	// all says that the API has no others.
	all bool
}

// Where names the operations, as people read it.
func (o Observed) Where() string {
	switch n := len(o.Operations); {
	case o.all:
		return fmt.Sprintf("all operations of %s", o.API)
	case n == 1:
		return fmt.Sprintf("%s of %s", o.Operations[0], o.API)
	default:
		return fmt.Sprintf("%d operations of %s (%s)", n, o.API, strings.Join(o.Operations, ", "))
	}
}

// ObservedBy are all checks that contracts have only observed, for whoever starts or checks
// a configuration: their failures refuse nothing.
func ObservedBy(contracts *contract.Contracts) []Observed {
	all, of := []Observed{}, map[authz.API]int{}
	for operation := range contracts.Operations() {
		of[operation.API]++
		at := slices.IndexFunc(all, func(o Observed) bool {
			return o.API == operation.API && slices.Equal(o.Checks, operation.Observe)
		})
		switch {
		case len(operation.Observe) == 0:
		case at < 0:
			all = append(all, Observed{API: operation.API, Checks: operation.Observe, Operations: []string{operation.ID}})
		default:
			all[at].Operations = append(all[at].Operations, operation.ID)
		}
	}
	for i := range all {
		all[i].all = len(all[i].Operations) == of[all[i].API]
	}
	return all
}

// Unsaid are the observed checks that are neither native nor said by a rule of the policy:
// they are likely misspelt, and then enforced.
func (l *Loaded) Unsaid() authz.Problems {
	var notes authz.Problems
	for _, observed := range ObservedBy(l.Contracts) {
		for _, code := range observed.Checks {
			if _, native := authz.ReasonNamed(code); native || code == authz.ObserveAll || l.Policy.Says(code) {
				continue
			}
			notes.Add("", fmt.Sprintf("%q is observed in %s, and no rule of the policy says it", code, observed.Where()), l.likely(code))
		}
	}
	return notes
}

// Unchanged notes that the policy says which headers reach the upstream, while refusals of
// its own are observed: nothing of a denial goes out with the allow in its place, so that
// a client's own headers of those names do.
func (l *Loaded) Unchanged() authz.Problems {
	keys := l.Policy.Changes()
	if len(keys) == 0 {
		return nil
	}
	var notes authz.Problems
	for _, observed := range ObservedBy(l.Contracts) {
		if slices.ContainsFunc(observed.Checks, ofPolicy) {
			notes.Add("", fmt.Sprintf("refusals of the policy are observed in %s, and its decision has %s: where one is observed none of that is done, and what a client sent by those names reaches the upstream",
				observed.Where(), strings.Join(keys, " and ")), "have Envoy remove these headers of clients' before it asks, or enforce the refusals")
		}
	}
	return notes
}

// ofPolicy reports a code that is not the inspection's.
func ofPolicy(code string) bool {
	reason, native := authz.ReasonNamed(code)
	return !native || !reason.Observable()
}

// judgeBodies holds that no operation observes a failure of the body where the policy reads
// bodies: one that fails is not read, so that no rule sees what is in it, and one that is
// enforced refuses nothing. Where all is observed, none of them refuses anyway.
func (l *Loaded) judgeBodies() authz.Problems {
	var problems authz.Problems
	if l.Policy == nil || l.Contracts == nil || !l.Policy.ReadsBody() {
		return nil
	}
	told := map[authz.API]bool{}
	for operation := range l.Contracts.Operations() {
		code := unreadBody(operation)
		if code == "" || told[operation.API] || !l.Contracts.ParsesBody(operation) {
			continue
		}
		told[operation.API] = true
		problems.Add("policy", fmt.Sprintf("reads input.parsed_body, but operation %s of %s observes %s: a body that fails is not read, and no rule would refuse what is in it",
			operation.ID, operation.API, code), "take content_type, body_truncated and body_malformed out of observe for operations with a body")
	}
	return problems
}

// unreadBody is a check whose failure leaves a body unread and refuses nothing, where
// something else is enforced; else "".
func unreadBody(operation *authz.Operation) string {
	for _, reason := range []authz.Reason{authz.ContentType, authz.BodyTruncated, authz.BodyMalformed} {
		if code := reason.String(); slices.Contains(operation.Observe, code) && !slices.Contains(operation.Observe, authz.ObserveAll) {
			return code
		}
	}
	return ""
}

// likely is what was meant by a code that nobody says.
func (l *Loaded) likely(code string) string {
	var near []string
	for _, known := range append(authz.Observables(), l.Policy.Said()...) {
		if authz.Near(code, known) {
			near = append(near, known)
		}
	}
	if near != nil {
		return authz.Suggest(code, near)
	}
	return "spell it as the policy does; a code that is put together at run time is observed all the same"
}
