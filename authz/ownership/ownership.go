// Package ownership answers which of the objects that a request names belong to
// its caller.
//
// Each type of object has an engine of its own, which asks a system of record. An
// unknown object is not owned. A store that cannot answer, and a type that has no
// engine, are errors, never an empty answer: the caller of a broken store is told
// 503, not 403. What an engine says of objects that nobody asked about is dropped.
//
// It finds facts and decides nothing: that an object must be owned is the
// policy's to say. It runs after the token is verified and the request is read.
package ownership

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/countersign-io/countersign/authz"
)

// Engine asks one system of record. It must be safe for concurrent use.
type Engine interface {
	// Owned returns those of the ids that are the caller's. An id that the store
	// does not know or could not even hold (NUL, invalid UTF-8, any length) is not
	// owned, and no error. A store that cannot answer, or not in ctx's time, is an
	// error, never an empty answer; its text holds no id and no subject.
	//
	// The caller is a customer with a subject, which the engine must look for
	// within the caller's issuer. The ids are distinct, and there is at least one.
	Owned(ctx context.Context, caller authz.Caller, objectType authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error)
}

// Owners routes each type of object to its engine. It is safe for concurrent use.
type Owners struct {
	engines map[authz.ObjectType]Engine
	closers []func() error
}

var _ authz.Owners = (*Owners)(nil)

// New returns Owners over engines that stay the caller's to close.
func New(engines map[authz.ObjectType]Engine) *Owners {
	return &Owners{engines: maps.Clone(engines)}
}

// Types are the types of object that have an engine, sorted.
func (o *Owners) Types() []authz.ObjectType {
	return slices.Sorted(maps.Keys(o.engines))
}

// Owned returns those of the objects that are the caller's, at most those asked
// for. Each type is one question to its engine, and the types are asked side by
// side. It returns when ctx is done, whether or not the engines have; what they
// answer later is dropped.
//
// A caller who is not a customer, or who has no subject, owns nothing, whatever
// an engine might find for an empty name.
func (o *Owners) Owned(ctx context.Context, caller authz.Caller, objects []authz.Object) (map[authz.Object]authz.Ownership, error) {
	owned := make(map[authz.Object]authz.Ownership, len(objects))
	if caller.Kind != authz.Customer || caller.Subject == "" {
		return owned, nil
	}
	asked := byType(objects)
	for objectType := range asked {
		if o.engines[objectType] == nil {
			return nil, fmt.Errorf("ownership: %s: no engine is configured for this type", objectType)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// There is room for every answer, so that no engine waits for a receiver.
	answers := make(chan answer, len(asked))
	for objectType, ids := range asked {
		go ask(ctx, o.engines[objectType], caller, objectType, ids, answers)
	}
	for range asked {
		select {
		case a := <-answers:
			if a.err != nil {
				return nil, fmt.Errorf("ownership: %s: %w", a.objectType, a.err)
			}
			a.within(asked[a.objectType], owned)
		case <-ctx.Done():
			return nil, fmt.Errorf("ownership: %w", ctx.Err())
		}
	}
	return owned, nil
}

// Close closes what Open opened. Nobody may ask any more.
func (o *Owners) Close() error {
	var first error
	for _, closer := range o.closers {
		if err := closer(); err != nil && first == nil {
			first = fmt.Errorf("ownership: %w", err)
		}
	}
	return first
}

// byType groups objects, each of them once.
func byType(objects []authz.Object) map[authz.ObjectType][]authz.ObjectID {
	asked := make(map[authz.ObjectType][]authz.ObjectID)
	seen := make(map[authz.Object]bool, len(objects))
	for _, object := range objects {
		if !seen[object] {
			seen[object] = true
			asked[object.Type] = append(asked[object.Type], object.ID)
		}
	}
	return asked
}

// answer is what one engine said.
type answer struct {
	objectType authz.ObjectType
	owned      map[authz.ObjectID]authz.Ownership
	err        error
}

// within adds to owned what the answer says of the ids that were asked about.
func (a answer) within(asked []authz.ObjectID, owned map[authz.Object]authz.Ownership) {
	for _, id := range asked {
		if found, ok := a.owned[id]; ok {
			owned[authz.Object{Type: a.objectType, ID: id}] = found
		}
	}
}

func ask(ctx context.Context, engine Engine, caller authz.Caller, objectType authz.ObjectType, ids []authz.ObjectID, to chan<- answer) {
	a := answer{objectType: objectType}
	defer func() {
		if fault := recover(); fault != nil {
			a = answer{objectType: objectType, err: panicked(fault)}
		}
		to <- a
	}()
	// The engine has a slice of its own: what it does to it must not change what
	// its answer is held against.
	a.owned, a.err = engine.Owned(ctx, caller, objectType, slices.Clone(ids))
}

// panicked tells of a panic without repeating what it was given, unless the
// runtime gave it: anything else could quote the request.
func panicked(fault any) error {
	if err, ok := fault.(runtime.Error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %T", fault)
}
