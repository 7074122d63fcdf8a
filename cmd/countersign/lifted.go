package main

import (
	"io"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	steps "github.com/countersign-io/countersign/authz/explain"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
	"github.com/countersign-io/countersign/rego"
)

// lifted are why a request was allowed that would have been a denial.
type lifted struct {
	// Observed are the refusals that the contract only observes.
	Observed []string `json:"observed,omitempty"`
	// BreakGlass are the tickets under which requirements were lifted.
	BreakGlass []string `json:"break_glass,omitempty"`
	// DryRun is of a policy that denied and is only tried.
	DryRun bool `json:"dry_run,omitempty"`
}

// ofFacts are those of a check, as the record would have them.
func ofFacts(e *steps.Explanation) lifted {
	return lifted{Observed: e.Decision.Observed, BreakGlass: e.Decision.Verdict.BreakGlass, DryRun: e.Facts.Unenforced}
}

// liftedThen are those of a record.
func liftedThen(record *decisionv1.Decision) lifted {
	return lifted{Observed: record.Observed, BreakGlass: record.BreakGlass, DryRun: slices.Contains(record.Unchecked, authz.PolicyDenied.String())}
}

// allowed is the verdict of an allow, with all that it is for, to be seen in one line.
func (l lifted) allowed() string {
	text := "ALLOWED"
	if codes := codesOf(l.Observed); len(codes) == 1 {
		text += ", though " + visible(codes[0]) + " is only observed"
	} else if len(codes) > 1 {
		last := len(codes) - 1
		text += ", though " + visible(strings.Join(codes[:last], ", ")+" and "+codes[last]) + " are only observed"
	}
	if l.DryRun {
		text += ", though the policy denies: it is only tried (dry_run)"
	}
	if len(l.BreakGlass) > 0 {
		text += ", by broken glass: " + visible(strings.Join(l.BreakGlass, ", "))
	}
	return text
}

// codesOf are refusals without what they are about, each once.
func codesOf(refusals []string) []string {
	var codes []string
	for _, refusal := range refusals {
		if code, _, _ := strings.Cut(refusal, ":"); !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// denies reports an allow in place of a denial of the policy's.
func (l lifted) denies(e *rego.Explanation) bool {
	return l.DryRun || slices.ContainsFunc(e.Refusals, func(r rego.Refusal) bool { return l.observes(r.Code) })
}

func (l lifted) observes(code string) bool { return slices.Contains(codesOf(l.Observed), code) }

// enforced has the refusals that stand before those that are only observed.
func (l lifted) enforced(e *rego.Explanation) *rego.Explanation {
	told := *e
	told.Refusals = nil
	for _, observed := range []bool{false, true} {
		for _, refusal := range e.Refusals {
			if l.observes(refusal.Code) == observed {
				told.Refusals = append(told.Refusals, refusal)
			}
		}
	}
	return &told
}

// wouldBe is a denial that is not enforced, to a person.
const wouldBe = "Enforced, it would be denied"

// sentence is sentenceOf of a decision of which not all is enforced.
func (l lifted) sentence(e *rego.Explanation, title string, allowed bool) string {
	if allowed && l.denies(e) {
		return sentenceOf(e, wouldBe, false)
	}
	return sentenceOf(l.enforced(e), title, allowed)
}

// writeWhyOf is writeWhy of a decision of which not all is enforced.
func (l lifted) writeWhyOf(to io.Writer, e *rego.Explanation, allowed bool) {
	writeWhy(to, l.enforced(e), allowed && !l.denies(e))
}
