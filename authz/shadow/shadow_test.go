package shadow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

var (
	operation = &authz.Operation{ID: "ReadAccount", API: "bank"}
	moment    = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
)

type fakePolicy func(ctx context.Context, facts *authz.Facts) (authz.Verdict, error)

func (f fakePolicy) Decide(ctx context.Context, facts *authz.Facts) (authz.Verdict, error) {
	return f(ctx, facts)
}

func saying(verdict authz.Verdict) fakePolicy {
	return func(context.Context, *authz.Facts) (authz.Verdict, error) { return verdict, nil }
}

// fakeSink keeps what a pool tells.
type fakeSink struct {
	mu          sync.Mutex
	counts      map[Result]int
	differences []*authz.Difference
}

func (f *fakeSink) Differ(_ authz.Record, difference *authz.Difference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.differences = append(f.differences, difference)
}

func (f *fakeSink) count(_ *authz.Operation, result Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[Result]int{}
	}
	f.counts[result]++
}

func trial(policy authz.Policy, was authz.Verdict) authz.Trial {
	return authz.Trial{
		Candidate: &authz.Candidate{Policy: policy, Digest: "d1"},
		Decision:  &authz.Decision{ID: authz.NewDecisionID(), Revision: "r1"},
		Facts:     &authz.Facts{Time: moment, Request: &authz.Request{}, Match: authz.Match{API: "bank", Operation: operation}},
		InForce:   authz.Judgement{Verdict: was},
	}
}

func denied(reason string) authz.Verdict {
	return authz.Verdict{Reason: reason, Refusals: []string{reason}}
}

func TestTrialsAreCounted(t *testing.T) {
	allow := authz.Verdict{Allowed: true}
	broken := fakePolicy(func(context.Context, *authz.Facts) (authz.Verdict, error) {
		return authz.Verdict{}, errors.New("site.rego:3")
	})
	for _, test := range []struct {
		name   string
		policy fakePolicy
		was    authz.Verdict
		want   Result
	}{
		{"the same", saying(allow), allow, Same},
		{"the same denial", saying(denied("a")), denied("a"), Same},
		{"an allow that would be a denial", saying(denied("a")), allow, Differs},
		{"another reason", saying(denied("b")), denied("a"), Differs},
		{"a policy that cannot decide", broken, allow, Differs},
		{"a denial that cannot be sent", saying(authz.Verdict{Reason: "a", Refusals: []string{"a"}, Reply: authz.Reply{Status: 99}}), denied("a"), Differs},
		{"a panic", func(context.Context, *authz.Facts) (authz.Verdict, error) { panic("zz") }, allow, Failed},
		{"one that takes too long", func(ctx context.Context, _ *authz.Facts) (authz.Verdict, error) { <-ctx.Done(); return allow, nil }, allow, Failed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := &fakeSink{}
				pool := start(sink, sink.count, 1)
				pool.Offer(trial(test.policy, test.was))
				pool.Close()
				if diff := cmp.Diff(map[Result]int{test.want: 1}, sink.counts); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				if got := len(sink.differences); got != map[Result]int{Differs: 1}[test.want] {
					t.Errorf("%d differences are recorded", got)
				}
			})
		})
	}
}

// TestCandidateGetsItsOwn holds that nothing which was made for the policy in force is given to
// another: that may hold less than the other reads.
func TestCandidateGetsItsOwn(t *testing.T) {
	offered := trial(nil, authz.Verdict{Allowed: true})
	token := &authz.Token{Prepared: "of the policy in force", Claims: map[string]any{"a": "b"}}
	offered.Facts.Token, offered.Facts.Input = token, &authz.Input{Prepared: "too"}
	var seen *authz.Facts
	offered.Candidate.Policy = fakePolicy(func(_ context.Context, facts *authz.Facts) (authz.Verdict, error) {
		seen = facts
		return authz.Verdict{Allowed: true}, nil
	})
	sink := &fakeSink{}
	pool := start(sink, sink.count, 1)
	pool.Offer(offered)
	pool.Close()
	if seen.Token.Prepared != nil || seen.Input != nil {
		t.Errorf("the candidate was given %v and %v", seen.Token.Prepared, seen.Input)
	}
	if !seen.Time.Equal(moment) || seen.ID != offered.Facts.ID || seen.Token.Claims["a"] != "b" {
		t.Errorf("the candidate decided on %+v", seen)
	}
	if token.Prepared == nil || offered.Facts.Token != token || offered.Facts.Input == nil {
		t.Error("the facts were changed, which a record may still be made of")
	}
}

