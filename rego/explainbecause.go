package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Limits on what is told of what a condition rests upon.
const (
	maxWhy     = 3
	maxBecause = 6
	// maxTold is how many of them are told in all.
	maxTold = 10_000
)

// because are the rules that a condition rests upon, and what failed in it.
func (w *watch) because(s *snapshot, depth int) []Because {
	if depth == maxWhy {
		return nil
	}
	var told []Because
	for _, kid := range s.kids {
		if kid.rule == nil {
			told = append(told, w.inside(s, kid, depth)...)
		} else if len(kid.rule.Head.Args) > 0 {
			told = append(told, w.becauseOf(kid, depth, isNegated(s.expr), "")...)
		}
	}
	return first(append(told, w.becauseOfRules(s, depth)...), maxBecause)
}

// first are the first of what is told, each once.
func first(told []Because, most int) []Because {
	var kept []Because
	for _, b := range told {
		same := func(other Because) bool {
			return other.Name == b.Name && other.File == b.File && other.Line == b.Line && (other.Failed == nil) == (b.Failed == nil) &&
				(b.Failed == nil || b.Failed.Line == other.Failed.Line)
		}
		if len(kept) < most && !slices.ContainsFunc(kept, same) {
			kept = append(kept, b)
		}
	}
	return kept
}

func isNegated(expr *ast.Expr) bool {
	_, not := expr.Terms.(*ast.Not)
	return not || expr.Negated
}

// inside tells what failed in a body: of a comprehension without elements, of an every,
// or of what is negated. The condition that the body is all of is not told twice.
func (w *watch) inside(s *snapshot, kid *run, depth int) []Because {
	failed := kid.furthest()
	switch {
	case failed == nil || kid.held && !isNegated(s.expr):
		return nil
	case failed.condition == s.condition:
		return w.because(failed, depth)
	}
	condition := w.told(failed, depth+1)
	return []Because{{Failed: &condition}}
}

// becauseOf tells an evaluation of a rule that failed, for the element of a set that it did
// not give or "", or that held where it must not.
func (w *watch) becauseOf(r *run, depth int, negated bool, element string) []Because {
	if !r.speaks(negated) || w.causes == maxTold {
		return nil
	}
	w.causes++
	told := Because{Name: r.rule.Ref().GroundPrefix().String(), For: element, File: r.rule.Location.File, Line: r.rule.Location.Row, Held: r.held}
	if known := w.wording.rules[spotOf(r.rule)]; known != nil {
		told.Title = known.title
	}
	if !r.held {
		failed := r.furthest()
		if element != "" {
			failed = r.failures[element]
		}
		condition := w.told(failed, depth+1)
		told.Failed = &condition
	}
	return []Because{told}
}

// speaks reports an evaluation of a rule that says why a condition is as it is: it failed,
// or held where it must not.
func (r *run) speaks(negated bool) bool {
	return !bool(r.rule.Default) && (r.held && negated || !r.held && r.furthest() != nil)
}

// becauseOfRules tells the rules that a condition refers to. Where some would have given
// what it saw, only those.
func (w *watch) becauseOfRules(s *snapshot, depth int) []Because {
	var all, named []cause
	negated := isNegated(s.expr)
	for _, ref := range s.refs {
		runs := w.runsOf(ref)
		given := slices.ContainsFunc(runs, (*run).gives)
		for _, r := range runs {
			if !r.speaks(negated) {
				continue
			}
			missed := cause{r, s.missed(r)}
			if given && r.isPartial() && !r.held && missed.element == "" {
				continue // others gave what there is
			}
			all = append(all, missed)
			if key := r.rule.Head.Key; key != nil && key.IsGround() && s.mentions(w.show(key.Value)) {
				named = append(named, missed)
			}
		}
	}
	if len(named) > 0 {
		all = named
	}
	var told []Because
	for _, c := range all {
		if len(told) == maxBecause {
			break
		}
		told = first(append(told, w.becauseOf(c.run, depth, negated, c.element)...), maxBecause)
	}
	return told
}

// cause is an evaluation of a rule, and the element that it did not give and a condition
// looked for, or "".
type cause struct {
	*run
	element string
}

// isPartial reports a rule of which several make a set or an object.
func (r *run) isPartial() bool {
	return r.rule.Head.RuleKind() == ast.MultiValue || !r.rule.Head.Ref().IsGround()
}

// gives reports an element of a set or an object.
func (r *run) gives() bool { return r.held && r.isPartial() }

// missed is the first element that a rule did not give and the condition looked for.
func (s *snapshot) missed(r *run) string {
	for _, key := range r.order {
		if key != "" && r.isPartial() && s.mentions(key) && !slices.Contains(r.values, key) {
			return key
		}
	}
	return ""
}

// runsOf are the evaluations of the rules that a reference is to; of functions, which were
// evaluated for each call, those of the condition are told.
func (w *watch) runsOf(ref ast.Ref) []*run {
	var runs []*run
	for _, rule := range w.rulesOf(ref.GroundPrefix()) {
		for each := rule; each != nil; each = each.Else {
			runs = append(runs, w.rules[spotOf(each)]...)
		}
	}
	return runs
}

// rulesOf are the rules that a reference is to, but functions, in the order of the source:
// the compiler gives them in another each time, and what is told must be the same.
func (s *subject) rulesOf(ref ast.Ref) []*ast.Rule {
	rules := slices.DeleteFunc(s.compiler.GetRules(ref), func(rule *ast.Rule) bool { return len(rule.Head.Args) > 0 })
	slices.SortFunc(rules, func(a, b *ast.Rule) int { return spotOf(a).compare(spotOf(b)) })
	return rules
}

// mentions reports a value among what a condition says or saw.
func (s *snapshot) mentions(value string) bool {
	return strings.Contains(string(s.condition.Location.Text), value) || slices.ContainsFunc(s.saw, func(seen Seen) bool { return strings.Contains(seen.Value, value) })
}
