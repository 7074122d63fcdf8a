package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// TestReloadsUnderLoad is the short form of TestSlowReloadsUnderLoad.
func TestReloadsUnderLoad(t *testing.T) { reloadUnderLoad(t, 500) }

// reloadUnderLoad asks at least so many requests while two editions of policy, contract
// and keys take turns. Each is answered as the edition has it that was in force by its
// record; none is lost, and never is half of one edition in force with half of the other.
func reloadUnderLoad(t *testing.T, requests int) {
	s := startStorm(t)
	s.settle(t, 0, 0)
	s.settle(t, 1, 1)
	answers := s.rage(t, requests)
	s.judge(t, answers, awaitRecords(t, s.stack, int(s.asks.Load())))
	s.settle(t, 0, 0)
	s.settle(t, 1, 0)
	s.settle(t, 1, 1) // The key alone has gone, and with it what it signed and was remembered.
	metrics := page(t, s.stack.Admin+"/metrics")
	for _, line := range []string{"\ncountersign_reload_failed 0\n", "\ncountersign_reloads_total{result=\"refused\"} 0\n"} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %q", line)
		}
	}
}

// verdict is an answer in short: its status, and its code where it is a refusal.
type verdict struct {
	status int
	code   string
}

var granted = verdict{status: http.StatusOK}

func refusal(status int, code string) verdict { return verdict{status, code} }

// question is asked again and again, and want is what each edition answers to it.
type question struct {
	name, path string
	token      bank.Token
	want       [2]verdict
	// keyed says that its answer hangs on the keys, which are refreshed by themselves,
	// soon after policy and contract. There is no telling which are in force.
	keyed bool
}

// questions are those that the editions differ in, and some that they do not.
func questions() []question {
	by := func(algorithm, scope string) bank.Token {
		return bank.Token{As: "ann", Algorithm: algorithm, Claims: map[string]any{"scope": scope, "exp": "1h"}}
	}
	ann := by(bank.ES256, "accounts payments")
	return []question{
		{name: "own account", path: "/accounts/22289", token: ann, want: [2]verdict{granted, granted}},
		{name: "another's account", path: "/accounts/31820", token: ann,
			want: [2]verdict{refusal(403, "not_owner"), refusal(403, "not_owner")}},
		{name: "what the policy refuses", path: "/party", token: ann,
			want: [2]verdict{granted, refusal(403, "party_closed")}},
		{name: "what needs another scope", path: "/accounts", token: by(bank.ES256, "accounts"),
			want: [2]verdict{granted, refusal(403, "insufficient_scope")}},
		{name: "an operation that goes", path: "/transactions?AccountId=22289", token: ann,
			want: [2]verdict{granted, refusal(404, "unknown_path")}},
		{name: "an operation that comes", path: "/movements?AccountId=22289", token: ann,
			want: [2]verdict{refusal(404, "unknown_path"), granted}},
		{name: "a key that goes", path: "/accounts/22289", token: by(bank.PS256, "accounts"), keyed: true,
			want: [2]verdict{granted, refusal(401, "token_key")}},
	}
}

// toldAs is the verdict of an answer that a caller got, and decidedAs that of a record.
func toldAs(got answer) verdict { return verdict{got.status, got.code} }

func decidedAs(one record) verdict {
	if one.Allowed {
		return granted
	}
	return refusal(one.Status, one.Code())
}

// heard is a verdict on a question.
type heard struct {
	question string
	verdict  verdict
}

// judge holds the answers against the editions, and against the records.
func (s *storm) judge(t *testing.T, answers []told, records []record) {
	t.Helper()
	byID, counted := map[string][]record{}, 0
	for _, one := range records {
		byID[one.ID] = append(byID[one.ID], one)
		counted += one.Count
	}
	var faults []string
	unrecorded, inForce, often := 0, map[string]int{}, map[heard]int{}
	for _, got := range answers {
		often[heard{got.question.name, toldAs(got.answer)}]++
		fault := ""
		switch recorded := byID[got.id]; {
		case len(recorded) == 0 && got.status == http.StatusUnauthorized && slices.Contains(got.question.want[:], toldAs(got.answer)):
			unrecorded++ // One of those that are only counted.
		case len(recorded) != 1:
			fault = fmt.Sprintf("told %+v, with %d records, want one", toldAs(got.answer), len(recorded))
		default:
			inForce[recorded[0].Revision]++
			fault = s.fault(got, recorded[0])
		}
		if fault != "" {
			faults = append(faults, got.question.name+": "+fault)
		}
		delete(byID, got.id) // No two answers share a record.
	}
	if len(faults) > 0 {
		t.Errorf("of %d answers %d are wrong, such as\n%s", len(answers), len(faults), strings.Join(faults[:min(len(faults), 10)], "\n"))
	}
	if unrecorded != counted {
		t.Errorf("%d refusals have no record of their own, and %d are counted", unrecorded, counted)
	}
	s.wantHeard(t, often)
	t.Logf("%d answers over %d connections, by revision %v, %d only counted", len(answers), s.connections.Load(), inForce, counted)
}

// fault says in what an answer is not that of the edition which its record names, or
// not the recorded one, or "".
func (s *storm) fault(got told, recorded record) string {
	told, decided := toldAs(got.answer), decidedAs(recorded)
	for i, edition := range s.editions {
		if edition.revision != recorded.Revision {
			continue
		}
		want := got.question.want[i : i+1]
		if got.question.keyed {
			want = got.question.want[:]
		}
		if told == decided && slices.Contains(want, told) && !recorded.Abandoned {
			return ""
		}
		return fmt.Sprintf("told %+v, recorded %+v, want %+v", told, decided, want)
	}
	return fmt.Sprintf("told %+v under the revision %q, which no edition has", told, recorded.Revision)
}

// wantHeard fails unless each question was answered by both editions, and the upstream
// called once for each grant; and where connections were not kept.
func (s *storm) wantHeard(t *testing.T, often map[heard]int) {
	t.Helper()
	for _, question := range s.questions {
		for _, want := range question.want {
			if often[heard{question.name, want}] == 0 {
				t.Errorf("%s was never answered %+v", question.name, want)
			}
		}
		grants := often[heard{question.name, granted}]
		if calls := s.stack.Upstream.Calls(question.name) - s.called[question.name]; calls != grants {
			t.Errorf("%s: the upstream was called %d times for %d grants", question.name, calls, grants)
		}
	}
	if made := s.connections.Load(); made > atOneTime {
		t.Errorf("%d connections were made, want %d at most", made, atOneTime)
	}
}
