package bank

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz/audit"
)

// recorded bounds the wait for a decision's record to be on disk.
const recorded = 5 * time.Second

// Record is what a story looks at in Countersign's record of a decision.
type Record struct {
	ID           string `json:"id"`
	Allowed      bool   `json:"allowed"`
	Status       int    `json:"status"`
	Reason       string `json:"reason"`
	PolicyReason string `json:"policyReason"`
	Operation    string `json:"operation"`
	ElapsedUS    int    `json:"elapsedUs"`
	TraceID      string `json:"traceId"`
	Interaction  string `json:"interactionId"`
	// BreakGlass are the tickets under which the glass was broken.
	BreakGlass []string `json:"breakGlass"`
}

// Code is the policy's reason where it gave one, else Countersign's own.
func (r *Record) Code() string {
	if r.PolicyReason != "" {
		return r.PolicyReason
	}
	return r.Reason
}

// Told is what came of a story.
type Told struct {
	Status int
	// Challenge is WWW-Authenticate, a line for each.
	Challenge string
	// Header is all of the answer's.
	Header http.Header
	// Reached is how often the upstream was called, and Received what it got.
	Reached  int
	Received Received
	// DecisionID is what the caller, or the upstream, was told; "" where neither was.
	DecisionID string
	// Record is Countersign's own; nil where there is none of that id.
	Record *Record
}

// Tell sends the story's request through Envoy and gathers what came of it. An error
// is a request that got no answer.
func (s *Story) Tell(ctx context.Context, stack *Stack) (*Told, error) {
	request, client, err := s.HTTP(ctx, stack)
	if err != nil {
		return nil, err
	}
	for range s.Ask.Before {
		if err := sendFirst(ctx, client, request); err != nil {
			return nil, err
		}
	}
	before := stack.Upstream.Calls(s.Name)
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("story: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("story: %w", err)
	}
	told := &Told{
		Status:    response.StatusCode,
		Challenge: strings.Join(response.Header.Values("WWW-Authenticate"), "\n"),
		Header:    response.Header,
		Reached:   stack.Upstream.Calls(s.Name) - before,
	}
	told.read(response.Header, body)
	told.Record, err = stack.record(ctx, told.DecisionID)
	return told, err
}

// sendFirst sends a request whose answer is of no matter.
func sendFirst(ctx context.Context, client *http.Client, request *http.Request) error {
	first := request.Clone(ctx)
	var err error
	if first.Body, err = request.GetBody(); err != nil {
		return fmt.Errorf("story: %w", err)
	}
	response, err := client.Do(first)
	if err != nil {
		return fmt.Errorf("story: %w", err)
	}
	return response.Body.Close()
}

// read takes the decision's id from a denial's problem document (RFC 9457), or from
// what the upstream received with an allow.
func (t *Told) read(header http.Header, body []byte) {
	if t.Reached > 0 {
		if json.Unmarshal(body, &t.Received) == nil {
			t.DecisionID = t.Received.Headers["x-countersign-decision-id"]
		}
		return
	}
	var problem struct {
		DecisionID string `json:"decision_id"`
	}
	if strings.HasPrefix(header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(body, &problem) == nil {
		t.DecisionID = problem.DecisionID
	}
}

// Faults are the ways in which what came differs from what the story says; none
// means that it went as told.
func (s *Story) Faults(told *Told) []string {
	var faults []string
	differs := func(what string, got, want any) {
		if got != want {
			faults = append(faults, fmt.Sprintf("%s is %v, not %v", what, got, want))
		}
	}
	differs("status", told.Status, s.Want.Status)
	reached := 0
	if s.Want.Allowed {
		reached = 1
	}
	differs("calls of the upstream", told.Reached, reached)
	if s.Want.Challenge == "" {
		differs("challenge", told.Challenge, "")
	} else if !strings.Contains(told.Challenge, s.Want.Challenge) {
		faults = append(faults, fmt.Sprintf("challenge is %q, without %q", told.Challenge, s.Want.Challenge))
	}
	for name, want := range s.Want.Headers {
		got := strings.Join(told.Header.Values(name), ", ")
		if fits, err := regexp.MatchString("^(?:"+want+")$", got); err != nil || !fits {
			faults = append(faults, fmt.Sprintf("%s is %q, not %s", name, got, want))
		}
	}
	for name, want := range s.Want.Upstream {
		differs("upstream's "+name, told.Received.Headers[name], want)
	}
	slices.Sort(faults)
	return append(faults, s.recordFaults(told.Record)...)
}

func (s *Story) recordFaults(record *Record) []string {
	if record == nil {
		return []string{"no decision of Countersign's is recorded"}
	}
	var faults []string
	if record.Allowed != s.Want.Allowed || record.Code() != s.Want.Reason {
		faults = append(faults, fmt.Sprintf("recorded is allowed=%t for %s, not allowed=%t for %s",
			record.Allowed, record.Code(), s.Want.Allowed, s.Want.Reason))
	}
	if !record.Allowed && record.Status != s.Want.Status {
		faults = append(faults, fmt.Sprintf("recorded status is %d, not %d", record.Status, s.Want.Status))
	}
	if !slices.Equal(record.BreakGlass, s.Want.BreakGlass) {
		faults = append(faults, fmt.Sprintf("recorded tickets are %q, not %q", record.BreakGlass, s.Want.BreakGlass))
	}
	if len(record.TraceID) != 32 {
		faults = append(faults, "recorded is no trace id")
	} else if strings.Contains(s.Ask.Headers["traceparent"], record.TraceID) {
		faults = append(faults, "the client's own traceparent was followed")
	}
	return faults
}

// record waits for the record of a decision. It returns nil for the id "", and an
// error where there is none in time.
func (s *Stack) record(ctx context.Context, id string) (*Record, error) {
	if id == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, recorded)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		record, err := findRecord(s.Records(), id)
		if record != nil || err != nil {
			return record, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("record: none of the decision's id: %w", ctx.Err())
		}
	}
}

// findRecord returns nil where no record has that id yet.
func findRecord(folder, id string) (*Record, error) {
	for line, err := range audit.Lines(folder) {
		if err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
		var record Record
		if !bytes.Contains(line, []byte(id)) {
			continue
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
		if record.ID == id {
			return &record, nil
		}
	}
	return nil, nil
}
