package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// killSeed names an environment variable with the seed of an earlier run.
const killSeed = "COUNTERSIGN_KILL_SEED"

const (
	// killers is over how many connections is asked while Countersign is killed.
	killers = 8
	// latestKill is how long after a round's first grant at most.
	latestKill = 1500 * time.Millisecond
)

// TestKillsUnderLoad is the short form of TestSlowKillsUnderLoad.
func TestKillsUnderLoad(t *testing.T) { killUnderLoad(t, 3) }

// killUnderLoad kills Countersign so many times while it is asked, and starts it again on
// the same files. Whatever a caller was granted is recorded as such, with its input but for
// those that were in flight. It returns how many files that took.
func killUnderLoad(t *testing.T, rounds int) (files int) {
	t.Helper()
	k := killing{random: seeded(t)}
	k.stack = startBank(t, patient(bank.Options{Silent: true, ConfigureEnvoy: untraced, Configure: smallSegments}))
	for range killers {
		k.askers = append(k.askers, newAsker(t, k.stack, k.stories(t)))
	}
	for n := range rounds {
		k.round(t, n%2 == 0)
	}
	if err := k.stack.KillCountersign(); err != nil {
		t.Fatal(err)
	}
	return k.judge(t, rounds+1)
}

// seeded says by which seed moments are chosen: that of the environment, if there is one.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text, given := os.LookupEnv(killSeed); given {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the same moments again: %s=%d", killSeed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// smallSegments makes files so small that some are begun while Countersign is killed.
func smallSegments(configuration string) string {
	return strings.Replace(configuration, "{folder: records}", "{folder: records, segment_bytes: 1048576}", 1)
}

// killing is a bank whose Countersign is killed again and again.
type killing struct {
	stack  *bank.Stack
	random *rand.Rand
	askers []*asker
	// torn is how often an end was cut off.
	torn int
}

// stories are those asked: what is granted, what is refused to a known caller, and one
// refusal to nobody. None has a body, so that its request can be sent again.
func (k *killing) stories(t *testing.T) []bank.Story {
	t.Helper()
	return slices.DeleteFunc(stories(t), func(s bank.Story) bool {
		asked := s.Want.Status == http.StatusOK || s.Want.Status == http.StatusForbidden || s.Want.Reason == "no_credentials"
		return !asked || counted(s) || s.Ask.Certificate != bank.Acme || s.Ask.Method != http.MethodGet
	})
}

// round asks over all connections, kills Countersign at some moment, tears the log's end
// if it is to, and starts Countersign again.
func (k *killing) round(t *testing.T, tearing bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*longest)
	defer cancel()
	end, stop := context.WithCancel(ctx)
	granted := make(chan struct{})
	first := sync.OnceFunc(func() { close(granted) })
	var asking sync.WaitGroup
	for _, one := range k.askers {
		asking.Go(func() { one.askOn(ctx, end, first) })
	}
	select {
	case <-granted:
	case <-ctx.Done():
		t.Error("nothing was granted")
	}
	<-time.After(time.Duration(k.random.Int64N(int64(latestKill)))) // The moment is the point.
	err := k.stack.KillCountersign()
	stop()
	asking.Wait()
	if err != nil {
		t.Fatal(err)
	}
	torn := 0
	if tearing {
		torn = k.tear(t)
	}
	if err := k.stack.RestartCountersign(ctx); err != nil {
		t.Fatal(err)
	}
	k.holdStart(t, torn)
}

// tear leaves a part of a line at the end of the log, and returns its length. The kernel
// keeps what a killed process has written: a kill by itself hardly ever leaves one, as a
// power failure does.
func (k *killing) tear(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.stack.Records(), "decisions-*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v, want files", files, err)
	}
	last := files[len(files)-1]
	if text, err := os.ReadFile(last); err != nil {
		t.Fatal(err)
	} else if !sealedEnd.Match(text) {
		return 0 // it is torn already
	}
	const line = `{"allowed":true,"api":"openbanking","status":200}` + "\n"
	torn := 1 + k.random.IntN(len(line))
	file, err := os.OpenFile(last, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(line[:torn]); err != nil {
		t.Fatal(err)
	}
	return torn
}

var (
	sealedEnd = regexp.MustCompile(`\n\{"seal":[^\n]*\n\z`)
	cutOff    = regexp.MustCompile(`decisions: the last (\d+) bytes were unfinished and were cut off`)
)

