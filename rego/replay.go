package rego

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// ErrDocument says that a kept document is not one that was kept: nothing was decided.
var ErrDocument = errors.New("the kept document cannot be read")

var errNoDocument = errors.New("it is no object")

// Undetermined is a decision that a kept input does not tell.
type Undetermined struct {
	// Needs are what the policy reads and the input does not hold, as Reaches has them.
	Needs []string
}

func (u *Undetermined) Error() string {
	return "undetermined: needs " + strings.Join(u.Needs, ", ")
}

// Replay decides on a kept input as Decide did or would have on the facts that it was
// made of, at the time and with the id of that decision. Where the policy may read
// what the input does not hold, the error is an *Undetermined, never a guess. An
// error's text holds no value, as Decide's does not.
func (e *Engine) Replay(ctx context.Context, input authz.Input, at time.Time, id authz.DecisionID) (authz.Verdict, error) {
	document, err := e.kept(&input)
	if err != nil {
		return authz.Verdict{}, err
	}
	return e.decide(ctx, document, at, id)
}

// kept is what the policy decides on of a kept input.
func (e *Engine) kept(input *authz.Input) (ast.Value, error) {
	if needs := e.needs(input); len(needs) > 0 {
		return nil, &Undetermined{Needs: needs}
	}
	document, err := parsedDocument(input.Document)
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w: %w", ErrDocument, err)
	}
	return document, nil
}

func parsedDocument(text []byte) (ast.Value, error) {
	if len(text) > maxDocument {
		return nil, errTooLarge
	}
	parsed, err := authz.ParseJSON(text, maxDepth)
	if err != nil {
		return nil, err
	}
	value, err := ast.InterfaceToValue(parsed)
	if err != nil {
		return nil, errNotJSON
	}
	if _, ok := value.(ast.Object); !ok {
		return nil, errNoDocument
	}
	return value, nil
}

// needs are the references by which the policy may read what the input lacks.
func (e *Engine) needs(input *authz.Input) []string {
	if e.reach.whole != nil {
		if len(input.Withheld) == 0 && holdsAll(input.Reaches, e.document) {
			return nil
		}
		return e.reach.paths()
	}
	var lacking reach
	for _, ref := range e.reach.refs {
		if readsWithheld(ref, input.Withheld) || !holds(input.Reaches, ref) {
			lacking.refs = append(lacking.refs, ref)
		}
	}
	return lacking.paths()
}

// holds reports that what is kept has all that a reference reads: what it leads to, or
// each key that Decide builds for it.
func holds(kept []string, ref ast.Ref) bool {
	return covers(kept, ref) || holdsAll(kept, newDocument(reach{refs: []ast.Ref{ref}}))
}

func holdsAll(kept []string, d *document) bool {
	return !slices.ContainsFunc(d.paths(), func(path ast.Ref) bool { return !covers(kept, path) })
}

// covers reports that a path is below one that is kept, where all is kept.
func covers(kept []string, path ast.Ref) bool {
	text := spelled(path)
	return slices.ContainsFunc(kept, func(whole string) bool { return begins(whole, text) })
}

// readsWithheld reports a reference that may come to one of the headers, or to what
// holds them all. Of raw headers any may be: they are a list.
func readsWithheld(ref ast.Ref, headers []string) bool {
	switch {
	case len(headers) == 0:
		return false
	case headersPath.HasPrefix(ref), ref.HasPrefix(rawHeadersPath):
		return true
	case !ref.HasPrefix(headersPath):
		return false
	}
	name, _ := ref[len(headersPath)].Value.(ast.String)
	return slices.Contains(headers, strings.ToLower(string(name)))
}
