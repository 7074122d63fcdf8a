package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

const (
	// floodTime is how long a flood lasts at least, and floodedBy its connections.
	floodTime = 5 * time.Second
	floodedBy = 32
	// singles is how many refusals before authentication have a record of their own, of
	// each reason in each second.
	singles = 100
)

// TestAFloodOfRefusalsIsBoundedInTheLog floods Countersign with what is refused before
// authentication. Meanwhile all is granted that should be; each of the refusals is in the
// log, by itself or counted, and the log grows no faster than its limits say.
func TestAFloodOfRefusalsIsBoundedInTheLog(t *testing.T) {
	stack := startBank(t, patient(bank.Options{Silent: true, ConfigureEnvoy: untraced}))
	flooding, granting := make([]*asker, floodedBy), make([]*asker, 4)
	reasons := floods(t)
	for i := range flooding { // most of them for the first reason
		flooding[i] = newAsker(t, stack, reasons[max(0, len(reasons)-1-i%8):][:1])
	}
	for i := range granting {
		granting[i] = newAsker(t, stack, calm(t))
	}
	limit := flood(t, flooding, granting, reasons[0])
	refusals, grants := wantTold(t, flooding), wantTold(t, granting)
	if grants == 0 {
		t.Error("nothing was granted")
	}
	lines, counted := map[string]int{}, 0
	for _, one := range awaitRecords(t, stack, refusals+grants) {
		lines[one.Code()]++
		counted += one.Count
	}
	t.Logf("%d refusals, %d of them counted; %d grants; lines %v, limit %d", refusals, counted, grants, lines, limit)
	for _, story := range reasons {
		if got := lines[story.Want.Reason]; got > limit {
			t.Errorf("the log grew by %d lines for %s, want at most %d", got, story.Want.Reason, limit)
		}
	}
	if line := fmt.Sprintf("\ncountersign_refusals_counted_total %d\n", counted); !strings.Contains(page(t, stack.Admin+"/metrics"), line) {
		t.Errorf("metrics lack %q", line)
	}
}

// flood has all askers ask side by side until a story was refused more often than may
// stand in the log for one reason. It returns how many lines that are.
func flood(t *testing.T, flooding, granting []*asker, story bank.Story) (limit int) {
	t.Helper()
	for began := time.Now(); time.Since(began) < longest; {
		askTogetherFor(t, floodTime, slices.Concat(flooding, granting))
		// One of the log's seconds has begun before, and one ends later.
		seconds := int(time.Since(began)/time.Second) + 2
		limit = seconds * (singles + 1)
		told := 0
		for _, one := range flooding {
			if one.stories[0].Name == story.Name {
				told += len(one.told)
			}
		}
		if told > limit {
			return limit
		}
	}
	t.Fatalf("in %v no more was refused than may stand in the log: the machine is too slow for a flood", longest)
	return 0
}

// floods are stories that are refused before authentication, each for another reason.
func floods(t *testing.T) []bank.Story {
	t.Helper()
	var flooding []bank.Story
	for _, reason := range []string{"no_credentials", "malformed_credentials", "token_expired"} {
		all := stories(t)
		i := slices.IndexFunc(all, func(s bank.Story) bool { return s.Want.Reason == reason && s.Ask.Method == http.MethodGet })
		if i < 0 {
			t.Fatalf("no story is refused for %s", reason)
		}
		flooding = append(flooding, all[i])
	}
	return flooding
}

// calm are stories that are granted to one client, and can be asked again and again.
func calm(t *testing.T) []bank.Story {
	t.Helper()
	return slices.DeleteFunc(grantedStories(t), func(s bank.Story) bool {
		return s.Ask.Certificate != bank.Acme || s.Ask.Method != http.MethodGet
	})
}

// askTogetherFor has askers ask side by side for some time.
func askTogetherFor(t *testing.T, lasting time.Duration, askers []*asker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasting+longest)
	defer cancel()
	end, stop := context.WithTimeout(ctx, lasting)
	defer stop()
	var asking sync.WaitGroup
	for _, one := range askers {
		asking.Go(func() { one.askOn(ctx, end, func() {}) })
	}
	asking.Wait()
}

// wantTold holds that askers were answered as their stories say, and returns how often.
func wantTold(t *testing.T, askers []*asker) int {
	t.Helper()
	count := 0
	for _, one := range askers {
		if one.fault != nil {
			t.Fatal(one.fault)
		}
		for _, got := range one.told {
			if story := one.stories[got.story]; got.status != story.Want.Status {
				t.Fatalf("%s: %d %s, want %d", story.Name, got.status, got.code, story.Want.Status)
			}
		}
		count += len(one.told)
	}
	return count
}
