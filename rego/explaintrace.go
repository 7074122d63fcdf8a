package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Limits on what is kept of an evaluation.
const (
	// maxEvents is how many steps of it are looked at: some hundred times what the
	// standard policy takes.
	maxEvents = 500_000
	// maxRuns is how many evaluations of one rule are kept, and maxKids of what was
	// evaluated for one condition.
	maxRuns = 32
	maxKids = 8
	// maxKeys is how many elements of a set a rule is told of.
	maxKeys = 16
)

// run is one evaluation of a rule's body, or of a body in one of its conditions.
type run struct {
	parent *run
	// rule is nil where it is a body in a condition.
	rule *ast.Rule
	body ast.Body
	// at is the condition that is evaluated, and kids what was evaluated for each.
	at   *ast.Expr
	kids map[*ast.Expr][]*run
	// begun is of a condition that has not failed yet.
	begun bool
	// replaced is of what is evaluated with another input or other data, and mocked with
	// other data.
	replaced, mocked bool
	held             bool
	// values are what it gave, and held those of the first.
	values   []string
	seen     []snapshot
	failures map[string]*snapshot
	// order has the keys of failures in their order.
	order []string
}

// of is the rule that is evaluated, or nil.
func (r *run) of() *ast.Rule {
	for r != nil && r.rule == nil && r.parent != r {
		r = r.parent
	}
	if r == nil {
		return nil
	}
	return r.rule
}

// snapshot is a condition and what it saw at one moment.
type snapshot struct {
	// expr is as it was compiled, and condition as it was written; nil where a rule has
	// none.
	expr, condition *ast.Expr
	// further is how many were passed before as compiled, and before as written.
	further, before, tried int
	saw                    []Seen
	// refs are the references to data and rules in it.
	refs []ast.Ref
	kids []*run
}

// watch keeps what an evaluation does, as topdown tells it. It is for one evaluation.
type watch struct {
	shower
	*subject
	*wording
	// found are the conditions that were looked for.
	found map[*ast.Location]*ast.Expr
	runs  map[uint64]*run
	// rules are the evaluations of each rule.
	rules  map[spot][]*run
	events int
	// causes are how many were told.
	causes int
	// cancel ends an evaluation of which there is too much to tell.
	cancel topdown.Cancel
}

// Enabled implements topdown.QueryTracer.
func (w *watch) Enabled() bool { return true }

// Config implements topdown.QueryTracer: only what is told is plugged.
func (w *watch) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements topdown.QueryTracer.
func (w *watch) TraceEvent(event topdown.Event) {
	if w.events++; w.events > maxEvents {
		w.cancel.Cancel()
		return
	}
	switch event.Op {
	case topdown.EnterOp:
		w.enter(&event)
	case topdown.EvalOp:
		if r, expr := w.of(&event); r != nil {
			w.eval(r, expr)
		}
	case topdown.FailOp:
		if r, expr := w.of(&event); r != nil {
			w.fail(r, expr, &event)
		}
	case topdown.ExitOp:
		w.exit(&event)
	}
}

// of is the evaluation that an event of a condition belongs to.
func (w *watch) of(event *topdown.Event) (*run, *ast.Expr) {
	expr, ok := event.Node.(*ast.Expr)
	if !ok {
		return nil, nil
	}
	return w.runs[event.QueryID], expr
}

// condition is wording's, which has it found once.
func (w *watch) condition(at *ast.Location) *ast.Expr {
	condition, known := w.found[at]
	if !known {
		condition = w.wording.condition(at)
		w.found[at] = condition
	}
	return condition
}

func (w *watch) enter(event *topdown.Event) {
	r := &run{parent: w.runs[event.ParentID]}
	switch node := event.Node.(type) {
	case *ast.Rule:
		r.rule, r.body = node, node.Body
		if of := spotOf(node); len(w.rules[of]) < maxRuns {
			w.rules[of] = append(w.rules[of], r)
		}
	case ast.Body:
		r.body = node
	}
	w.runs[event.QueryID] = r
	if above := r.parent; above != nil && above != r {
		r.replaced = above.replaced || above.at != nil && len(above.at.With) > 0
		r.mocked = above.mocked || above.at != nil && replacesData(above.at)
		above.adopt(w.condition(locationOf(above.at)), r)
	}
}

func locationOf(expr *ast.Expr) *ast.Location {
	if expr == nil {
		return nil
	}
	return expr.Location
}

