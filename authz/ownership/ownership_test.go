package ownership_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/google/go-cmp/cmp"
)

// fakeEngine is an engine made of a function.
type fakeEngine func(ctx context.Context, caller authz.Caller, objectType authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error)

func (f fakeEngine) Owned(ctx context.Context, caller authz.Caller, objectType authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
	return f(ctx, caller, objectType, ids)
}

type engines = map[authz.ObjectType]ownership.Engine

var ann = authz.Caller{Kind: authz.Customer, Issuer: "https://login.bank.example", Subject: "ann"}

// everything owns whatever it is asked about.
var everything = fakeEngine(func(_ context.Context, _ authz.Caller, _ authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
	owned := make(map[authz.ObjectID]authz.Ownership)
	for _, id := range ids {
		owned[id] = authz.Ownership{Relation: "owner"}
	}
	return owned, nil
})

func failing(err error) fakeEngine {
	return func(context.Context, authz.Caller, authz.ObjectType, []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		return nil, err
	}
}

func panicking(value any) fakeEngine {
	return func(context.Context, authz.Caller, authz.ObjectType, []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		panic(value)
	}
}

func TestOwnedRoutesEachTypeToItsEngine(t *testing.T) {
	asked := make(map[authz.ObjectType][]authz.ObjectID)
	var mu sync.Mutex
	recording := func(relation string) fakeEngine {
		return func(_ context.Context, _ authz.Caller, objectType authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[objectType] = append(asked[objectType], ids...)
			return map[authz.ObjectID]authz.Ownership{ids[0]: {Relation: relation, Region: "GB"}}, nil
		}
	}
	owners := ownership.New(engines{"account": recording("owner"), "card": recording("holder"), "loan": failing(errors.New("not asked"))})
	got, err := owners.Owned(t.Context(), ann, []authz.Object{
		{Type: "account", ID: "1"}, {Type: "card", ID: "1"}, {Type: "account", ID: "2"}, {Type: "account", ID: "1"},
	})
	if err != nil {
		t.Fatalf("Owned() = %v", err)
	}
	want := map[authz.Object]authz.Ownership{
		{Type: "account", ID: "1"}: {Relation: "owner", Region: "GB"},
		{Type: "card", ID: "1"}:    {Relation: "holder", Region: "GB"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Owned() (-want +got):\n%s", diff)
	}
	wantAsked := map[authz.ObjectType][]authz.ObjectID{"account": {"1", "2"}, "card": {"1"}}
	if diff := cmp.Diff(wantAsked, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestOwnedAsksTypesSideBySide(t *testing.T) {
	// Each engine waits for the other: one after the other, they would never end.
	var both sync.WaitGroup
	both.Add(2)
	meeting := fakeEngine(func(context.Context, authz.Caller, authz.ObjectType, []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		both.Done()
		both.Wait()
		return nil, nil
	})
	owners := ownership.New(engines{"account": meeting, "card": meeting})
	if _, err := owners.Owned(t.Context(), ann, []authz.Object{{Type: "account", ID: "1"}, {Type: "card", ID: "1"}}); err != nil {
		t.Errorf("Owned() = %v, want no error", err)
	}
}

func TestOwnedDropsWhatWasNotAsked(t *testing.T) {
	generous := fakeEngine(func(_ context.Context, _ authz.Caller, _ authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		asked := ids[0]
		ids[0] = "stolen"
		return map[authz.ObjectID]authz.Ownership{asked: {Relation: "owner"}, "stolen": {Relation: "owner"}, "2": {Relation: "owner"}}, nil
	})
	nothing := fakeEngine(func(context.Context, authz.Caller, authz.ObjectType, []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		return nil, nil
	})
	owners := ownership.New(engines{"account": generous, "card": nothing})
	got, err := owners.Owned(t.Context(), ann, []authz.Object{{Type: "account", ID: "1"}, {Type: "card", ID: "2"}})
	want := map[authz.Object]authz.Ownership{{Type: "account", ID: "1"}: {Relation: "owner"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Owned() error %v (-want +got):\n%s", err, diff)
	}
}

func TestOnlyCustomersOwn(t *testing.T) {
	owners := ownership.New(engines{"account": everything})
	for _, test := range []struct {
		name   string
		caller authz.Caller
	}{
		{"nobody", authz.Caller{}},
		{"anonymous with a subject", authz.Caller{Kind: authz.Anonymous, Subject: "ann"}},
		{"a client by itself", authz.Caller{Kind: authz.Client, Subject: "ann", Client: "acme"}},
		{"staff", authz.Caller{Kind: authz.Staff, Subject: "ann"}},
		{"a kind that does not exist", authz.Caller{Kind: 200, Subject: "ann"}},
		{"a customer without a subject", authz.Caller{Kind: authz.Customer}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := owners.Owned(t.Context(), test.caller, []authz.Object{{Type: "account", ID: "1"}})
			if err != nil || len(got) != 0 {
				t.Errorf("Owned() = %v, %v, want nothing", got, err)
			}
		})
	}
	if got, err := owners.Owned(t.Context(), ann, []authz.Object{{Type: "account", ID: "1"}}); err != nil || len(got) != 1 {
		t.Errorf("a customer: Owned() = %v, %v, want one object", got, err)
	}
}

func TestOwnedFailsWhole(t *testing.T) {
	broken := errors.New("store is down")
	account, card := authz.Object{Type: "account", ID: "1"}, authz.Object{Type: "card", ID: "secret"}
	for _, test := range []struct {
		name    string
		engines engines
		text    string
	}{
		{"no engine at all", nil, "no engine"},
		{"no engine for one type", engines{"account": everything}, "card: no engine"},
		{"an engine that is nil", engines{"account": everything, "card": nil}, "card: no engine"},
		{"a store that is down", engines{"account": everything, "card": failing(broken)}, "card: store is down"},
		{"an engine that panics", engines{"account": everything, "card": panicking("about a secret")}, "card: panic: string"},
		{"an engine with a fault", engines{"account": everything, "card": indexing}, "index out of range"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ownership.New(test.engines).Owned(t.Context(), ann, []authz.Object{account, card})
			if err == nil || got != nil {
				t.Fatalf("Owned() = %v, %v, want an error and nothing else", got, err)
			}
			if !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Owned() = %q, want %q in it and nothing of the request", err, test.text)
			}
			if authz.ReasonOf(err) != authz.Internal {
				t.Errorf("ReasonOf() = %v, want none: it is not the request's fault", authz.ReasonOf(err))
			}
		})
	}
	if _, err := ownership.New(engines{"account": failing(broken)}).Owned(t.Context(), ann, []authz.Object{account}); !errors.Is(err, broken) {
		t.Errorf("Owned() = %v, want it to wrap the engine's error", err)
	}
}

var indexing = fakeEngine(func(_ context.Context, _ authz.Caller, _ authz.ObjectType, ids []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
	return map[authz.ObjectID]authz.Ownership{ids[len(ids)]: {}}, nil
})

func TestOwnedDoesNotWaitForASlowEngine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release, left := make(chan struct{}), make(chan struct{})
	deaf := fakeEngine(func(context.Context, authz.Caller, authz.ObjectType, []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		cancel()
		<-release
		defer close(left)
		return map[authz.ObjectID]authz.Ownership{"1": {Relation: "owner"}}, nil
	})
	owners := ownership.New(engines{"account": deaf})
	got, err := owners.Owned(ctx, ann, []authz.Object{{Type: "account", ID: "1"}})
	if !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("Owned() = %v, %v, want context.Canceled", got, err)
	}
	close(release)
	<-left
}

func TestOneFailureStopsTheOthers(t *testing.T) {
	stopped := make(chan struct{})
	patient := fakeEngine(func(ctx context.Context, _ authz.Caller, _ authz.ObjectType, _ []authz.ObjectID) (map[authz.ObjectID]authz.Ownership, error) {
		<-ctx.Done()
		close(stopped)
		return nil, ctx.Err()
	})
	owners := ownership.New(engines{"account": patient, "card": failing(errors.New("store is down"))})
	if _, err := owners.Owned(t.Context(), ann, []authz.Object{{Type: "account", ID: "1"}, {Type: "card", ID: "1"}}); err == nil {
		t.Error("Owned() = nil, want an error")
	}
	<-stopped
}

func TestTypes(t *testing.T) {
	from := engines{"card": everything, "account": everything}
	owners := ownership.New(from)
	delete(from, "card")
	if got, want := owners.Types(), []authz.ObjectType{"account", "card"}; !slices.Equal(got, want) {
		t.Errorf("Types() = %v, want %v", got, want)
	}
	if err := owners.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}
