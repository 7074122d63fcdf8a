package bank

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz/audit/segment"
)

const (
	someTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	someParent = "00-" + someTrace + "-00f067aa0ba902b7-00"
)

func TestFaults(t *testing.T) {
	allow := Story{Want: Want{Allowed: true, Status: 200, Reason: "granted", Upstream: map[string]string{"x-countersign-subject": "ann", "x-countersign-tenant": ""}}}
	deny := Story{Want: Want{Status: 401, Reason: "token_expired", Challenge: "invalid_token"}}
	granted := func() *Told {
		return &Told{Status: 200, Reached: 1,
			Received: Received{Headers: map[string]string{"x-countersign-subject": "ann"}},
			Record:   &Record{Allowed: true, Status: 200, Reason: "granted", TraceID: someTrace}}
	}
	denied := func() *Told {
		return &Told{Status: 401, Challenge: `Bearer error="invalid_token"`,
			Record: &Record{Status: 401, Reason: "token_expired", TraceID: someTrace}}
	}
	tests := []struct {
		name   string
		story  Story
		told   *Told
		change func(*Story, *Told)
		faults int
	}{
		{"an allow as told", allow, granted(), func(*Story, *Told) {}, 0},
		{"a denial as told", deny, denied(), func(*Story, *Told) {}, 0},
		{"a denial that reached the upstream", deny, denied(), func(_ *Story, told *Told) { told.Reached = 1 }, 1},
		{"an allow that did not", allow, granted(), func(_ *Story, told *Told) { told.Reached = 0 }, 1},
		{"an allow that was sent twice", allow, granted(), func(_ *Story, told *Told) { told.Reached = 2 }, 1},
		{"another status", deny, denied(), func(_ *Story, told *Told) { told.Status = 403 }, 1},
		{"no challenge", deny, denied(), func(_ *Story, told *Told) { told.Challenge = "" }, 1},
		{"a challenge too many", allow, granted(), func(_ *Story, told *Told) { told.Challenge = "Bearer" }, 1},
		{"a header as told", deny, denied(), func(story *Story, told *Told) {
			story.Want.Headers, told.Header = map[string]string{"Retry-After": `[0-9]+`}, http.Header{"Retry-After": {"60"}}
		}, 0},
		{"a header that is not there", deny, denied(), func(story *Story, _ *Told) {
			story.Want.Headers = map[string]string{"Retry-After": `[0-9]+`}
		}, 1},
		{"a header that holds more than is told", deny, denied(), func(story *Story, told *Told) {
			story.Want.Headers, told.Header = map[string]string{"Retry-After": `[0-9]+`}, http.Header{"Retry-After": {"60", "soon"}}
		}, 1},
		{"another subject", allow, granted(), func(_ *Story, told *Told) { told.Received.Headers["x-countersign-subject"] = "bob" }, 1},
		{"a header too many", allow, granted(), func(_ *Story, told *Told) { told.Received.Headers["x-countersign-tenant"] = "x" }, 1},
		{"no record", deny, denied(), func(_ *Story, told *Told) { told.Record = nil }, 1},
		{"another reason", deny, denied(), func(_ *Story, told *Told) { told.Record.Reason = "token_key" }, 1},
		{"another policy reason", deny, denied(), func(_ *Story, told *Told) { told.Record.PolicyReason = "not_owner" }, 1},
		{"a record of an allow", deny, denied(), func(_ *Story, told *Told) { told.Record.Allowed = true }, 1},
		{"a record of another status", deny, denied(), func(_ *Story, told *Told) { told.Record.Status = 403 }, 1},
		{"a ticket", allow, granted(), func(story *Story, told *Told) {
			story.Want.BreakGlass, told.Record.BreakGlass = []string{"INC-4711"}, []string{"INC-4711"}
		}, 0},
		{"a ticket that is not recorded", allow, granted(), func(story *Story, _ *Told) { story.Want.BreakGlass = []string{"INC-4711"} }, 1},
		{"a ticket too many", allow, granted(), func(_ *Story, told *Told) { told.Record.BreakGlass = []string{"INC-4711"} }, 1},
		{"no trace", deny, denied(), func(_ *Story, told *Told) { told.Record.TraceID = "" }, 1},
		{"the client's trace", deny, denied(), func(story *Story, _ *Told) {
			story.Ask.Headers = map[string]string{"traceparent": someParent}
		}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.change(&test.story, test.told)
			if faults := test.story.Faults(test.told); len(faults) != test.faults {
				t.Errorf("Faults = %q, want %d", faults, test.faults)
			}
		})
	}
}

func TestFindRecord(t *testing.T) {
	folder := t.TempDir()
	log, _, err := segment.Open(segment.Config{Folder: folder, Name: "decisions", MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	lines := `{"id":"a","allowed":false,"reason":"policy_denied","policyReason":"not_owner","status":403,"elapsedUs":12,"traceId":"t"}
{"id":"b","detail":"beside a","allowed":true,"reason":"granted","status":200}
`
	if err := log.Append([]byte(lines), true); err != nil {
		t.Fatal(err)
	}
	record, err := findRecord(folder, "a")
	if err != nil {
		t.Fatalf("findRecord: %v", err)
	}
	want := &Record{ID: "a", Reason: "policy_denied", PolicyReason: "not_owner", Status: 403, ElapsedUS: 12, TraceID: "t"}
	if diff := cmp.Diff(want, record); diff != "" {
		t.Errorf("findRecord (-want +got):\n%s", diff)
	}
	if got := record.Code(); got != "not_owner" {
		t.Errorf("Code = %s", got)
	}
	if record, err := findRecord(folder, "c"); record != nil || err != nil {
		t.Errorf("findRecord of what is not there = %v, %v; want none yet", record, err)
	}
}
