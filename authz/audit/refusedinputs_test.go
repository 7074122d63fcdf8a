package audit

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// refusedWith is a denial of somebody unknown, with an input of that size.
func refusedWith(size int) authz.Record {
	record := refusalFor(authz.PolicyDenied)
	record.Decision.ID = authz.NewDecisionID()
	record.Facts.Input = &authz.Input{Document: bytes.Repeat([]byte("1"), size)}
	return record
}

// TestInputsOfRefusalsAreKeptAtABoundedRate holds that what nobody has to answer for
// fills the disk no faster than so many bytes a second, and that a record says which of
// them were left out.
func TestInputsOfRefusalsAreKeptAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, inputs := &fakeFiles{room: 1 << 20}, &fakeFiles{room: 1 << 20}
		log := keeping(t, records, inputs)
		const size, seconds = maxRefusedInputs / 4, 3
		for range seconds {
			for range 10 {
				if err := keep(log, refusedWith(size)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(window)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		kept := 0
		for _, why := range omissions(t, records.content) {
			if why == "" {
				kept++
			} else if why != "flood" {
				t.Errorf("an input is omitted for %q, want flood", why)
			}
		}
		if most := 4 * (seconds + 1); kept < seconds || kept > most || bytes.Count(inputs.content, []byte("\n")) != kept {
			t.Errorf("%d inputs are kept by the records, %d in fact; want as many, and at most %d", kept, bytes.Count(inputs.content, []byte("\n")), most)
		}
	})
}
