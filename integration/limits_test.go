package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// limitedBank is a bank whose contract lets each client read one account so many times a day.
func limitedBank(t *testing.T, times int) *bank.Bank {
	t.Helper()
	b := openBank(t)
	file := filepath.Join(b.Dir, "openapi.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := bytes.Cut(text, []byte("operationId: GetAccountsAccountId\n"))
	rule := []byte("x-countersign:\n")
	limit := fmt.Appendf(nil, "        limits: [{per: client, max: %d, window: 24h}]\n", times)
	if !found || !bytes.Contains(after, rule) {
		t.Fatal("the bank's contract has no operation to limit")
	}
	after = bytes.Replace(after, rule, append(rule, limit...), 1)
	if err := os.WriteFile(file, bytes.Join([][]byte{before, after}, []byte("operationId: GetAccountsAccountId\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestALimitOfTheContractHolds makes the first story's request 200 times, ten at once,
// through all of Countersign. What is refused for another reason is not counted.
func TestALimitOfTheContractHolds(t *testing.T) {
	b := limitedBank(t, 100)
	system := wireBank(t, b)
	requests := map[string]*authz.Request{}
	for _, story := range stories(t) {
		if story.Name != "01-own-account" && story.Name != "02-another-customers-account" {
			continue
		}
		request, err := story.Request(b, "")
		if err != nil {
			t.Fatal(err)
		}
		requests[story.Name] = request
	}
	if got := system.Pipeline.Check(t.Context(), requests["02-another-customers-account"]); got.Code() != "not_owner" || len(got.Spending.Left) > 0 {
		t.Errorf("another's account: %s with limits %v, want not_owner and none spent", got.Code(), got.Spending)
	}
	var allowed, limited atomic.Int32
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			for range 20 {
				switch got := system.Pipeline.Check(t.Context(), requests["01-own-account"]); got.Reason {
				case authz.Granted:
					allowed.Add(1)
				case authz.LimitReached:
					limited.Add(1)
				default:
					t.Errorf("Check() = %s (%s), want granted or limit_reached", got.Code(), got.Detail)
				}
			}
		})
	}
	asking.Wait()
	if allowed.Load() != 100 || limited.Load() != 100 {
		t.Errorf("%d allowed and %d over the limit, want 100 of each", allowed.Load(), limited.Load())
	}
	if got := system.Pipeline.Check(t.Context(), requests["02-another-customers-account"]); got.Code() != "not_owner" {
		t.Errorf("another's account beyond the limit: %s, want not_owner as before", got.Code())
	}
}
