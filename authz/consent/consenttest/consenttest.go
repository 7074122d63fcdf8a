// Package consenttest holds what every consent engine must do, whatever store it
// asks. An engine's tests call Run with a way to open it over given records.
//
// The fixtures are plain values. The engine is asked through consent.Consents, as
// it is in service.
package consenttest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/consent"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Open makes a store that holds the records and opens an engine over it, which looks
// for a consent within its issuer. The engine closes with the test. breakStore makes the store unable to answer, for
// good.
type Open func(t *testing.T, records []Record) (engine authz.Consents, breakStore func())

// Run tests an engine.
func Run(t *testing.T, open Open) {
	engine, _ := open(t, records())
	consents := consent.New(engine)
	t.Run("there", func(t *testing.T) { there(t, consents) })
	t.Run("another issuer's", func(t *testing.T) { anothers(t, consents) })
	t.Run("not there", func(t *testing.T) { notThere(t, consents) })
	t.Run("side by side", func(t *testing.T) { sideBySide(t, consents) })
	t.Run("time is up", func(t *testing.T) { timeIsUp(t, consents) })
	t.Run("broken store", func(t *testing.T) { brokenStore(t, open) })
}

// there wants every record back as it is, whatever its status: that it stands no
// more is the policy's to say.
func there(t *testing.T, consents *consent.Consents) {
	for _, test := range standing() {
		t.Run(test.name, func(t *testing.T) {
			got, err := consents.Consent(t.Context(), of(test.record.Issuer, test.record.ID))
			if err != nil {
				t.Fatalf("Consent() = %v, want no error", err)
			}
			if diff := cmp.Diff(&test.record.Consent, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Consent() (-want +got):\n%s", diff)
			}
		})
	}
}

// anothers holds that a consent id means nothing without its issuer.
func anothers(t *testing.T, consents *consent.Consents) {
	for _, test := range outside() {
		t.Run(test.name, func(t *testing.T) {
			if got, err := consents.Consent(t.Context(), test.caller); err != nil || got != nil {
				t.Errorf("Consent() finds a record: %t, %v, want none and no error", got != nil, err)
			}
		})
	}
}

func notThere(t *testing.T, consents *consent.Consents) {
	for _, test := range nearly() {
		t.Run(test.name, func(t *testing.T) {
			if got, err := consents.Consent(t.Context(), naming(test.id)); err != nil || got != nil {
				t.Errorf("Consent() finds a record: %t, %v, want none and no error", got != nil, err)
			}
		})
	}
}

// sideBySide asks for many records at once: none may be taken for another.
func sideBySide(t *testing.T, consents *consent.Consents) {
	var asking sync.WaitGroup
	for range 4 {
		for _, test := range standing() {
			asking.Go(func() {
				for range 5 {
					got, err := consents.Consent(t.Context(), of(test.record.Issuer, test.record.ID))
					if err != nil || !cmp.Equal(&test.record.Consent, got, cmpopts.EquateEmpty()) {
						t.Errorf("%s: Consent() is not the record: %v", test.name, err)
					}
				}
			})
		}
	}
	asking.Wait()
}

func timeIsUp(t *testing.T, consents *consent.Consents) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := consents.Consent(ctx, naming(plain))
	if !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("Consent() finds a record: %t, %v, want context.Canceled", got != nil, err)
	}
}

// brokenStore wants an error for what is there and what is not.
func brokenStore(t *testing.T, open Open) {
	engine, breakStore := open(t, records())
	consents := consent.New(engine)
	if got, err := consents.Consent(t.Context(), naming(plain)); err != nil || got == nil {
		t.Fatalf("before it breaks: Consent() finds a record: %t, %v, want one", got != nil, err)
	}
	breakStore()
	for _, id := range []authz.ConsentID{plain, "unknown"} {
		if got, err := consents.Consent(t.Context(), naming(id)); err == nil || got != nil {
			t.Errorf("Consent() finds a record: %t, %v, want an error", got != nil, err)
		}
	}
}
