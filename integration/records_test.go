package integration

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// record is what these tests look at in a record of Countersign's.
type record struct {
	bank.Record
	Revision  string `json:"revision"`
	Abandoned bool   `json:"abandoned"`
	// InputOmitted is why its input is not kept, or "".
	InputOmitted string `json:"inputOmitted"`
	// Count is of refusals that were not kept one by one; zero in any other record.
	Count int `json:"count"`
}

// recordsOf are all records there are so far, in order.
func recordsOf(t *testing.T, stack *bank.Stack) []record {
	t.Helper()
	var records []record
	for line, err := range audit.Lines(stack.Records()) {
		if err != nil {
			t.Fatal(err)
		}
		var one record
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("record %q: %v", line, err)
		}
		records = append(records, one)
	}
	return records
}

// decisions is how many decisions the records are of.
func decisions(records []record) int {
	count := 0
	for _, one := range records {
		count += max(1, one.Count)
	}
	return count
}

// awaitRecords waits until the records are of so many decisions, since refusals before
// authentication are recorded a little after they were answered.
func awaitRecords(t *testing.T, stack *bank.Stack, want int) []record {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(longest); ; <-poll.C {
		records := recordsOf(t, stack)
		switch got := decisions(records); {
		case got == want:
			return records
		case got > want || time.Now().After(end):
			t.Fatalf("records are of %d decisions, want %d", got, want)
		}
	}
}
