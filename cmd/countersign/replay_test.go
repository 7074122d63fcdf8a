package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/audit/vault"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
	"github.com/countersign-io/countersign/rego"
)

// recorded is a request that a test's Countersign decided.
type recorded struct {
	number    int
	id        string
	operation string
	allowed   bool
}

// anonymous are the requests of which no input is kept: they have no token.
func anonymous(n int) bool { return n%12 == 4 }

// asks are requests that a policy decides, of customers, staff and nobody, allowed and
// refused; the nth time with a query of its own.
func asks(n int) bank.Ask {
	paths := []string{"/accounts/22289", "/accounts/31820/balances", "/accounts/22290/transactions", "/accounts/40500", "/products",
		"/backoffice/accounts/22289"}
	ask := bank.Ask{Method: "GET", Path: paths[n%len(paths)], Listener: bank.MTLS, Certificate: bank.Acme,
		Token: bank.Token{As: []string{"ann", "bob"}[n/7%2]}}
	switch {
	case strings.HasPrefix(ask.Path, "/backoffice"):
		ask.Token.As, ask.Certificate = []string{"sam", "tom", "fay"}[n%3], ""
	case anonymous(n):
		ask.Token.As = ""
	}
	ask.Path += "?page=" + strconv.Itoa(n)
	return ask
}

// planting is the bank's decision, but that it is the opposite for some requests.
const planting = `package openbanking

import data.countersign.standard

planted if input.parsed_query.page[0] in NUMBERS

decision := standard.decision if not planted

decision := {"allowed": false, "reason": "planted_refusal"} if {
	planted
	standard.decision.allowed
}

decision := {"allowed": true} if {
	planted
	not standard.decision.allowed
}
`

// plant makes a policy of the bank's that decides otherwise on what has these numbers.
func plant(t *testing.T, dir string, numbers ...int) {
	t.Helper()
	set := "set()"
	if len(numbers) > 0 {
		var texts []string
		for _, n := range numbers {
			texts = append(texts, strconv.Quote(strconv.Itoa(n)))
		}
		set = "{" + strings.Join(texts, ", ") + "}"
	}
	write(t, filepath.Join(dir, "openbanking.rego"), strings.Replace(planting, "NUMBERS", set, 1))
}

// recordedBank is a bank's folder where so many requests were decided and recorded, by
// the policy in it.
func recordedBank(t *testing.T, inputs string, count int, policy func(dir string)) (file string, all []recorded) {
	t.Helper()
	dir := t.TempDir()
	made, err := openBank(dir)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "countersign.yaml")
	rewrite(t, file, "audit: {folder: records}", "audit: {folder: records, inputs: "+inputs+"}")
	policy(filepath.Join(dir, "policy"))
	system := startedAt(t, file)
	all = make([]recorded, count)
	var clock atomic.Int64
	system.Pipeline.Now = func() time.Time { return scriptTime.Add(time.Duration(clock.Add(1)) * time.Millisecond) }
	var done sync.WaitGroup
	const askers = 8
	for first := range askers {
		done.Go(func() {
			for n := first; n < count; n += askers {
				all[n] = decideAsk(t, system, made, n)
			}
		})
	}
	done.Wait()
	if err := system.Close(); err != nil {
		t.Fatal(err)
	}
	return file, all
}

func startedAt(t *testing.T, file string) *wire.System {
	t.Helper()
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return started(t, cfg)
}