// holdStart holds what the last start said of the files: what was cut off, if anything
// was, and nothing worse.
func (k *killing) holdStart(t *testing.T, torn int) {
	t.Helper()
	log, err := k.stack.CountersignLog()
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	if found := cutOff.FindStringSubmatch(log); found != nil {
		k.torn++
		if said, err = strconv.Atoi(found[1]); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(log, "damaged") || torn > 0 && said != torn {
		t.Errorf("with %d bytes of an unfinished line the start says:\n%s", torn, log)
	}
}

// judge holds what callers were told against the log, and returns how many files it has.
func (k *killing) judge(t *testing.T, starts int) (files int) {
	t.Helper()
	standing := map[string]record{}
	allows := 0
	for _, one := range recordsOf(t, k.stack) {
		standing[one.ID] = one // Of two of one id the later holds.
	}
	for _, one := range standing {
		if one.Allowed {
			allows++
		}
	}
	grants, bare := 0, 0
	inputs := inputsOf(t, k.stack)
	for _, one := range k.askers {
		granted, lacking := one.hold(t, standing, inputs)
		grants, bare = grants+granted, bare+lacking
		// Nothing waits for an input: of each connection a kill can lose one.
		if lacking > starts {
			t.Errorf("%d grants of a connection have no input, want at most one for each of %d kills", lacking, starts)
		}
	}
	// Of each connection one answer at most was lost by a kill.
	if lost := allows - grants; lost < 0 || lost > killers*starts {
		t.Errorf("%d allows are recorded, and %d were told", allows, grants)
	}
	for _, story := range k.stories(t) {
		grants -= k.stack.Upstream.Calls(story.Name)
	}
	if grants != 0 {
		t.Errorf("the upstream was called %d times more than was granted", -grants)
	}
	segments, err := filepath.Glob(filepath.Join(k.stack.Records(), "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d allows in %d records, %d inputs, %d of grants are lost, %d files; %d ends were cut off",
		allows, len(standing), len(inputs), bare, len(segments), k.torn)
	return len(segments)
}

// inputsOf are the decisions whose inputs can be read. What is there must be readable.
func inputsOf(t *testing.T, stack *bank.Stack) map[string]bool {
	t.Helper()
	keys := func(id string) *secret.Key {
		return secret.Find(filepath.Join(stack.Bank.Dir, "state", "input.key"), id)
	}
	found := map[string]bool{}
	for line, err := range segment.Lines(stack.Records(), "inputs") {
		var named struct{ ID string }
		if err == nil {
			err = json.Unmarshal(line, &named)
		}
		if err != nil {
			t.Fatal(err)
		}
		id, err := authz.ParseDecisionID(named.ID)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := vault.Open(stack.Records(), id, line, keys)
		if err != nil || !json.Valid(kept.Input.Document) {
			t.Errorf("the input of %v does not open: %v", id, err)
		}
		found[named.ID] = true
	}
	return found
}

// hold holds what was told against the records that stand and the inputs that are kept,
// and returns how often it was a grant, and how many grants have no input.
func (a *asker) hold(t *testing.T, standing map[string]record, inputs map[string]bool) (grants, bare int) {
	t.Helper()
	if a.fault != nil {
		t.Error(a.fault)
	}
	for _, got := range a.told {
		want := a.stories[got.story].Want
		fault := ""
		switch one, recorded := standing[got.id]; {
		case got.status == http.StatusServiceUnavailable: // Nobody's decision, or one taken back.
			continue
		case got.status != want.Status:
			fault = fmt.Sprintf("want %d", want.Status)
		// Recorded later, or not at all: of who stole a token there is no end either.
		case got.status == http.StatusUnauthorized, want.Reason == authz.ClientAddress.String():
			continue
		case !recorded || one.Allowed != want.Allowed || one.Code() != want.Reason:
			fault = fmt.Sprintf("its record is %+v", one)
		case want.Allowed && one.InputOmitted != "":
			fault = "its input is not kept: " + one.InputOmitted
		case want.Allowed && !inputs[got.id]:
			bare++
		}
		if fault != "" {
			t.Errorf("%s: %d (%s): %s", a.stories[got.story].Name, got.status, got.id, fault)
		}
		if want.Allowed {
			grants++
		}
	}
	return grants, bare
}
