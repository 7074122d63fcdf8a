package main

import (
	"fmt"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/console"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/rego/bundles"
)

// follow puts the bundles in force that should be, whole or not at all, and tells of those
// that could not be downloaded. The configuration in force stays, whatever its file says
// by now.
func (r *reloader) follow(because string) {
	follower := r.system.Bundles()
	r.tellFaults(follower)
	now := time.Now()
	set, next, err := r.prepareSet(follower)
	switch {
	case err != nil:
		if set != nil {
			r.refused = set.ID
		}
		follower.Refused(set, err, now)
		r.reloads.BundlesRefused(err, now)
		r.log.Error("bundles refused", "on", because, "bundles", authz.BundleNames(set.Names()), "in_force", r.reloads.Revision(), "because", err)
	case next != nil:
		r.activate(follower, set, next, because)
	case set != nil && set.ID != r.refused:
		r.refused = "" // what was refused is told again, should it come again
		follower.Held()
	}
	if follower.InForce() != nil && follower.State().Refusal == nil {
		r.reloads.BundlesHeld()
	}
}

func (r *reloader) activate(follower *bundles.Follower, set *bundles.Set, next *wire.Next, because string) {
	before, now := r.reloads.Revision(), time.Now()
	r.refused = ""
	r.system.PutInForce(next)
	r.reloads.BundlesLoaded(next.Revision(), now)
	r.log.Info("bundles in force", "on", because, "bundles", authz.BundleNames(set.Names()), "set", set.ID,
		"revision", next.Revision(), "before", before, "pinned", follower.State().Pin != nil)
	if err := follower.Activated(set, now); err != nil {
		r.log.Error("bundles in force are not kept: a restart begins with older ones", "because", err)
	}
	if still := follower.State().Refusal; still != nil { // another bundle's
		r.reloads.BundlesRefused(still.Because, still.At)
	}
}

// prepareSet makes a snapshot of the bundles that should be in force, or gives a nil next
// where they are, or were refused already. A panic is an error like any other: what was downloaded must not end a
// process that is deciding.
func (r *reloader) prepareSet(follower *bundles.Follower) (set *bundles.Set, next *wire.Next, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			next, err = nil, fmt.Errorf("bundles: panic: %v", fault)
		}
	}()
	set, err = follower.Next()
	inForce := follower.InForce()
	switch {
	case set != nil && set.ID == r.refused:
		return set, nil, nil
	case err != nil || set == nil || inForce != nil && set.ID == inForce.ID:
		return set, nil, err
	}
	next, err = r.system.PrepareSet(set)
	return set, next, err
}

// tellFaults tells of downloads that failed.
func (r *reloader) tellFaults(follower *bundles.Follower) {
	for _, fault := range follower.Faults() {
		if !fault.Refused {
			r.log.Warn("a bundle cannot be downloaded; what is in force stays", "because", fault.Because)
			continue
		}
		r.reloads.BundlesRefused(fault.Because, time.Now())
		r.log.Error("a bundle is refused", "in_force", r.reloads.Revision(), "because", fault.Because)
	}
}

// sayBundles tells by which bundles a command judges, where it is by bundles.
func sayBundles(set *bundles.Set, w world) {
	if set != nil {
		fmt.Fprintf(w.stderr, "by the bundles that were in force last, set %s: %s\n", set.ID, visible(authz.BundleNames(set.Names())))
	}
}

// bundlesTold is what the console tells of bundles, or nil where the policy is none.
func bundlesTold(follower *bundles.Follower) *console.Bundles {
	if follower == nil {
		return nil
	}
	return console.NewBundles(func() console.Bundling {
		state := follower.State()
		told := console.Bundling{Set: state.Set, Since: state.Since, Bundles: state.Bundles, Asked: state.Asked}
		if state.Pin != nil {
			told.Pinned, told.PinnedSince = state.Pin.Set, state.Pin.Since
		}
		for of, times := range state.Counts {
			told.Downloads = append(told.Downloads, console.Downloads{Bundle: of.Bundle, Result: of.Result, Count: times})
		}
		return told
	})
}
