package integration

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/authz/targettest"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// ambiguous is the request that a target is put into: token and certificate are good
// for all that the target can be taken for.
func ambiguous(target targettest.Target) bank.Story {
	return bank.Story{Name: target.Name, Ask: bank.Ask{
		Method: http.MethodGet, Path: target.Raw, Listener: bank.MTLS, Certificate: bank.Acme, Token: bank.Token{As: "ann"},
	}}
}

// TestAmbiguousTargetsPure gives every ambiguous target to the whole pipeline, from
// callers with a good token, a bad one and none: all are refused for the same reason,
// which tells them nothing of what there is, and are recorded once.
func TestAmbiguousTargetsPure(t *testing.T) {
	b, system := openSystem(t)
	recorder := &fakeLog{}
	system.Pipeline.Recorder = recorder
	for _, target := range targettest.Ambiguous() {
		for _, token := range []bank.Token{{As: "ann"}, {As: "ann", Bad: "forged_key"}, {}} {
			story := ambiguous(target)
			story.Ask.Token = token
			request, err := story.Request(b, "")
			if err != nil {
				t.Fatal(err)
			}
			recorder.offered = nil
			got := system.Pipeline.Check(t.Context(), request)
			if got.Allowed || got.Reason != target.Want {
				t.Errorf("%s: Check(%q) = allowed %v for %s, want refused for %s", target.Name, target.Raw, got.Allowed, got.Code(), target.Want)
			}
			if got.Operation != nil || got.Caller.Kind != authz.Anonymous || got.Caller.Subject != "" {
				t.Errorf("%s: Check(%q) knows the operation %q and a caller who is %v", target.Name, target.Raw, got.OperationID(), got.Caller.Kind)
			}
			if len(recorder.offered) != 1 || recorder.offered[0].Decision.ID != got.ID {
				t.Errorf("%s: Check(%q) is recorded %d times, want once", target.Name, target.Raw, len(recorder.offered))
			}
		}
	}
}

// fakeLog keeps what it is offered. It is for one check at a time.
type fakeLog struct{ offered []authz.Record }

func (f *fakeLog) Record(_ context.Context, record authz.Record) error {
	f.offered = append(f.offered, record)
	return nil
}

func (f *fakeLog) Abandon(authz.Record) {}

// verbatim is a listener as the bank's first, but that it leaves paths as they are.
const verbatim = "verbatim"

