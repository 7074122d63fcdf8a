package audit

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/vault"
)

var testSecret = &secret.Key{ID: "i1", Secret: make([]byte, secret.Size)}

func withInput(n int) authz.Record {
	record := allowOf(n)
	record.Facts.Input = &authz.Input{Document: []byte(`{"caller":{"subject":"ann"}}`), Reaches: []string{"input.caller"}}
	return record
}

func TestInputsAreFoundWithTheirDecisions(t *testing.T) {
	for name, test := range map[string]struct {
		inputs Inputs
		record authz.Record
		kept   bool
	}{
		"an allow":                      {"", withInput(1), true},
		"one that the policy never saw": {"", allowOf(1), false},
		"where none are kept":           {NoInputs, withInput(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Inputs = test.inputs
			log := mustOpen(t, cfg)
			for _, record := range []authz.Record{withInput(0), test.record, withInput(2)} {
				if err := keep(log, record); err != nil {
					t.Fatal(err)
				}
			}
			found := findSoon(t, cfg, test.record.Decision.ID, test.kept) // while the log is open
			if len(found.Records) != 1 || found.Records[0].Id != test.record.Decision.ID.String() {
				t.Errorf("records %v, want the decision's", found.Records)
			}
			if !test.kept {
				if found.Input != nil || !errors.Is(found.NoInput, errNoInput) || found.Records[0].InputKeyId != "" {
					t.Errorf("input %v, %v of %v; want none, and why", found.Input, found.NoInput, found.Records[0])
				}
				return
			}
			want := &vault.Entry{ID: test.record.Decision.ID, Time: test.record.Facts.Time.UTC(),
				Revision: test.record.Decision.Revision, Input: *test.record.Facts.Input}
			if diff := cmp.Diff(want, found.Input); diff != "" || found.NoInput != nil {
				t.Errorf("input (-want +got), %v:\n%s", found.NoInput, diff)
			}
			if got := found.Records[0].InputKeyId; got != log.inputs.vault.KeyID() {
				t.Errorf("the record names the key %q, want %q", got, log.inputs.vault.KeyID())
			}
		})
	}
}

// findSoon waits for the input, where there is to be one: nobody else does.
func findSoon(t *testing.T, cfg Config, id authz.DecisionID, kept bool) Found {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		found, err := Find(cfg, id)
		if err != nil {
			t.Fatal(err)
		}
		if found.Input != nil || !kept || ctx.Err() != nil {
			return found
		}
		<-tick.C
	}
}

func TestDestroyedKeyTakesTheInputsOnly(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	if err := keep(log, withInput(1)); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(cfg.InputKey, strings.TrimSuffix(cfg.InputKey, ".key")+"-1.key"); err != nil {
		t.Fatal(err)
	}
	id := withInput(1).Decision.ID
	if found, err := Find(cfg, id); err != nil || found.Input == nil {
		t.Errorf("Find with the key moved away = %+v, %v; want the input", found, err)
	}
	if err := os.RemoveAll(filepath.Dir(cfg.InputKey)); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(cfg, id); err != nil || found.Input != nil || !errors.Is(found.NoInput, vault.ErrNoKey) || len(found.Records) != 1 {
		t.Errorf("Find with the key destroyed = %+v, %v; want the record, and %v", found, err, vault.ErrNoKey)
	}
}

func TestFindSaysThatThereIsNone(t *testing.T) {
	cfg := testConfig(t)
	mustOpen(t, cfg)
	if _, err := Find(cfg, authz.DecisionID{9}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find = %v, want %v", err, ErrNotFound)
	}
}

// TestFindSaysWhatIsMissingOrDamaged moves the files of inputs away, and changes what
// stands behind the first record.
func TestFindSaysWhatIsMissingOrDamaged(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	for n := range 2 {
		if err := keep(log, withInput(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(cfg.Folder, "inputs-00000001.jsonl"), `"sealed":"`, `"sealed":"A`)
	if found, err := Find(cfg, withInput(1).Decision.ID); err != nil || found.Input != nil || !strings.Contains(found.NoInput.Error(), "inputs are damaged: inputs-00000001.jsonl") {
		t.Errorf("Find with inputs damaged = %+v, %v; want the record, and that inputs are damaged", found, err)
	}
	if err := os.Remove(filepath.Join(cfg.Folder, "inputs-00000001.jsonl")); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(cfg, withInput(1).Decision.ID); err != nil || found.NoInput != errInputGone || found.Damage != nil {
		t.Errorf("Find with inputs moved away = %+v, %v; want the record, and %v", found, err, errInputGone)
	}
	change(t, filepath.Join(cfg.Folder, "decisions-00000001.jsonl"), withInput(1).Decision.ID.String(), withInput(3).Decision.ID.String())
	for n, want := range []error{nil, ErrNotFound} {
		if found, err := Find(cfg, withInput(n).Decision.ID); err != want || found.Damage == nil {
			t.Errorf("Find(%d) behind which the log is damaged = %+v, %v; want %v, and the damage", n, found, err, want)
		}
	}
}

func change(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), from, to, 1)
	if changed == string(text) {
		t.Fatalf("%s does not have %q", file, from)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRecordSaysWhyNoInputWasKept holds that whoever explains the decision is told, and
// that it is counted.
func TestRecordSaysWhyNoInputWasKept(t *testing.T) {
	tooLarge := withInput(1)
	tooLarge.Facts.Input = &authz.Input{TooLarge: true}
	for name, test := range map[string]struct {
		record  authz.Record
		reserve int64
		why     error
	}{
		"too_large": {tooLarge, 1, errTooLarge},
		"reserve":   {withInput(1), math.MaxInt64, errReserve},
		"flood":     {refusedWith(maxRefusedInputs + 1), 1, errFlood},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.ReserveBytes = test.reserve
			log := mustOpen(t, cfg)
			if err := keep(log, test.record); err != nil {
				t.Fatal(err)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			found, err := Find(cfg, test.record.Decision.ID)
			if err != nil || found.Input != nil || found.NoInput != test.why {
				t.Fatalf("Find = %+v, %v; want no input, and %v", found, err, test.why)
			}
			if got := found.Records[0]; got.InputOmitted != name || got.InputKeyId != "" {
				t.Errorf("the record says %q, and key %q; want %q, and no key", got.InputOmitted, got.InputKeyId, name)
			}
			// What a flood brings about is no fault of the log.
			if lost := log.State().LostInputs; (lost == 0) != (name == "flood") {
				t.Errorf("%d inputs are lost", lost)
			}
		})
	}
}
