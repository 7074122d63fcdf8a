package rego

import (
	"context"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/countersign-io/countersign/authz"
)

// evaluator is a decision that was prepared once, to be evaluated many times.
type evaluator struct {
	query opa.PreparedEvalQuery
	// txn is a read transaction that is never closed: nothing writes the store.
	txn storage.Transaction
	// decides is the rule that does, and where it first stands.
	decides string
	// modules are what was compiled.
	modules map[string]*ast.Module
}

// prepare readies the rule that decides. Its error is authz.Problems.
func (p *compiled) prepare(ctx context.Context, decision ast.Ref, options ...func(*opa.Rego)) (evaluator, error) {
	query, err := opa.New(append(options,
		opa.Compiler(p.compiler),
		opa.Store(p.store),
		opa.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(decision)))),
		opa.GenerateJSON(asTerm),
	)...).PrepareForEval(ctx)
	if err != nil {
		return evaluator{}, authz.Problems{{Key: "decision", What: err.Error(), Fix: "name a rule of the policy"}}
	}
	return evaluator{query: query, txn: p.txn, decides: p.whereabouts(decision), modules: p.compiler.Modules}, nil
}

// asTerm keeps a result in OPA's own form.
func asTerm(term *ast.Term, _ *opa.EvalContext) (any, error) { return term, nil }

// evaluate is the decision's value. What it holds of the policy's failures is a place in
// the policy, never a value.
func (e *evaluator) evaluate(ctx context.Context, input ast.Value, at time.Time, id authz.DecisionID, more ...opa.EvalOption) (ast.Value, error) {
	// A cancel of its own for each decision, not a pooled one: AfterFunc may still
	// be running when the evaluation is over.
	cancel := topdown.NewCancel()
	stop := context.AfterFunc(ctx, cancel.Cancel)
	defer stop()
	growStack(false)
	results, err := e.query.Eval(ctx, append(more,
		opa.EvalParsedInput(input),
		opa.EvalTime(clock(at)),
		opa.EvalSeed(&seed{id: id}),
		opa.EvalExternalCancel(cancel),
		opa.EvalTransaction(e.txn),
		opa.EvalMetrics(metrics.NoOp()),
	)...)
	if err != nil {
		return nil, e.fault(ctx, err)
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, e.unusable(errUndefined)
	}
	result, ok := results[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return nil, e.unusable(errUndefined)
	}
	return result.Value, nil
}

// clock never is the zero time, for which OPA would read the clock itself.
func clock(at time.Time) time.Time {
	if at.IsZero() {
		return time.Unix(0, 0)
	}
	return at
}
