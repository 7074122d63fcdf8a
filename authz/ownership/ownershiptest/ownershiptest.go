// Package ownershiptest holds what every ownership engine must do, whatever store
// it asks. An engine's tests call Run with a way to open it over given accounts.
//
// The fixtures are plain values. The engine is asked through ownership.Owners, as
// it is in service.
package ownershiptest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/google/go-cmp/cmp"
)

// Open makes a store that holds the accounts and opens an engine over it. The
// engine closes with the test. breakStore makes the store unable to answer, for
// good.
type Open func(t *testing.T, accounts []Account) (engine ownership.Engine, breakStore func())

// Run tests an engine.
func Run(t *testing.T, open Open) {
	engine, _ := open(t, Accounts())
	owners := ownership.New(map[authz.ObjectType]ownership.Engine{accountType: engine})
	t.Run("owned", func(t *testing.T) { owned(t, owners) })
	t.Run("hostile ids", func(t *testing.T) { hostileIDs(t, owners) })
	t.Run("hostile subjects", func(t *testing.T) { hostileSubjects(t, owners) })
	t.Run("side by side", func(t *testing.T) { sideBySide(t, owners) })
	t.Run("time is up", func(t *testing.T) { timeIsUp(t, owners) })
	t.Run("broken store", func(t *testing.T) { brokenStore(t, open) })
}

func owned(t *testing.T, owners *ownership.Owners) {
	for _, test := range cases() {
		t.Run(test.name, func(t *testing.T) {
			got, err := owners.Owned(t.Context(), test.caller, objects(test.ask...))
			if err != nil {
				t.Fatalf("Owned() = %v, want no error", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Owned() (-want +got):\n%s", diff)
			}
		})
	}
}

// hostileIDs asks for what is nearly, or to a careless store, an id of Ann's.
func hostileIDs(t *testing.T, owners *ownership.Owners) {
	for _, test := range nearlyAnns() {
		t.Run(test.name, func(t *testing.T) {
			got, err := owners.Owned(t.Context(), ann(), objects(test.id))
			if err != nil || len(got) != 0 {
				t.Errorf("Owned() = %d objects, %v, want none and no error", len(got), err)
			}
			// Beside an id that is hers, it neither hides that one nor joins it.
			got, err = owners.Owned(t.Context(), ann(), objects(test.id, annsAccount))
			if err != nil || len(got) != 1 {
				t.Errorf("Owned() beside an owned one = %d objects, %v, want one and no error", len(got), err)
			}
		})
	}
}

func hostileSubjects(t *testing.T, owners *ownership.Owners) {
	for _, test := range nearlyAnn() {
		t.Run(test.name, func(t *testing.T) {
			caller := ann()
			caller.Subject = test.subject
			got, err := owners.Owned(t.Context(), caller, objects(annsAccount, jointAccount))
			if err != nil || len(got) != 0 {
				t.Errorf("Owned() = %d objects, %v, want none and no error", len(got), err)
			}
		})
	}
}

// sideBySide asks for many callers at once: nobody may be answered for another.
func sideBySide(t *testing.T, owners *ownership.Owners) {
	var asking sync.WaitGroup
	for range 4 {
		for _, test := range cases() {
			asking.Go(func() {
				for range 5 {
					got, err := owners.Owned(t.Context(), test.caller, objects(test.ask...))
					if err != nil || !cmp.Equal(test.want, got) {
						t.Errorf("%s: Owned() = %d objects, %v, want %d", test.name, len(got), err, len(test.want))
					}
				}
			})
		}
	}
	asking.Wait()
}

func timeIsUp(t *testing.T, owners *ownership.Owners) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := owners.Owned(ctx, ann(), objects(annsAccount))
	if !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("Owned() = %d objects, %v, want context.Canceled", len(got), err)
	}
}

// brokenStore wants an error of whoever asks, not only of who owns something.
func brokenStore(t *testing.T, open Open) {
	engine, breakStore := open(t, Accounts())
	owners := ownership.New(map[authz.ObjectType]ownership.Engine{accountType: engine})
	if got, err := owners.Owned(t.Context(), ann(), objects(annsAccount)); err != nil || len(got) != 1 {
		t.Fatalf("before it breaks: Owned() = %d objects, %v, want one", len(got), err)
	}
	breakStore()
	for _, id := range []authz.ObjectID{annsAccount, bobsAccount, "unknown"} {
		if got, err := owners.Owned(t.Context(), ann(), objects(id)); err == nil || got != nil {
			t.Errorf("Owned() = %d objects, %v, want an error", len(got), err)
		}
	}
}

func objects(ids ...authz.ObjectID) []authz.Object {
	list := make([]authz.Object, len(ids))
	for i, id := range ids {
		list[i] = authz.Object{Type: accountType, ID: id}
	}
	return list
}
