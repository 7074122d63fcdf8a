package audit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func differenceOf(reason string) *authz.Difference {
	return &authz.Difference{Candidate: "d1", Was: authz.Outcome{Allowed: true, Reason: authz.Granted},
		Would: authz.Outcome{Reason: authz.PolicyDenied, PolicyReason: reason, Refusals: []string{reason}}, Differs: []string{"allowed", "reason", "refusals"}}
}

// countDifferences are the lines that tell of one, and how many the others stand for.
func countDifferences(t *testing.T, content []byte) (single, beyond int) {
	t.Helper()
	for _, line := range parseLines(t, content) {
		if line.Count > 0 {
			beyond += line.Count
		} else {
			single++
		}
	}
	return single, beyond
}

// TestDifferenceIsARecordOfItsOwn holds that it names the decision and no person, and that no
// fsync is waited for.
func TestDifferenceIsARecordOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		difference := differenceOf("not_owner")
		difference.Would.Refusals = []string{"not_owner:zz-account"}
		difference.Would.Detail = "for zz-subject"
		difference.Would.Observed = []string{"consent:zz-consent"}
		record := fullRecord()
		record.Decision.Detail, record.Decision.Verdict = "", authz.Verdict{}
		log.Differ(record, difference)
		time.Sleep(pause)
		synctest.Wait()
		if diff := cmp.Diff([]string{"write"}, disk.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		want := fullPseudonyms.Replace(`{"api":"accounts","method":"GET","operation":"GetAccount","path":"/accounts/{AccountId}","pseudonymKeyId":"k1","revision":"sha256:abc",` +
			`"shadow":{"candidate":"d1","decision":"12340000-0000-0000-0000-000000000000","differs":["allowed","reason","refusals"],` +
			`"was":{"allowed":true,"reason":"granted"},` +
			`"would":{"allowed":false,"detail":"for @subject","observed":["consent:@consent"],"policyReason":"not_owner","reason":"policy_denied","refusals":["not_owner:@account"]}},` +
			`"time":"2026-11-20T09:00:00.000000123Z","traceId":"0af7651916cd43dd8448eb211c80319c"}` + "\n")
		if diff := cmp.Diff(want, string(disk.content)); diff != "" {
			t.Errorf("content (-want +got):\n%s", diff)
		}
	})
}

// TestManyDifferencesAreCounted holds that a policy which always differs adds a bounded
// number of lines, of each kind too, and that none is lost from the count.
func TestManyDifferencesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		for range 1000 {
			log.Differ(fullRecord(), differenceOf("a"))
		}
		time.Sleep(pause)
		for _, reason := range strings.Split("bcdefghijklmnopqrstuvwxyz", "") {
			for range 4 {
				log.Differ(fullRecord(), differenceOf(reason))
			}
		}
		time.Sleep(differing)
		synctest.Wait()
		if single, beyond := countDifferences(t, disk.content); single != maxDiffering || beyond != 1100-maxDiffering {
			t.Errorf("%d single and %d beyond, want %d and %d", single, beyond, maxDiffering, 1100-maxDiffering)
		}
		if got := bytes.Count(disk.content, []byte(`"policyReason":"a"`)); got != maxAlike {
			t.Errorf("%d of the first kind, want %d", got, maxAlike)
		}
		want := `"shadow":{},"time":"2000-01-01T00:00:00.000000000Z","until":"2000-01-01T00:00:10.000000000Z"}`
		if lines := strings.Split(strings.TrimSpace(string(disk.content)), "\n"); !strings.Contains(lines[len(lines)-1], want) {
			t.Errorf("the last line is %s, want %s in it", lines[len(lines)-1], want)
		}
		log.Differ(fullRecord(), differenceOf("a"))
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if single, _ := countDifferences(t, disk.content); single != maxDiffering+1 {
			t.Errorf("%d single after another period and the end, want %d", single, maxDiffering+1)
		}
		log.Differ(fullRecord(), differenceOf("a")) // nobody is there to write it
	})
}

// TestDifferencesTakeNothingOfTheReserve holds too that a fault of the disk denies nothing for them.
func TestDifferencesTakeNothingOfTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fakeFiles{room: 1 << 20}
		log := started(t, disk)
		set := func(low bool, fault error) {
			log.mu.Lock()
			defer log.mu.Unlock()
			log.state.Low, log.state.Fault = low, fault
		}
		set(true, nil)
		log.Differ(fullRecord(), differenceOf("a"))
		set(false, errors.New("full"))
		log.Differ(fullRecord(), differenceOf("a"))
		set(false, nil)
		log.Differ(fullRecord(), differenceOf("a"))
		set(true, nil)
		if err := log.writeDifferences(0); err != nil || len(disk.content) > 0 {
			t.Errorf("with the reserve reached %q is written, %v", disk.content, err)
		}
		set(false, nil)
		if err := log.writeDifferences(0); err != nil {
			t.Fatal(err)
		}
		if single, beyond := countDifferences(t, disk.content); single != 0 || beyond != 3 {
			t.Errorf("%d single and %d counted, want 3 counted", single, beyond)
		}
	})
}
