package rego

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// peerInputs are Peer's documents, as they are kept.
type peerInputs struct {
	peer *Peer
	// wanted is whether the attributes are kept.
	wanted  bool
	kept    branch
	reaches []string
}

var _ authz.Inputs = (*peerInputs)(nil)

// Inputs gives what Decide decides on, as Engine's does.
func (p *Peer) Inputs(whole bool) authz.Inputs {
	reads := p.reach
	if whole {
		reads = reach{whole: &ast.Location{}}
	}
	built := p.paths()
	paths := reads.within(built)
	i := &peerInputs{peer: p, reaches: make([]string, len(paths))}
	for at, path := range paths {
		i.reaches[at] = spelled(path)
	}
	_, i.wanted = reads.part("attributes")
	i.kept = branches(paths)
	return i
}

// paths are the keys of the document, in order.
func (p *Peer) paths() []ast.Ref {
	keys := []*ast.Term{peerKeys.version, peerKeys.attributes, peerKeys.path, peerKeys.query, peerKeys.principal}
	if !p.skipBody {
		keys = append(keys, peerKeys.body, peerKeys.truncated)
	}
	paths := make([]ast.Ref, len(keys))
	for i, key := range keys {
		paths[i] = ast.Ref{ast.InputRootDocument, key}
	}
	slices.SortFunc(paths, ast.RefCompare)
	return paths
}

// peerReady is a document that was made to be kept, and for whom.
type peerReady struct {
	by    *Peer
	value ast.Value
}

// Input implements authz.Inputs. Its error is Decide's.
func (i *peerInputs) Input(facts *authz.Facts) (*authz.Input, error) {
	value, err := i.peer.input(facts.Request, i.wanted)
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	prepared := peerReady{i.peer, value}
	bare, withheld := withoutCredentials(value)
	document, err := documentText(i.kept.of(ast.NewTerm(bare)).Value)
	switch {
	case errors.Is(err, errTooLarge):
		return &authz.Input{TooLarge: true, Prepared: prepared}, nil
	case err != nil:
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	return &authz.Input{Document: document, Reaches: i.reaches, Withheld: withheld, Prepared: prepared}, nil
}

// documentText is a document as it is kept. Its error is errTooLarge or errNotJSON.
func documentText(document ast.Value) ([]byte, error) {
	written := &jsonText{text: make([]byte, 0, 2048)}
	err := written.value(document, maxDepth)
	if err == nil && len(written.text) > maxDocument {
		err = errTooLarge
	}
	return written.text, err
}

// given is what is decided on: it is made once, where it is kept as well.
func (p *Peer) given(facts *authz.Facts) (ast.Value, error) {
	if facts.Input != nil {
		if made, ok := facts.Input.Prepared.(peerReady); ok && made.by == p {
			return made.value, nil
		}
	}
	_, read := p.reach.part("attributes")
	value, err := p.input(facts.Request, read)
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	return value, nil
}

// Replay decides on a kept input as Engine's does. The network is not asked: what it
// answered then is among the input, and a policy that asks anything else is Undetermined.
// How a body was parsed then stands, whatever the descriptors are now.
func (p *Peer) Replay(ctx context.Context, input authz.Input, at time.Time, id authz.DecisionID) (authz.Verdict, error) {
	document, err := p.recalled(&input)
	if err != nil {
		return authz.Verdict{}, err
	}
	if p.network == nil {
		return p.decide(p.evaluate(ctx, document, at, id))
	}
	asked, err := p.network.recall(input.Answers, id)
	if err != nil {
		return authz.Verdict{}, fmt.Errorf("policy: input: %w: %w", ErrDocument, err)
	}
	verdict, err := p.decide(p.evaluate(ctx, document, at, id, asked.options()...))
	if len(asked.lacking) > 0 {
		return authz.Verdict{}, &Undetermined{Needs: asked.lacking}
	}
	return verdict, err
}

// recalled is a kept input, where it holds all that the policy reads.
func (p *Peer) recalled(input *authz.Input) (ast.Value, error) {
	if needs := p.needs(input); len(needs) > 0 {
		return nil, &Undetermined{Needs: needs}
	}
	document, err := parsedDocument(input.Document)
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w: %w", ErrDocument, err)
	}
	if p.skipBody {
		document = withoutKeys(document, func(key *ast.Term) bool { return key.Equal(peerKeys.body) || key.Equal(peerKeys.truncated) })
	}
	return document, nil
}

// needs are the references by which the policy may read what the input lacks.
func (p *Peer) needs(input *authz.Input) []string {
	built := p.paths()
	if p.reach.whole != nil {
		if len(input.Withheld) == 0 && !slices.ContainsFunc(built, func(path ast.Ref) bool { return !covers(input.Reaches, path) }) {
			return nil
		}
		return p.reach.paths()
	}
	var lacking reach
	for _, ref := range p.reach.refs {
		there := slices.ContainsFunc(built, func(path ast.Ref) bool { return ref.HasPrefix(path) })
		if readsWithheld(ref, input.Withheld) || there && !covers(input.Reaches, ref) {
			lacking.refs = append(lacking.refs, ref)
		}
	}
	return lacking.paths()
}