func started(t *testing.T, cfg *config.Config) *wire.System {
	t.Helper()
	loaded, err := wire.Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	system, err := loaded.Start(noop.NewTracerProvider().Tracer(""), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return system
}

func decideAsk(t *testing.T, system *wire.System, made *bank.Bank, n int) recorded {
	story := bank.Story{Ask: asks(n)}
	request, err := story.Request(made, "")
	if err != nil {
		t.Error(err)
		return recorded{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := system.Pipeline.Check(ctx, request)
	if d.Reason != authz.Granted && d.Reason != authz.PolicyDenied {
		t.Errorf("request %d is refused with %v, %s: want the policy's verdict", n, d.Reason, d.Detail)
		return recorded{}
	}
	return recorded{number: n, id: d.ID.String(), operation: d.Operation.ID, allowed: d.Allowed}
}

// replayOf runs replay to its end.
func replayOf(t *testing.T, file string, wantCode int, more ...string) *comparison {
	t.Helper()
	var out, faults bytes.Buffer
	args := append([]string{"replay", "--config", file, "--output", "json"}, more...)
	if code := run(t.Context(), args, world{environ: os.LookupEnv, stdout: &out, stderr: &faults}); code != wantCode {
		t.Fatalf("replay exits %d, want %d:\n%s%s", code, wantCode, out.String(), faults.String())
	}
	told := newComparison()
	if err := json.Unmarshal(out.Bytes(), told); err != nil {
		t.Fatal(err)
	}
	return told
}

// flips are the ids of what a candidate decides otherwise, each as replay judges it.
func flips(t *testing.T, file, candidate string) []string {
	t.Helper()
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := wire.Candidates(cfg, "", candidate)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for past, err := range audit.NewHistory(cfg.Audit, time.Time{}, time.Time{}, audit.Mark{}).All(t.Context()) {
		if j := judge(t.Context(), policy, found{past, err}); j.outcome == flipped {
			ids = append(ids, j.record.Id)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestReplayFindsWhatWasPlanted plants flips, of allows and of denials, among over a
// thousand requests that the real pipeline decided and recorded: those are found, and no
// other, whether all of the input was kept or what the policy read.
func TestReplayFindsWhatWasPlanted(t *testing.T) {
	for inputs, of := range map[string]struct {
		count  int
		policy func(dir string)
	}{
		"full":   {360, func(string) {}},
		"pruned": {1200, func(dir string) { plant(t, dir) }},
	} {
		t.Run(inputs, func(t *testing.T) {
			var planted []int
			nobodys := 0
			for n := range of.count {
				if anonymous(n) {
					nobodys++
				} else if n%31 == 11 {
					planted = append(planted, n)
				}
			}
			file, all := recordedBank(t, inputs, of.count, of.policy)
			candidate := filepath.Join(filepath.Dir(file), "candidate")
			if err := os.CopyFS(candidate, os.DirFS(filepath.Join(filepath.Dir(file), "policy"))); err != nil {
				t.Fatal(err)
			}
			plant(t, candidate, planted...)
			var ids []string
			rows := map[string]int{}
			for _, n := range planted {
				ids = append(ids, all[n].id)
				rows[fmt.Sprint(all[n].operation, " ", all[n].allowed)]++
			}
			slices.Sort(ids)
			if diff := cmp.Diff(ids, flips(t, file, candidate)); diff != "" {
				t.Errorf("flipped (-planted +found):\n%s", diff)
			}
			told := replayOf(t, file, exitFailed, "--policy", candidate)
			want := map[outcome]int{same: of.count - nobodys - len(planted), flipped: len(planted), changed: 0, lacking: 0, withheld: nobodys, failed: 0, native: 0}
			if diff := cmp.Diff(want, told.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			got := map[string]int{}
			for _, d := range told.Differences {
				got[fmt.Sprint(d.Operation, " ", d.Was.Outcome == allowed)] += d.Count
				if (d.Now.Rule == "planted_refusal") != (d.Was.Outcome == allowed) || len(d.Decisions) != min(d.Count, maxDecisions) ||
					slices.ContainsFunc(d.Decisions, func(id string) bool { return !slices.Contains(ids, id) }) {
					t.Errorf("a difference is told as %+v", d)
				}
			}
			if diff := cmp.Diff(rows, got); diff != "" || len(rows) < 6 {
				t.Errorf("by operation, allowed then (-planted +found):\n%s", diff)
			}
		})
	}
}

// TestReplayGoesOnWhereItWas ends a replay again and again: what is told in the end is
// what is told by one that was not ended, though a record is damaged.
func TestReplayGoesOnWhereItWas(t *testing.T) {
	file, _ := recordedBank(t, "full", 120, func(string) {})
	dir := filepath.Dir(file)
	candidate := filepath.Join(dir, "candidate")
	if err := os.CopyFS(candidate, os.DirFS(filepath.Join(dir, "policy"))); err != nil {
		t.Fatal(err)
	}
	plant(t, candidate, 3, 4, 5, 6, 110, 111)
	whole := replayOf(t, file, exitFailed, "--policy", candidate)
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := wire.Candidates(cfg, "", candidate)
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "replay.state")
	rounds := 0
	for done := false; !done; rounds++ {
		r := &rerun{policies: policy, progress: newProgress(nil, 0), keep: keeping{file: state}}
		if err := r.keep.open(); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		r.history = audit.NewHistory(cfg.Audit, time.Time{}, time.Time{}, r.keep.Mark)
		before, left := r.keep.Told.Records, 0
		for past, err := range r.history.All(ctx) {
			r.batch = append(r.batch, found{past, err})
			if len(r.batch) < 10 {
				continue
			}
			if r.keep.Told.Records > before { // a second batch is begun, and not counted
				stop()
			}
			if err = r.decide(ctx); err != nil {
				left++
				break
			}
		}
		if left == 0 {
			err := r.decide(ctx)
			done = err == nil
			if diff := cmp.Diff(whole.Counts, r.keep.Told.Counts); diff != "" {
				t.Errorf("counts (-not ended +ended):\n%s", diff)
			}
			told := r.keep.Told.finished(whole.Candidate)
			if diff := cmp.Diff(whole.Differences, told.Differences); diff != "" {
				t.Errorf("differences (-not ended +ended):\n%s", diff)
			}
		}
		stop()
	}
	if rounds < 5 {
		t.Errorf("it was ended %d times, want more", rounds-1)
	}
}

// TestReplayThatIsInterruptedKeepsHowFarItCame has the command itself be interrupted.
func TestReplayThatIsInterruptedKeepsHowFarItCame(t *testing.T) {
	file, _ := recordedBank(t, "pruned", 20, func(string) {})
	state := filepath.Join(t.TempDir(), "replay.state")
	ended, stop := context.WithCancel(t.Context())
	stop()
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{nil, "interrupted after 0 records; with --resume FILE it could go on"},
		{[]string{"--resume", state}, "interrupted after 0 records; the same command goes on from " + state},
	} {
		var out, faults bytes.Buffer
		code := run(ended, append([]string{"replay", "--config", file}, test.flags...), world{environ: os.LookupEnv, stdout: &out, stderr: &faults})
		if code != exitFailed || out.Len() > 0 || !strings.Contains(faults.String(), test.want) {
			t.Errorf("%v: exit %d, %s%s; want %q", test.flags, code, out.String(), faults.String(), test.want)
		}
	}
	if told := replayOf(t, file, exitOK, "--resume", state); told.Counts[same] != 18 {
		t.Errorf("when it went on, %d are the same, want 18", told.Counts[same])
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was kept is still there: %v", err)
	}
}

// TestReplayBesideServeWritesNothing replays while the log is open and written to.
func TestReplayBesideServeWritesNothing(t *testing.T) {
	file, all := recordedBank(t, "pruned", 12, func(string) {})
	system := startedAt(t, file)
	defer system.Close()
	before := tree(t, filepath.Dir(file))
	if told := replayOf(t, file, exitOK); told.Counts[same] != len(all)-1 {
		t.Errorf("%d are the same, want all %d but one", told.Counts[same], len(all))
	}
	if diff := cmp.Diff(before, tree(t, filepath.Dir(file))); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

// TestWhatIsComparedHasBounds counts more differences and causes than are told apart.
func TestWhatIsComparedHasBounds(t *testing.T) {
	c := newComparison()
	for n := range 3 * maxRows {
		record := &decisionv1.Decision{Id: strconv.Itoa(n), Operation: strconv.Itoa(n), Reason: "granted"}
		c.add(judged{record: record, outcome: flipped, now: &replayed{Outcome: denied}})
		c.add(judged{record: record, outcome: lacking, because: []string{strconv.Itoa(n)}})
	}
	if len(c.Differences) != maxRows || c.Others != 2*maxRows || c.Counts[flipped] != 3*maxRows {
		t.Errorf("%d differences, %d others of %d; want %d, %d, %d", len(c.Differences), c.Others, c.Counts[flipped], maxRows, 2*maxRows, 3*maxRows)
	}
	if len(c.Causes) != maxRows+1 || c.finished("").Causes[0].Count != 2*maxRows {
		t.Errorf("%d causes, the first of %+v; want %d, and the others first", len(c.Causes), c.Causes[0], maxRows+1)
	}
}

// TestCountedRefusalsAreCounted holds that a record which stands for many is as many.
func TestCountedRefusalsAreCounted(t *testing.T) {
	c := newComparison()
	c.add(judge(t.Context(), nil, found{Past: audit.Past{Record: &decisionv1.Decision{Count: 70, Reason: "token_expired"}}}))
	c.add(judge(t.Context(), nil, found{Past: audit.Past{Record: &decisionv1.Decision{Reason: "limit_reached"}}}))
	if c.Counts[native] != 71 || c.Records != 2 {
		t.Errorf("%d refusals in %d records, want 71 in 2", c.Counts[native], c.Records)
	}
}

// TestProgressIsForPeopleAlone holds what is told on a terminal, and that elsewhere
// nothing is.
func TestProgressIsForPeopleAlone(t *testing.T) {
	var shown bytes.Buffer
	c := newComparison()
	c.Records, c.To, c.Counts[flipped] = 300, scriptTime, 2
	hidden := newProgress(&shown, 0)
	hidden.tell(c)
	hidden.end()
	if shown.Len() > 0 {
		t.Errorf("where nobody looks, %q is told", shown.String())
	}
	now := scriptTime
	p := &progress{to: &shown, began: now, first: 100, now: func() time.Time { return now }}
	now = now.Add(2 * time.Second)
	p.tell(c)
	p.tell(c) // too soon
	p.end()
	if want := "\r\x1b[K300 records, to 2026-11-21T10:00:00Z, 100 a second, 2 flipped\r\x1b[K"; shown.String() != want {
		t.Errorf("progress is %q, want %q", shown.String(), want)
	}
}

// TestPanicOnOneRecordIsAFailureOfIt holds that it is told which one, and not of what.
func TestPanicOnOneRecordIsAFailureOfIt(t *testing.T) {
	record := &decisionv1.Decision{Reason: authz.Granted.String()}
	entry := &vault.Entry{ID: authz.DecisionID{7}, Input: authz.Input{Document: []byte(`{"secret": "22289"}`)}}
	none := &wire.Policies{Policy: new(rego.Engine)} // which panics
	j := judge(t.Context(), none, found{Past: audit.Past{Record: record, Input: entry}})
	want := []string{"decision " + entry.ID.String() + ": panic: runtime error: invalid memory address or nil pointer dereference"}
	if j.outcome != failed || !slices.Equal(j.because, want) {
		t.Errorf("it is judged %+v, want failed because %q", j, want)
	}
}

// TestCandidateThatIsTooSlowIsNoFlip holds that what time ended is a failure of replay.
func TestCandidateThatIsTooSlowIsNoFlip(t *testing.T) {
	over, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	file, _ := recordedBank(t, "full", 1, func(string) {})
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for past := range audit.NewHistory(cfg.Audit, time.Time{}, time.Time{}, audit.Mark{}).All(t.Context()) {
		j := judge(over, policyOf(t, "input.request.method == \"GET\""), found{Past: past})
		if j.outcome != failed || !slices.Equal(j.because, []string{"it did not decide within 10s"}) {
			t.Errorf("it is judged %+v", j)
		}
	}
}