// brokenRecorder panics.
type brokenRecorder struct{}

func (brokenRecorder) Differ(authz.Record, *authz.Difference) { panic("zz") }

// TestPanicOfARecorderEndsNothing holds that the next trial is made all the same.
func TestPanicOfARecorderEndsNothing(t *testing.T) {
	sink := &fakeSink{}
	pool := start(brokenRecorder{}, sink.count, 1)
	pool.Offer(trial(saying(denied("a")), authz.Verdict{Allowed: true}))
	pool.Offer(trial(saying(denied("a")), denied("a")))
	pool.Close()
	if diff := cmp.Diff(map[Result]int{Failed: 1, Same: 1}, sink.counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestTooMuchIsDropped holds the only worker: what cannot wait is counted, in no time, by
// number and by size.
func TestTooMuchIsDropped(t *testing.T) {
	for _, test := range []struct {
		name    string
		body    int
		waiting int
	}{{"small requests", 0, maxWaiting}, {"large ones", 1 << 20, 4}} {
		t.Run(test.name, func(t *testing.T) {
			release, busy := make(chan struct{}), make(chan struct{}, 1)
			policy := fakePolicy(func(ctx context.Context, _ *authz.Facts) (authz.Verdict, error) {
				select {
				case busy <- struct{}{}:
				default:
				}
				<-release
				return authz.Verdict{Allowed: true}, nil
			})
			var results [4]atomic.Int64
			pool := start(&fakeSink{}, func(_ *authz.Operation, result Result) {
				for i, each := range Results() {
					if each == result {
						results[i].Add(1)
					}
				}
			}, 1)
			candidate := &authz.Candidate{Policy: policy, Digest: "d1"}
			pool.Begin(candidate, "r1", moment)
			offer := func() {
				one := trial(nil, authz.Verdict{Allowed: true})
				one.Candidate = candidate
				one.Facts.Request.Body = make([]byte, test.body)
				pool.Offer(one)
			}
			offer()
			<-busy
			for range maxWaiting + 100 {
				offer()
			}
			if got := results[3].Load(); got != int64(maxWaiting+100-test.waiting) {
				t.Errorf("%d are dropped of %d, want all but %d", got, maxWaiting+100, test.waiting)
			}
			close(release)
			pool.Close()
			if got, want := pool.Report().Counts[Dropped], int(results[3].Load()); got != want {
				t.Errorf("%d are told to be dropped, want %d", got, want)
			}
			if held := pool.held.Load(); held != 0 {
				t.Errorf("%d bytes are held after all", held)
			}
		})
	}
}

// TestCloseIsBounded closes a pool whose candidate takes all the time there is.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{}
		pool := start(sink, sink.count, 1)
		for range 100 {
			pool.Offer(trial(fakePolicy(func(ctx context.Context, _ *authz.Facts) (authz.Verdict, error) {
				<-ctx.Done()
				return authz.Verdict{}, ctx.Err()
			}), authz.Verdict{}))
		}
		began := time.Now()
		pool.Close()
		pool.Close()
		if took := time.Since(began); took > closingTime {
			t.Errorf("Close took %v, want at most %v", took, closingTime)
		}
		if got := sink.counts[Failed] + sink.counts[Dropped]; got != 100 || sink.counts[Dropped] < 90 {
			t.Errorf("counts = %v, want a few that failed and the rest dropped", sink.counts)
		}
		pool.Offer(trial(saying(authz.Verdict{}), authz.Verdict{})) // and it does not block or panic
	})
}