// adopt keeps the last that were evaluated for a condition.
func (r *run) adopt(condition *ast.Expr, kid *run) {
	if condition == nil {
		return
	}
	if r.kids == nil {
		r.kids = map[*ast.Expr][]*run{}
	}
	kids := r.kids[condition]
	if len(kids) == maxKids {
		kids = slices.Clone(kids[1:])
	}
	r.kids[condition] = append(kids, kid)
}

func replacesData(expr *ast.Expr) bool {
	return slices.ContainsFunc(expr.With, func(with *ast.With) bool {
		ref, ok := with.Target.Value.(ast.Ref)
		return ok && ref.HasPrefix(dataRoot)
	})
}

// eval begins a condition: what was evaluated for it in another branch is forgotten.
func (w *watch) eval(r *run, expr *ast.Expr) {
	condition := w.condition(expr.Location)
	if condition != nil && condition != w.condition(locationOf(r.at)) {
		delete(r.kids, condition)
	}
	r.at, r.begun = expr, true
}

// fail keeps the first condition that failed, of the branch that came furthest to the
// same element.
func (w *watch) fail(r *run, expr *ast.Expr, event *topdown.Event) {
	condition := w.condition(expr.Location)
	if condition == nil {
		return
	}
	key := ""
	if r.rule != nil && r.rule.Head.Key != nil {
		if plugged := event.Plug(r.rule.Head.Key); plugged.IsGround() {
			key = w.show(plugged.Value)
		}
	}
	kept := r.failures[key]
	switch {
	case kept == nil && len(r.failures) >= maxKeys, kept != nil && kept.further > expr.Index:
		return
	case kept != nil && kept.further == expr.Index:
		if r.begun { // topdown says of some twice that they failed
			kept.tried++
		}
		r.begun = false
		return
	case kept == nil:
		if r.failures == nil {
			r.failures = map[string]*snapshot{}
		}
		r.order = append(r.order, key)
	}
	failed := w.snapshot(r, event, expr, expr.Index)
	failed.before, failed.tried = w.before(r.body, expr), 1
	r.failures[key] = &failed
	r.begun = false
}

// before is how many conditions stand before one, as they were written.
func (w *watch) before(body ast.Body, failed *ast.Expr) int {
	passed := map[*ast.Expr]bool{}
	for _, expr := range body[:min(failed.Index, len(body))] {
		passed[w.condition(expr.Location)] = true
	}
	delete(passed, w.condition(failed.Location))
	return len(passed)
}

// snapshot is what a condition sees now, of which all was evaluated up to one of those
// that it was compiled into.
func (w *watch) snapshot(r *run, event *topdown.Event, expr *ast.Expr, upTo int) snapshot {
	s := snapshot{expr: expr, condition: w.condition(expr.Location), further: expr.Index}
	s.kids = r.kids[s.condition]
	seen := &seeing{watch: w, run: r, event: event}
	for _, part := range r.body {
		if part.Index <= upTo && w.condition(part.Location) == s.condition {
			seen.expr(part)
			s.refs = append(s.refs, referred(part)...)
		}
	}
	s.saw = seen.seen
	return s
}

// referred are the references to data and rules in a condition as it was compiled.
func referred(expr *ast.Expr) []ast.Ref {
	var refs []ast.Ref
	ast.WalkRefs(expr, func(ref ast.Ref) bool {
		if ref.HasPrefix(dataRoot) {
			refs = append(refs, ref)
		}
		return false
	})
	return refs
}

// exit keeps what a rule gave, and what the conditions of the first saw.
func (w *watch) exit(event *topdown.Event) {
	r := w.runs[event.QueryID]
	if r == nil {
		return
	}
	first := !r.held
	r.held = true
	if r.rule == nil {
		return
	}
	given := r.rule.Head.Key
	if given == nil {
		given = r.rule.Head.Value
	}
	if given != nil && len(r.values) < maxKeys {
		if value := w.show(event.Plug(given).Value); !slices.Contains(r.values, value) {
			r.values = append(r.values, value)
		}
	}
	if first {
		r.seen = w.all(r, event)
	}
}

// all are the conditions of a body, as they were written, each once.
func (w *watch) all(r *run, event *topdown.Event) []snapshot {
	var all []snapshot
	for _, expr := range r.body {
		condition := w.condition(expr.Location)
		if condition == nil || condition.Generated || len(all) > 0 && all[len(all)-1].condition == condition {
			continue
		}
		all = append(all, w.snapshot(r, event, expr, len(r.body)))
	}
	return all
}