// withVerbatim adds that listener to Envoy's configuration.
func withVerbatim(t *testing.T, configuration string) string {
	t.Helper()
	var envoy struct {
		Resources map[string]any `yaml:"static_resources"`
		Rest      map[string]any `yaml:",inline"`
	}
	if err := yaml.Unmarshal([]byte(configuration), &envoy); err != nil {
		t.Fatal(err)
	}
	listeners := envoy.Resources["listeners"].([]any)
	text, err := yaml.Marshal(listeners[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"name: " + bank.MTLS, "name: " + verbatim},
		{"normalize_path: true", "normalize_path: false"},
		{"merge_slashes: true", "merge_slashes: false"},
		{"path_with_escaped_slashes_action: REJECT_REQUEST", "path_with_escaped_slashes_action: KEEP_UNCHANGED"},
	} {
		text = []byte(changed(t, string(text), change[0], change[1]))
	}
	var added any
	if err := yaml.Unmarshal(text, &added); err != nil {
		t.Fatal(err)
	}
	envoy.Resources["listeners"] = append(listeners, added)
	if text, err = yaml.Marshal(envoy); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// changed replaces what stands once in a text.
func changed(t *testing.T, text, old, new string) string {
	t.Helper()
	if count := strings.Count(text, old); count != 1 {
		t.Fatalf("%q stands %d times in\n%s", old, count, text)
	}
	return strings.Replace(text, old, new, 1)
}

// way is by which version of HTTP a target comes to which listener.
type way struct{ listener, protocol string }

// TestAmbiguousTargetsThroughEnvoy sends every ambiguous target as it stands, by both
// versions of HTTP, to a listener that settles paths and to one that leaves them. What
// is left ambiguous is refused, and the upstream sees nothing of it; what was settled
// before Countersign was asked, the upstream sees as it was decided.
func TestAmbiguousTargetsThroughEnvoy(t *testing.T) {
	stack := startBank(t, patient(bank.Options{ConfigureEnvoy: func(configuration string) string {
		return withVerbatim(t, configuration)
	}}))
	decided := 0
	for _, test := range []struct {
		way
		refused, passed int // at least so many, by Countersign and to the upstream
	}{
		{way{bank.MTLS, overHTTP1}, 30, 10},
		{way{bank.MTLS, overHTTP2}, 30, 10},
		{way{verbatim, overHTTP1}, 60, 0},
		{way{verbatim, overHTTP2}, 60, 0},
	} {
		t.Run(test.listener+" "+test.protocol, func(t *testing.T) {
			refused, passed := 0, map[string]string{}
			for i, got := range test.sendAll(t, stack) {
				target := targettest.Ambiguous()[i]
				if got.id != "" {
					decided++
				}
				if calls := stack.Upstream.Calls(test.story(target).Name); calls > 0 {
					passed[got.id] = got.received.Path
				}
				if fault := test.fault(target, got); fault != "" {
					t.Errorf("%s: %q is answered %d for %q: %s", target.Name, target.Raw, got.status, got.code, fault)
				} else if got.code == target.Want.String() {
					refused++
				}
			}
			wantDecidedAs(t, stack, passed)
			if refused < test.refused || len(passed) < test.passed {
				t.Errorf("Countersign refused %d targets and %d passed, want %d and %d at least", refused, len(passed), test.refused, test.passed)
			}
		})
	}
	awaitRecords(t, stack, decided)
}

// fault says what is wrong with an answer, or "". Where Envoy settles the target, that
// of another is as good, but it is refused or passed.
func (w way) fault(target targettest.Target, got answer) string {
	refusedByEnvoy := got.code == "" && got.received.Path == "" &&
		(got.status == 0 || got.status == http.StatusBadRequest || got.status == http.StatusUpgradeRequired)
	switch {
	case got.status == target.Want.Status() && got.code == target.Want.String():
		return ""
	case refusedByEnvoy: // A line that ends before its version is HTTP/0.9's to Envoy, which asks for another.
		return ""
	case !w.settles(target):
		return fmt.Sprintf("want %d for %s", target.Want.Status(), target.Want)
	case got.status == http.StatusOK && got.id != "", got.status >= 400 && got.status < 500:
		return ""
	}
	return "want a decision"
}

// settles reports a target that Envoy makes another of before it asks: as it is told
// to, or because HTTP/1.1 has it do so (RFC 9112 §3.2.2, and §3 for blanks around it).
func (w way) settles(target targettest.Target) bool {
	return w.listener != verbatim || w.protocol == overHTTP1 &&
		(strings.HasPrefix(target.Raw, "http") || strings.HasSuffix(target.Raw, " "))
}

func (w way) story(target targettest.Target) bank.Story {
	story := ambiguous(target)
	story.Name = w.listener + " " + w.protocol + " " + target.Name
	return story
}

// sendAll sends all ambiguous targets side by side, each on a connection of its own.
func (w way) sendAll(t *testing.T, stack *bank.Stack) []answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	targets := targettest.Ambiguous()
	answers, faults := make([]answer, len(targets)), make([]error, len(targets))
	var sending sync.WaitGroup
	for i, target := range targets {
		sending.Go(func() { answers[i], faults[i] = w.send(ctx, stack, w.story(target)) })
	}
	sending.Wait()
	for i, fault := range faults {
		if fault != nil {
			t.Fatalf("%s: %v", targets[i].Name, fault)
		}
	}
	return answers
}

// wantDecidedAs fails where a path that the upstream saw can be read in two ways, or
// where the decision was not of the operation that is there. Paths are by decision.
func wantDecidedAs(t *testing.T, stack *bank.Stack, seen map[string]string) {
	t.Helper()
	document := filepath.Join(stack.Bank.Dir, "openapi.yaml")
	contracts, err := contract.New(contract.Config{APIs: []contract.API{{Name: bank.API, Document: document}}})
	if err != nil {
		t.Fatal(err)
	}
	decided := map[string]string{}
	for _, one := range recordsOf(t, stack) {
		decided[one.ID] = one.Operation
	}
	for id, path := range seen {
		target, err := authz.ParseTarget(path)
		if err != nil {
			t.Errorf("the upstream saw %q: %v", path, err)
			continue
		}
		match, err := contracts.Match(&authz.Request{API: bank.API, Method: http.MethodGet}, target)
		if err != nil || match.Operation.ID != decided[id] {
			t.Errorf("the upstream saw %q, and decided on was %q, not %+v, %v", path, decided[id], match.Operation, err)
		}
	}
}
