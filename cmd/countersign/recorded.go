package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

// recall tells what was recorded of a decision, and decides again on what was kept. What
// is wrong with the configuration now is told, and does not hide the record.
func recall(ctx context.Context, want wanted, w world) (account, error) {
	cfg, faults := want.from.load(w)
	if cfg == nil || !cfg.Readable() {
		return nil, faults
	}
	found, err := audit.Find(cfg.Audit, *want.decision)
	if errors.Is(err, audit.ErrNotFound) {
		return nil, wire.Merge(faults, notFound(cfg.Audit.Folder, *want.decision, found.Damage))
	}
	if err != nil {
		return nil, err
	}
	now := wire.Recall(cfg, faults)
	told := remember(found, now.Revision)
	told.clear = want.input
	if n := len(now.Problems); n > 0 {
		told.note("the configuration as it is now has faults, %d in all, and countersign check tells them: %v", n, now.Problems[0])
	}
	if found.Damage != nil {
		told.note("not all records can be read, and another of this decision may be among them: %s", oneLine(found.Damage))
	}
	if want.policy != "" {
		if now.Policies, err = candidates(cfg, told.before.Api, want.policy); err != nil {
			return nil, err
		}
		told.Candidate, told.whose = want.policy, "the policy of "+visible(want.policy)
	}
	told.ask(ctx, now, found)
	if want.input && found.Input != nil {
		told.Input = found.Input.Input.Document
	}
	return told, nil
}

func notFound(folder string, id authz.DecisionID, damage error) error {
	problems := authz.Problems{{File: folder, What: "has no record of " + id.String(),
		Fix: "name the configuration of the Countersign that decided, and put back files that were moved away; refusals of a flood have no records of their own, nor has what was refused as overloaded"}}
	if damage != nil {
		problems = append(problems, authz.Problem{File: folder, What: "cannot be read whole: " + oneLine(damage)})
	}
	return problems
}

// oneLine is the text of errors that were joined.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// candidates are the policies of a configuration, with those of the folder in the place of
// the one that decided for the API.
func candidates(cfg *config.Config, api, folder string) (*wire.Policies, error) {
	alone := slices.ContainsFunc(cfg.APIs, func(each config.API) bool { return each.IsPolicyOnly() && string(each.Contract.Name) == api })
	if !alone {
		api = ""
	}
	return wire.Candidates(cfg, authz.API(api), folder)
}

// ask has decided again what was decided, by the policies that are meant.
func (r *recording) ask(ctx context.Context, now wire.Current, found audit.Found) {
	switch {
	case found.Input == nil:
		r.NotAsked = oneLine(found.NoInput)
	case now.Policies == nil:
		r.NotAsked = "the configuration does not say which one it is, or it is wrong"
	default:
		r.again(ctx, now.Policies, found.Input, r, r.before)
	}
	if r.Candidate == "" && r.Policy != nil && r.Now.Same != nil && *r.Now.Same {
		r.Sentence = r.sentence(r.Policy, r.Sentence, r.Allowed)
	}
	for _, s := range r.Shadows {
		if r.Candidate != "" {
			s.NotAsked = "--policy asks another"
		} else if found.Input == nil {
			s.NotAsked = oneLine(found.NoInput)
		} else {
			s.tryAgain(ctx, now, found.Input, r)
		}
	}
}
