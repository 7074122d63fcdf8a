package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// observingBank is a bank whose document observes checks.
func observingBank(t *testing.T, observe string) *bank.Bank {
	t.Helper()
	b := openBank(t)
	const wide = "  objects: [{type: account, parameter: AccountId}]\n"
	rewrite(t, filepath.Join(b.Dir, "openapi.yaml"), wide, wide+"  observe: "+observe+"\n")
	return b
}

// rewrite puts another text in the place of one that stands once in a file.
func rewrite(t *testing.T, file, old, new string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(changed(t, string(text), old, new)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// enforcedAlways reports a reason of a story that nothing can have observed.
func enforcedAlways(code string) bool {
	reason, native := authz.ReasonNamed(code)
	return authz.Granting(code) || native && !reason.Observable() && reason != authz.StepUpRequired
}

// tellObserved tells every story to a bank that observes checks.
func tellObserved(t *testing.T, b *bank.Bank, judge func(t *testing.T, story bank.Story, got authz.Decision)) {
	system := wireBank(t, b)
	nonce := nonceOf(t, system)
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			request, err := story.Request(b, nonce)
			if err != nil {
				t.Fatal(err)
			}
			for range story.Ask.Before {
				system.Pipeline.Check(t.Context(), request)
			}
			judge(t, story, system.Pipeline.Check(t.Context(), request))
		})
	}
}

// TestStoriesObserved tells every story where all that can be is observed: what proves who
// calls, and what the contract grants, refuses as ever, and the rest refuses nothing.
func TestStoriesObserved(t *testing.T) {
	tellObserved(t, observingBank(t, "[all]"), func(t *testing.T, story bank.Story, got authz.Decision) {
		switch {
		case got.Reason == authz.LimitReached && story.Want.Reason != authz.LimitReached.String():
			// Stories that are told as allowed spend a limit that they would have left alone.
		case story.Want.Allowed:
			if !got.Allowed || len(got.Observed) > 0 {
				t.Errorf("%s\nCheck() = %s, observed %q; want an allow of which nothing failed", story.Text, got.Code(), got.Observed)
			}
		case enforcedAlways(story.Want.Reason):
			if got.Code() != story.Want.Reason {
				t.Errorf("%s\nCheck() = %s (%s), want %s: it is never only observed", story.Text, got.Code(), got.Detail, story.Want.Reason)
			}
		case !got.Allowed || len(got.Observed) == 0:
			t.Errorf("%s\nCheck() = %s (%s), observed %q; want an allow that tells of %s", story.Text, got.Code(), got.Detail, got.Observed, story.Want.Reason)
		}
	})
}

// TestStoriesWithInspectionObserved tells them where only the inspection is: what could not
// be read is nobody's, so that nobody gains by sending it. The bank's rules on bodies, with
// which it does not load, are not asked, and what only they refuse is not told.
func TestStoriesWithInspectionObserved(t *testing.T) {
	const inspection = "[content_type, body_truncated, body_malformed, object_missing, object_malformed, too_many_objects]"
	b := observingBank(t, inspection)
	site := filepath.Join(b.Dir, "policy", "site.rego")
	rewrite(t, site, "\tnot authorized\n", "\tnot is_string(input.operation.id)\n")
	rewrite(t, site, "small if amounts.at_most(input.parsed_body.Data.Initiation.InstructedAmount.Amount, \"10000\")", "small if is_string(input.operation.id)")
	observed := 0
	tellObserved(t, b, func(t *testing.T, story bank.Story, got authz.Decision) {
		if reason := story.Want.Reason; reason == "second_signer" || reason == "other_payment" || story.Name == "102-limit-of-the-bank" {
			return
		}
		if got.Allowed != story.Want.Allowed {
			t.Errorf("%s\nCheck() = %s (%s), want allowed %t", story.Text, got.Code(), got.Detail, story.Want.Allowed)
		}
		observed += len(got.Observed)
	})
	if observed < 5 {
		t.Errorf("%d stories had something to observe, want more", observed)
	}
}

// TestObservedThroughEnvoy sends a request for somebody else's account through the real Envoy,
// with headers of ours that the client made up: the upstream gets what it gets of every
// allow, and the record says what was only observed.
func TestObservedThroughEnvoy(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join("..", "examples", "openbanking", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const wide = "  objects: [{type: account, parameter: AccountId}]\n"
	if err := os.WriteFile(filepath.Join(dir, "observing.yaml"), []byte(changed(t, string(text), wide, wide+"  observe: [not_owner]\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	stack := startBank(t, bank.Options{Dir: dir, Configure: func(configuration string) string {
		return changed(t, configuration, "document: openapi.yaml", "document: observing.yaml")
	}})
	told, faults := tell(t, stack, bank.Story{Name: "observed", Text: "Ann asks for Bob's account, while that is only observed.",
		Ask: bank.Ask{Method: "GET", Path: "/accounts/31820", Certificate: "acme", Listener: bank.MTLS, Token: bank.Token{As: "ann"},
			Headers: map[string]string{"x-countersign-subject": "bob", "x-countersign-observed": "none"}},
		Want: bank.Want{Allowed: true, Status: 200, Reason: "granted"}})
	for _, fault := range faults {
		t.Error(fault)
	}
	for name, want := range map[string]string{"x-countersign-subject": "ann", "x-countersign-client": "acme", "x-countersign-observed": ""} {
		if got := told.Received.Headers[name]; got != want {
			t.Errorf("the upstream got %s: %q, want %q", name, got, want)
		}
	}
	for name := range told.Header {
		if strings.Contains(strings.ToLower(name), "observed") {
			t.Errorf("the caller is told %s", name)
		}
	}
	records, err := os.ReadFile(filepath.Join(dir, "records", "decisions-00000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(records), `"observed":["not_owner:account"]`) {
		t.Errorf("no record tells what was observed:\n%s", records)
	}
}

// TestNoRuleIsKeptFromABody holds that a document does not load which has bodies go unread
// that the policy reads: whoever sends one that cannot be read would keep its rules from it.
func TestNoRuleIsKeptFromABody(t *testing.T) {
	for _, test := range []struct {
		observe string
		want    string
	}{
		{"[body_malformed, not_owner]", "observes body_malformed"},
		{"[body_truncated]", "observes body_truncated"},
		{"[object_missing, content_type]", "observes content_type"},
		{"[object_missing, object_malformed, too_many_objects, second_signer]", ""},
		{"[all]", ""},
		{"[all, body_malformed]", ""},
	} {
		err := loadBank(t, observingBank(t, test.observe))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("observe: %s: Load() = %v, want %q", test.observe, err, test.want)
		}
	}
	b := openBank(t)
	rewrite(t, filepath.Join(b.Dir, "openapi.yaml"), "        regions: [GB]\n", "        regions: [GB]\n        observe: [body_malformed]\n")
	if err := loadBank(t, b); err != nil {
		t.Errorf("an operation without a body: %v", err)
	}
}

// loadBank is what is wrong with what lies in the bank's folder.
func loadBank(t *testing.T, b *bank.Bank) error {
	t.Helper()
	text, err := b.Configuration("", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(b.Dir, "countersign.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := wire.Load(cfg)
	if err != nil {
		return err
	}
	return loaded.Close()
}
