package console

import (
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Status is what /status tells: what requests are decided by, and what was not put in
// force.
type Status struct {
	// Revision is the snapshot's, "" until there is one, in force since Since.
	Revision string    `json:"revision"`
	Since    time.Time `json:"since"`
	// Ready says that requests can be decided.
	Ready bool `json:"ready"`
	// Set is the id of the bundles in force, "" where the policy is none.
	Set     string         `json:"set,omitempty"`
	Bundles []authz.Bundle `json:"bundles,omitempty"`
	// Pinned is the set that is pinned, or nil.
	Pinned *Pinned `json:"pinned,omitempty"`
	// Refused is the last thing that was not put in force, or nil where nothing was since.
	Refused *RefusedReload `json:"refused,omitempty"`
}

// Pinned is a set that stays whatever is downloaded.
type Pinned struct {
	Set   string    `json:"set"`
	Since time.Time `json:"since"`
}

// RefusedReload is a reload or bundles that were refused.
type RefusedReload struct {
	At      time.Time `json:"at"`
	Because string    `json:"because"`
}

func (p *Pages) status() Status {
	status := p.Reloads.status()
	status.Ready = p.Ready() == nil
	if p.Bundles == nil {
		return status
	}
	now := p.Bundles.state()
	status.Set, status.Bundles = now.Set, now.Bundles
	if now.Pinned != "" {
		status.Pinned = &Pinned{Set: now.Pinned, Since: now.PinnedSince}
	}
	return status
}

// maxBecause bounds what is told of a refusal, in bytes. The log has all of it.
const maxBecause = 16 << 10

func brief(text string) string {
	if len(text) <= maxBecause {
		return text
	}
	return strings.ToValidUTF8(text[:maxBecause], "") + "… (the log has the rest)"
}

func (r *Reloads) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := Status{Revision: r.revision, Since: r.since.UTC()}
	if last := r.refusal(); last.fault != nil {
		status.Refused = &RefusedReload{At: last.at.UTC(), Because: brief(last.fault.Error())}
	}
	return status
}
