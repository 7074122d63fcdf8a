package authz

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// lookUp asks the stores for what the operation calls for, side by side. A store
// that fails, panics or does not answer in time is an error; a slow one is left
// behind, and what it answers later is dropped.
func (p *Pipeline) lookUp(ctx context.Context, f *Facts) error {
	caller := f.Caller()
	consent := make(chan outcome[*Consent], 1)
	owned := make(chan outcome[map[Object]Ownership], 1)
	asksConsent := len(f.Match.Operation.Consent) > 0 && caller.Consent != ""
	var objects []Object
	if caller.Kind == Customer {
		objects = distinct(f.Inspection.Objects)
	}
	asksOwners := len(objects) > 0
	if asksConsent {
		go guard(consent, func() (*Consent, error) { return p.Consents.Consent(ctx, caller) })
	}
	if asksOwners {
		go guard(owned, func() (map[Object]Ownership, error) { return p.Owners.Owned(ctx, caller, objects) })
	}
	var err error
	if asksConsent {
		if f.Consent, err = await(ctx, consent); err != nil {
			return fmt.Errorf("%w: %w", ConsentUnavailable, err)
		}
	}
	if asksOwners {
		if f.Owned, err = await(ctx, owned); err != nil {
			return fmt.Errorf("%w: %w", OwnershipUnavailable, err)
		}
		if f.Owned == nil { // asked, and none is the caller's
			f.Owned = map[Object]Ownership{}
		}
	}
	return nil
}

type outcome[T any] struct {
	value T
	err   error
}

// guard sends what the lookup answers, or an error where it panics. The channel
// has room for it, so that nobody need be there to receive it.
func guard[T any](to chan<- outcome[T], lookup func() (T, error)) {
	var result outcome[T]
	defer func() {
		if fault := recover(); fault != nil {
			result = outcome[T]{err: errors.New(panicText(fault))}
		}
		to <- result
	}()
	result.value, result.err = lookup()
}

func await[T any](ctx context.Context, from <-chan outcome[T]) (T, error) {
	result, there := awaited(ctx, from)
	if !there {
		return result.value, ctx.Err()
	}
	return result.value, result.err
}

// awaited is the outcome, unless ctx ends before it is there.
func awaited[T any](ctx context.Context, from <-chan outcome[T]) (result outcome[T], there bool) {
	select {
	case result = <-from:
		return result, true
	case <-ctx.Done():
	}
	// Of two that are ready select takes either: what is there counts.
	select {
	case result = <-from:
		return result, true
	default:
		return result, false
	}
}

// extended ends a while after ctx's deadline, and does not end with ctx.
func extended(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(context.WithoutCancel(ctx))
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(while))
}

// distinct are the objects named, each once, less those that could not be read: no store
// is to say that it knows them.
func distinct(named []Named) []Object {
	objects := make([]Object, 0, len(named))
	seen := make(map[Object]bool, len(named))
	for _, n := range named {
		if n.ID != Unread && !seen[n.Object] {
			seen[n.Object] = true
			objects = append(objects, n.Object)
		}
	}
	return objects
}

// panicText is what may be recorded of a panic: the runtime's own words, else only
// the type, since a value could hold anything of the request.
func panicText(fault any) string {
	if err, ok := fault.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic: %T", fault)
}
