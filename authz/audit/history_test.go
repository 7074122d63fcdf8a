package audit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
)

// began is when the first decision of a past log is of; each next one is a second later.
var began = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// pastOf is the nth decision of a past log. The policy decided each but every fifth.
func pastOf(n int) authz.Record {
	record := allowOf(n + 1)
	if n%5 > 0 {
		record = withInput(n + 1)
		record.Facts.Input.Document = fmt.Appendf(nil, `{"n":%d,"filling":%q}`, n, strings.Repeat("a", 32<<10))
	}
	record.Facts.Time = began.Add(time.Duration(n) * time.Second)
	return record
}

// pastLog records so many decisions, several at once, in several segments.
func pastLog(t *testing.T, count int) Config {
	t.Helper()
	cfg := testConfig(t)
	cfg.SegmentBytes = 1 << 20
	log := mustOpen(t, cfg)
	for first := 0; first < count; first += 8 {
		var kept sync.WaitGroup
		for n := first; n < min(first+8, count); n++ {
			kept.Go(func() {
				if err := keep(log, pastOf(n)); err != nil {
					t.Error(err)
				}
			})
		}
		kept.Wait()
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// told is how often each record was told, as "<id> <what of its input>", and damage.
type told map[string]int

func (into told) add(past Past, err error) {
	switch {
	case err != nil:
		into["damage"]++
	case past.Input != nil && past.Input.ID.String() == past.Record.Id:
		into[past.Record.Id+" input"]++
	case past.Damaged:
		into[past.Record.Id+" damaged"]++
	default:
		into[past.Record.Id+" "+past.NoInput.Error()]++
	}
}

func read(t *testing.T, h *History) told {
	t.Helper()
	all := told{}
	for past, err := range h.All(t.Context()) {
		all.add(past, err)
	}
	return all
}

// wantPast is what is told of so many decisions, of which nothing is missing.
func wantPast(from, to int) told {
	want := told{}
	for n := from; n < to; n++ {
		said := "input"
		if n%5 == 0 {
			said = errNoInput.Error()
		}
		want[pastOf(n).Decision.ID.String()+" "+said] = 1
	}
	return want
}

func TestHistoryHasEachRecordOnceWithItsInput(t *testing.T) {
	cfg := pastLog(t, 200)
	if segments, err := filepath.Glob(filepath.Join(cfg.Folder, "inputs-*")); err != nil || len(segments) < 3 {
		t.Fatalf("inputs are in %d segments, %v; want several", len(segments), err)
	}
	if diff := cmp.Diff(wantPast(0, 200), read(t, NewHistory(cfg, time.Time{}, time.Time{}, Mark{}))); diff != "" {
		t.Errorf("the whole (-want +got):\n%s", diff)
	}
	since, until := began.Add(50*time.Second), began.Add(101*time.Second)
	if diff := cmp.Diff(wantPast(50, 101), read(t, NewHistory(cfg, since, until, Mark{}))); diff != "" {
		t.Errorf("of a time (-want +got):\n%s", diff)
	}
}

// TestHistoryGoesOnBehindAMark stops and goes on at many places, where segments end and
// where inputs are missing too: all is told once.
func TestHistoryGoesOnBehindAMark(t *testing.T) {
	cfg := pastLog(t, 100)
	if err := os.Remove(filepath.Join(cfg.Folder, "inputs-00000001.jsonl")); err != nil {
		t.Fatal(err)
	}
	want := read(t, NewHistory(cfg, time.Time{}, time.Time{}, Mark{}))
	if len(want) != 100 || want[pastOf(1).Decision.ID.String()+" "+errInputGone.Error()] != 1 {
		t.Fatalf("%d are told, want 100, of which some lack their input", len(want))
	}
	for _, every := range []int{1, 7, 50} {
		all, mark := told{}, Mark{}
		for more := true; more; {
			more = false
			count, h := 0, NewHistory(cfg, time.Time{}, time.Time{}, mark)
			for past, err := range h.All(t.Context()) {
				all.add(past, err)
				if count++; count == every {
					mark, more = h.Mark(), true
					break
				}
			}
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("stopped after each %d (-want +got):\n%s", every, diff)
		}
	}
}

func TestHistorySaysWhyThereIsNoInput(t *testing.T) {
	moved := func(name string) func(Config) error {
		return func(cfg Config) error { return os.Remove(filepath.Join(cfg.Folder, name)) }
	}
	for name, test := range map[string]struct {
		do   func(Config) error
		want map[string]int // of 20, 16 have an input
	}{
		"nothing was done":    {func(Config) error { return nil }, map[string]int{"input": 16}},
		"inputs were moved":   {moved("inputs-00000001.jsonl"), map[string]int{errInputGone.Error(): 16}},
		"records were moved":  {moved("decisions-00000001.jsonl"), map[string]int{}},
		"reaches were moved":  {everyFile("reach-*.json", os.Remove), map[string]int{"damaged": 16}},
		"inputs were changed": {everyFile("inputs-*.jsonl", spoil), map[string]int{errInputGone.Error(): 16, "damage": 1}},
		"records were cut":    {everyFile("decisions-*.jsonl", cutShort), map[string]int{}},
		"the key is gone": {func(cfg Config) error { return os.Remove(cfg.InputKey) },
			map[string]int{vault.ErrNoKey.Error(): 16}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := pastLog(t, 20)
			if err := test.do(cfg); err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for line, n := range read(t, NewHistory(cfg, time.Time{}, time.Time{}, Mark{})) {
				_, said, _ := strings.Cut(line, " ")
				if said, _, _ = strings.Cut(said, ": key"); line == "damage" {
					said = line
				}
				if said != errNoInput.Error() {
					got[said] += n
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// everyFile does something to the files of a log.
func everyFile(pattern string, do func(path string) error) func(Config) error {
	return func(cfg Config) error {
		paths, err := filepath.Glob(filepath.Join(cfg.Folder, pattern))
		for _, path := range paths {
			if err == nil {
				err = do(path)
			}
		}
		return err
	}
}

// spoil changes a line of the first batch; cutShort leaves less than one.
func spoil(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(`"id"`), []byte(`"Id"`), 1), 0o600)
}

func cutShort(path string) error { return os.Truncate(path, 100) }

// TestHistoryHoldsLittleOfWhatHasNoOther reads a log with very many records without
// inputs, and inputs without records, that no time tells apart.
func TestHistoryHoldsLittleOfWhatHasNoOther(t *testing.T) {
	cfg := testConfig(t)
	sealed := vault.New(cfg.Folder, secret.Open(cfg.InputKey, "", &authz.Problems{}))
	var lines, kept []byte
	count := 3 * maxApart
	for n := range count {
		id := authz.DecisionID{1, byte(n >> 16), byte(n >> 8), byte(n)}
		line, err := sealed.Seal(vault.Entry{ID: authz.DecisionID{2, id[1], id[2], id[3]}, Time: began, Input: authz.Input{Document: []byte(`{}`)}})
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, line...)
		lines = fmt.Appendf(lines, `{"allowed":true,"id":%q,"inputKeyId":"k","reason":"granted","time":"2026-11-21T10:00:00.000000000Z"}`+"\n", id)
	}
	for name, text := range map[string][]byte{decisions: lines, inputs: kept} {
		w, _, err := segment.Open(segment.Config{Folder: cfg.Folder, Name: name, MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(slices.Collect(bytes.Lines(text)), 1000) {
			if err := w.Append(bytes.Join(part, nil), false); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h, said, most := NewHistory(cfg, time.Time{}, time.Time{}, Mark{}), told{}, 0
	for past, err := range h.All(t.Context()) {
		said.add(past, err)
		most = max(most, h.waiting.len(), h.held.len(), len(h.waiting.order), len(h.held.order))
	}
	if len(said) != count || slices.ContainsFunc(slices.Collect(maps.Keys(said)), func(s string) bool { return !strings.HasSuffix(s, errInputGone.Error()) }) {
		t.Errorf("%d records are told, want %d, all without their input", len(said), count)
	}
	if most > maxApart+1 {
		t.Errorf("up to %d were held, want %d at most", most, maxApart+1)
	}
}

// TestHistoryIsReadBesideALog reads what is written meanwhile, and writes nothing.
func TestHistoryIsReadBesideALog(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	for n := range 10 {
		if err := keep(log, pastOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	findSoon(t, cfg, pastOf(9).Decision.ID, true)
	if diff := cmp.Diff(wantPast(0, 10), read(t, NewHistory(cfg, time.Time{}, time.Time{}, Mark{}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := keep(log, pastOf(11)); err != nil {
		t.Errorf("the log cannot be written to: %v", err)
	}
}

// TestHistoryEndsWithItsContext holds that also what is only passed over can be ended.
func TestHistoryEndsWithItsContext(t *testing.T) {
	cfg := pastLog(t, 8)
	ended, end := context.WithCancel(t.Context())
	end()
	h := NewHistory(cfg, began.Add(time.Hour), time.Time{}, Mark{})
	for past := range h.All(ended) {
		t.Errorf("%v is told", past.Record)
	}
	if at := h.Mark(); at.Decisions != (segment.Place{}) {
		t.Errorf("it was read to %v, want no further than nothing", at)
	}
}

// TestHistoryOpensNoInputsOfBefore holds that what was kept before the time that is read
// costs no decryption: not even the key is looked for.
func TestHistoryOpensNoInputsOfBefore(t *testing.T) {
	cfg := testConfig(t)
	log := mustOpen(t, cfg)
	for n := range 20 {
		if err := keep(log, pastOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[time.Time]bool{began: true, began.Add(19 * time.Second): true, began.Add(20 * time.Second): false} {
		h := NewHistory(cfg, since, time.Time{}, Mark{})
		looked := false
		h.vault = vault.NewReader(cfg.Folder, func(id string) *secret.Key {
			looked = true
			return secret.Find(cfg.InputKey, id)
		})
		read(t, h)
		if looked != want {
			t.Errorf("since %s: the key was looked for: %v, want %v", since.Format(time.TimeOnly), looked, want)
		}
	}
}