func TestReport(t *testing.T) {
	sink := &fakeSink{}
	pool := start(sink, sink.count, 1)
	var last string
	offer := func(candidate *authz.Candidate, was, would authz.Verdict) {
		one := trial(nil, was)
		one.Candidate, one.Facts.Judged = candidate, &authz.Judgement{Verdict: would}
		last = one.Decision.ID.String()
		pool.Offer(one)
	}
	// What the candidate says of a request is what the offer has put there.
	says := fakePolicy(func(_ context.Context, facts *authz.Facts) (authz.Verdict, error) { return facts.Judged.Verdict, nil })
	before, now := &authz.Candidate{Policy: says, Digest: "d0"}, &authz.Candidate{Policy: says, Digest: "d1"}
	allow, later := authz.Verdict{Allowed: true}, moment.Add(time.Hour)
	pool.Begin(before, "r0", moment)
	pool.Begin(now, "r1", later)
	offer(before, allow, denied("gone_with_the_snapshot"))
	for range maxSamples + 3 {
		offer(now, allow, denied("not_owner"))
	}
	newest := last
	offer(now, denied("consent"), denied("region"))
	offer(now, allow, allow)
	offer(before, allow, denied("too_late"))
	pool.Close()
	report := pool.Report()
	if report.Candidate != "d1" || report.Revision != "r1" || !report.Since.Equal(later) {
		t.Errorf("Report() = of %q in %q since %v", report.Candidate, report.Revision, report.Since)
	}
	if diff := cmp.Diff(map[Result]int{Same: 1, Differs: maxSamples + 4, Failed: 0, Dropped: 0}, report.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if len(report.Differences) != 2 {
		t.Fatalf("%d differences, want 2: %+v", len(report.Differences), report.Differences)
	}
	first := report.Differences[0]
	if first.Count != maxSamples+3 || len(first.Decisions) != maxSamples || first.Decisions[maxSamples-1] != newest {
		t.Errorf("the first has %d, and %d decisions, the last of them %s; want %s", first.Count, len(first.Decisions), first.Decisions[len(first.Decisions)-1], newest)
	}
	want := Row{API: "bank", Operation: "ReadAccount", Was: Side{Reason: "consent"}, Would: Side{Reason: "region"}, Differs: []string{"reason", "refusals"}, Count: 1}
	second := report.Differences[1]
	second.Decisions = nil
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("the second (-want +got):\n%s", diff)
	}
}

// TestReportNamesNobody has a candidate that cannot decide, and whose fault is a text that it
// made of a request.
func TestReportNamesNobody(t *testing.T) {
	sink := &fakeSink{}
	pool := start(sink, sink.count, 1)
	offered := trial(saying(authz.Verdict{Allowed: true, Reply: authz.Reply{Headers: []authz.Header{{Name: "x ann@bank.example", Value: "1"}}}}), authz.Verdict{Allowed: true})
	pool.Begin(offered.Candidate, "", time.Time{})
	pool.Offer(offered)
	pool.Close()
	report := pool.Report()
	text, err := json.Marshal(report)
	if err != nil || len(report.Differences) != 1 || report.Differences[0].Would.Reason != "policy_error" || strings.Contains(string(text), "ann@") {
		t.Errorf("Report() = %s, %v; want one policy_error, and no name", text, err)
	}
	if len(sink.differences) != 1 || !strings.Contains(sink.differences[0].Would.Detail, "ann@") {
		t.Errorf("for the record, which masks names, the difference is %+v", sink.differences)
	}
}

// TestReportIsBounded has a candidate whose reasons are endless.
func TestReportIsBounded(t *testing.T) {
	var tally tally
	one := trial(nil, authz.Verdict{Allowed: true})
	tally.begin(one.Candidate, "r1", moment, 0)
	for i := range maxRows + 7 {
		tally.add(&one, Differs, one.Compare(authz.Judgement{Verdict: denied(fmt.Sprintf("r%d", i))}))
	}
	if report := tally.report(0); len(report.Differences) != maxRows || report.Others != 7 || report.Counts[Differs] != maxRows+7 {
		t.Errorf("%d rows and %d others of %d", len(report.Differences), report.Others, report.Counts[Differs])
	}
}

// TestReportBeginsWithTheSnapshot holds that nothing stays of one before: neither what it
// had tried, nor what was dropped, nor its revision where nothing is tried any more.
func TestReportBeginsWithTheSnapshot(t *testing.T) {
	var tally tally
	one := trial(nil, authz.Verdict{Allowed: true})
	tally.begin(one.Candidate, "r1", moment, 3)
	if got := tally.report(7); got.Counts[Dropped] != 4 || got.Candidate != "d1" {
		t.Errorf("report = %+v, want 4 that were dropped of d1", got)
	}
	tally.add(&one, Differs, one.Compare(authz.Judgement{Verdict: denied("region")}))
	tally.begin(nil, "r2", moment.Add(time.Hour), 7)
	want := Report{Revision: "r2", Since: moment.Add(time.Hour), Counts: map[Result]int{}, Differences: []Row{}}
	if diff := cmp.Diff(want, tally.report(9)); diff != "" {
		t.Errorf("report where nothing is tried (-want +got):\n%s", diff)
	}
}

func TestReportOfNothing(t *testing.T) {
	text, err := json.Marshal((&Pool{}).Report())
	if want := `{"candidate":"","revision":"","counts":{},"differences":[]}`; err != nil || strings.TrimSpace(string(text)) != want {
		t.Errorf("Report() = %s, %v; want %s", text, err, want)
	}
}
