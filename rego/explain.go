package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/countersign-io/countersign/authz"
)

// subject is a policy that can be explained.
type subject struct {
	evaluator
	compiled
	decision ast.Ref
	// words is the wording, made when it is first asked for: most policies only decide.
	words func() *wording
}

func (p *compiled) subject(from *source, decided evaluator, decision ast.Ref) *subject {
	modules := from.modules // and not the data, which the store has
	return &subject{evaluator: decided, compiled: *p, decision: decision,
		words: sync.OnceValue(func() *wording { return wordingOf(modules, decision) })}
}

// question is one decision that is to be explained.
type question struct {
	input ast.Value
	at    time.Time
	id    authz.DecisionID
	hide  func(string) string
	// more are what an evaluation needs besides; nil is nothing.
	more func() []opa.EvalOption
	// numbers are those that are told, beside small ones; nil is all.
	numbers map[string]bool
}

// Explain tells why Decide decides on the facts as it does. It evaluates them once more
// and looks at every rule on the way, which takes many times as long: ctx ends it, and an
// evaluation that does too much is cut, which is told. hide takes credentials out of a
// text; nil takes none. The error is of facts that cannot be an input, as Decide's.
func (e *Engine) Explain(ctx context.Context, facts *authz.Facts, hide func(string) string) (*Explanation, error) {
	input, err := e.input(facts)
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	return e.subject.explain(ctx, question{input: input, at: facts.Time, id: facts.ID, hide: hide}), nil
}

// ExplainKept is Explain of a kept input, with Replay's errors. Unless it is told in clear,
// texts that may name people and objects are withheld: all that neither the policy nor the
// record of a decision says, each by a number of its own.
func (e *Engine) ExplainKept(ctx context.Context, input authz.Input, at time.Time, id authz.DecisionID, clear bool) (*Explanation, error) {
	document, err := e.kept(&input)
	if err != nil {
		return nil, err
	}
	return e.subject.explain(ctx, e.subject.ofKept(document, at, id, clear)), nil
}

// ofKept is the question of a kept input, which says who called only where that is wanted.
func (s *subject) ofKept(document ast.Value, at time.Time, id authz.DecisionID, clear bool) question {
	q := question{input: document, at: at, id: id}
	if !clear {
		known := s.pseudonymsFor(document, at)
		q.hide, q.numbers = known.hide, known.numbers
	}
	return q
}

// Explain is Engine.Explain. What the policy asks of the network it is asked once, as Decide
// asks it; a rule that only an explanation comes to asks nothing.
func (p *Peer) Explain(ctx context.Context, facts *authz.Facts, hide func(string) string) (*Explanation, error) {
	input, err := p.given(facts)
	if err != nil {
		return nil, err
	}
	q := question{input: input, at: facts.Time, id: facts.ID, hide: hide}
	if p.network != nil {
		asked := p.network.ask(facts)
		_, _ = p.evaluate(ctx, input, facts.Time, facts.ID, asked.options()...) // for the answers
		asked.recalled = true
		q.more = asked.options
	}
	return p.subject.explain(ctx, q), nil
}

// ExplainKept is Engine.ExplainKept. The network is not asked, as for Replay.
func (p *Peer) ExplainKept(ctx context.Context, input authz.Input, at time.Time, id authz.DecisionID, clear bool) (*Explanation, error) {
	document, err := p.recalled(&input)
	if err != nil {
		return nil, err
	}
	q := p.subject.ofKept(document, at, id, clear)
	if p.network != nil {
		asked, err := p.network.recall(input.Answers, id)
		if err != nil {
			return nil, fmt.Errorf("policy: input: %w: %w", ErrDocument, err)
		}
		q.more = asked.options
	}
	return p.subject.explain(ctx, q), nil
}

// notRuledOut says that rules were not looked at which the decision does not come to.
const notRuledOut = "a rule that does not bear on the decision fails when it is looked at; those that are ruled out by their first conditions are left out"

func (s *subject) explain(ctx context.Context, q question) *Explanation {
	w, result, err := s.watched(ctx, q, false)
	told := &Explanation{Decision: s.decision.String()}
	var failure *topdown.Error
	if errors.As(err, &failure) && !topdown.IsCancel(err) {
		// The index and early exits keep a decision from rules that fail: it may stand.
		if again, decided, failed := s.watched(ctx, q, true); failed == nil {
			w, result, err = again, decided, nil
			told.Incomplete = notRuledOut
		}
	}
	switch {
	case err == nil:
	case w.events > maxEvents:
		told.Incomplete = fmt.Sprintf("it takes over %d steps, of which the first are told", maxEvents)
	case topdown.IsCancel(err):
		told.Incomplete = "its time was over before it came to an end"
	case failure != nil && failure.Location != nil:
		told.Stopped = w.stopped(failure.Location)
	}
	told.Refusals = w.refusals(result)
	told.Rules = w.explained()
	return told
}

// stopped is where an evaluation failed, and what was seen there.
func (w *watch) stopped(at *ast.Location) *Condition {
	if condition := w.condition(at); condition != nil {
		for _, of := range slices.SortedFunc(maps.Keys(w.rules), spot.compare) {
			for _, r := range w.rules[of] {
				for _, key := range r.order {
					if failed := r.failures[key]; failed.condition == condition {
						told := w.told(failed, 0)
						return &told
					}
				}
			}
		}
	}
	return &Condition{File: at.File, Line: at.Row, Text: inLine(at.Text)}
}

// watched evaluates the decision with all rules looked at, or as it is decided. The
// result is nil where there is none.
func (s *subject) watched(ctx context.Context, q question, asDecided bool) (*watch, ast.Value, error) {
	cancel := topdown.NewCancel()
	stop := context.AfterFunc(ctx, cancel.Cancel)
	defer stop()
	w := &watch{shower: shower{hide: q.hide, numbers: q.numbers, spans: spansOf(q.input)}, subject: s, wording: s.words(), cancel: cancel,
		runs: map[uint64]*run{}, rules: map[spot][]*run{}, found: map[*ast.Location]*ast.Expr{}}
	var more []opa.EvalOption
	if q.more != nil {
		more = q.more()
	}
	results, err := s.query.Eval(ctx, append(more,
		opa.EvalParsedInput(q.input), opa.EvalTime(clock(q.at)), opa.EvalSeed(&seed{id: q.id}),
		opa.EvalExternalCancel(cancel), opa.EvalTransaction(s.evaluator.txn), opa.EvalMetrics(metrics.NoOp()),
		opa.EvalRuleIndexing(asDecided), opa.EvalEarlyExit(asDecided), opa.EvalQueryTracer(w))...)
	if err != nil || len(results) != 1 || len(results[0].Expressions) != 1 {
		return w, nil, err
	}
	result, ok := results[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return w, nil, nil
	}
	return w, result.Value, nil
}

// refusals are a result's, with the objects that they are about, or none where they
// cannot be read.
func (w *watch) refusals(result ast.Value) []Refusal {
	object, ok := result.(ast.Object)
	if !ok {
		return nil
	}
	reason, _ := valueOf(object, "reason").(ast.String)
	var refusals []Refusal
	terms, _ := elements(valueOf(object, "refusals"))
	for _, term := range terms {
		if len(refusals) < maxKeys {
			refusals = append(refusals, w.refusal(term.Value))
		}
	}
	refusals = slices.DeleteFunc(refusals, func(r Refusal) bool { return !authz.IsCode(r.Code) })
	if reason != "" && authz.IsCode(string(reason)) && !slices.ContainsFunc(refusals, func(r Refusal) bool { return r.Code == string(reason) }) {
		refusals = append(refusals, Refusal{Code: string(reason)})
	}
	slices.SortStableFunc(refusals, func(a, b Refusal) int {
		return cmp.Compare(btoi(a.Code != string(reason)), btoi(b.Code != string(reason)))
	})
	return refusals
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// refusal is a requirement: a code, or a code and an object.
func (w *watch) refusal(value ast.Value) Refusal {
	switch value := value.(type) {
	case ast.String:
		return Refusal{Code: string(value)}
	case ast.Object:
		if keys := value.Keys(); len(keys) == 1 {
			code, _ := keys[0].Value.(ast.String)
			about, _ := value.Get(keys[0]).Value.(ast.String)
			return Refusal{Code: string(code), For: strings.ToValidUTF8(shortText(w.hidden(string(about))), "")}
		}
	}
	return Refusal{}
}

// explained are the rules that were looked at.
func (w *watch) explained() []ExplainedRule {
	var rules []ExplainedRule
	for _, at := range slices.SortedFunc(maps.Keys(w.rules), spot.compare) {
		if runs := w.rules[at]; len(runs[0].rule.Head.Args) == 0 {
			rules = append(rules, w.rule(at, runs))
		}
	}
	return rules
}

// rule tells a rule by those of its evaluations that were for the input and the policy's
// own data, if there are any.
func (w *watch) rule(at spot, runs []*run) ExplainedRule {
	rule := runs[0].rule
	if plain := slices.DeleteFunc(slices.Clone(runs), func(r *run) bool { return r.replaced }); len(plain) > 0 {
		runs = plain
	}
	told := ExplainedRule{Name: rule.Ref().GroundPrefix().String(), File: at.file, Line: at.row, Default: bool(rule.Default)}
	if known := w.wording.rules[at]; known != nil {
		told.Role, told.Title, told.Reason = known.role, known.title, known.reason
	}
	for _, r := range runs {
		if r.held && !told.Held {
			told.Held = true
			told.Conditions = w.conditions(r)
		}
		for _, value := range r.values {
			if !slices.Contains(told.Values, value) {
				told.Values = append(told.Values, value)
			}
		}
	}
	for _, r := range runs {
		told.Failures = append(told.Failures, w.failures(r, told.Values)...)
	}
	return told
}

func (w *watch) conditions(r *run) []Condition {
	var told []Condition
	for i := range r.seen {
		told = append(told, w.told(&r.seen[i], 0))
	}
	return told
}

// failures are those for what the rule did not give after all.
func (w *watch) failures(r *run, given []string) []Failure {
	var told []Failure
	for _, key := range r.order {
		if slices.Contains(given, key) || key == "" && (len(given) > 0 || len(r.order) > 1 && r.furthest().further > r.failures[key].further) {
			continue
		}
		told = append(told, w.failure(key, r.failures[key]))
	}
	return told
}

func (w *watch) failure(key string, s *snapshot) Failure {
	told := Failure{For: key, Further: s.before, Condition: w.told(s, 0)}
	if s.tried > 1 {
		told.Tried = s.tried
	}
	return told
}

// furthest is the failure of the branch that came furthest, or nil.
func (r *run) furthest() *snapshot {
	var found *snapshot
	for _, key := range r.order {
		if s := r.failures[key]; found == nil || s.further > found.further {
			found = s
		}
	}
	return found
}

func (w *watch) told(s *snapshot, depth int) Condition {
	at := s.condition.Location
	return Condition{File: at.File, Line: at.Row, Text: inLine(at.Text), Saw: s.saw, Because: w.because(s, depth)}
}
