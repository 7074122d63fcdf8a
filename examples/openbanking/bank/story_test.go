package bank

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func stories(t *testing.T) []Story {
	t.Helper()
	all, err := Stories()
	if err != nil {
		t.Fatalf("Stories: %v", err)
	}
	return all
}

// policyCodes are the reasons of the standard policy and of the bank's own.
var policyCodes = []string{
	"step_up", "permission", "actor", "consent", "consent_client", "consent_subject", "consent_status", "consent_expiry",
	"consent_permission", "consent_object", "not_owner", "region", "region_caller", "region_object", "second_signer", "other_payment",
}

// statuses are those that every reason is answered with.
func statuses() map[string]int {
	known := map[string]int{}
	for _, code := range policyCodes {
		known[code] = authz.PolicyDenied.Status()
	}
	for number := range 256 { // those after the last are internal again
		reason := authz.Reason(number)
		known[reason.String()] = reason.Status()
	}
	return known
}

func TestStoriesExpectWhatCanBe(t *testing.T) {
	known := statuses()
	form := regexp.MustCompile(`^[0-9]{2,3}-[a-z0-9-]+$`)
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			want := story.Want
			status, exists := known[want.Reason]
			switch {
			case !form.MatchString(story.Name):
				t.Errorf("the name is not a number and words")
			case !exists:
				t.Errorf("there is no reason %q", want.Reason)
			case want.Allowed != (want.Reason == authz.Granted.String()):
				t.Errorf("allowed is %t for %s", want.Allowed, want.Reason)
			case want.Allowed && want.Status/100 != 2, !want.Allowed && want.Status != status:
				t.Errorf("the status of %s is %d, not %d", want.Reason, status, want.Status)
			case want.Status == 401 && want.Challenge == "":
				t.Error("a 401 has a challenge (RFC 9110 §15.5.2)")
			case !want.Allowed && want.Upstream != nil:
				t.Error("the upstream does not see what is denied")
			}
		})
	}
}

func TestStoriesStandInOrder(t *testing.T) {
	last := 0
	for _, story := range stories(t) {
		if number(story.Name) <= last {
			t.Errorf("%s stands behind number %d", story.Name, last)
		}
		last = number(story.Name)
	}
	if last < 100 {
		t.Errorf("the last is number %d, so that no order by names was told from this one", last)
	}
}

func TestStoriesAreManyAndDifferent(t *testing.T) {
	told, reasons := map[string]string{}, map[string]bool{}
	for _, story := range stories(t) {
		if other, twice := told[story.Text]; twice {
			t.Errorf("%s and %s have one text", story.Name, other)
		}
		told[story.Text] = story.Name
		reasons[story.Want.Reason] = true
	}
	if len(told) < 30 || len(reasons) < 20 {
		t.Errorf("%d stories of %d reasons", len(told), len(reasons))
	}
}

func TestStoryAsEnvoySendsIt(t *testing.T) {
	bank := openBank(t)
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			request, err := story.Request(bank, "nonce")
			if err != nil {
				t.Fatalf("Request: %v", err)
			}
			if request.API != API || request.Method != story.Ask.Method || request.Target != story.Ask.Path {
				t.Errorf("Request = %s %s %s", request.API, request.Method, request.Target)
			}
			for _, field := range request.Headers {
				if field.Name != strings.ToLower(field.Name) || field.Name == "traceparent" {
					t.Errorf("header %s", field.Name)
				}
			}
			if has, wants := request.Certificate != "", story.Ask.Certificate != ""; has != wants {
				t.Errorf("it has a certificate: %t, want %t", has, wants)
			}
		})
	}
}

func TestStoryOverTheWire(t *testing.T) {
	bank := openBank(t)
	stack := &Stack{Bank: bank, listeners: map[string]string{MTLS: "localhost:1", PlainTLS: "localhost:2"}}
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			request, client, err := story.HTTP(t.Context(), stack)
			if err != nil {
				t.Fatalf("HTTP: %v", err)
			}
			if got := request.URL.RequestURI(); got != story.Ask.Path {
				t.Errorf("the target is %s, want %s", got, story.Ask.Path)
			}
			if got, want := request.URL.Host, stack.Address(story.Ask.Listener); got != want {
				t.Errorf("it goes to %s, want %s", got, want)
			}
			if client == nil {
				t.Error("there is no client")
			}
		})
	}
}

func TestParseStory(t *testing.T) {
	const good = "A story\nin two lines.\n-- request.json --\n{\"method\": \"GET\", \"path\": \"/x\"}\n" +
		"-- want.json --\n{\"status\": 403, \"reason\": \"permission\"}\n"
	story, err := parseStory("01-x", []byte(good))
	if err != nil {
		t.Fatalf("parseStory: %v", err)
	}
	want := Story{Name: "01-x", Text: "A story in two lines.", Ask: Ask{Method: "GET", Path: "/x", Listener: MTLS}, Want: Want{Status: 403, Reason: "permission"}}
	if diff := cmp.Diff(want, story); diff != "" {
		t.Errorf("parseStory (-want +got):\n%s", diff)
	}
	for name, bad := range map[string]string{
		"a misspelt key":   strings.Replace(good, `"method"`, `"methods"`, 1),
		"another part":     good + "-- more.json --\n{}\n",
		"no comment":       good[strings.Index(good, "-- request"):],
		"no expectation":   good[:strings.Index(good, "-- want")],
		"what is not JSON": strings.Replace(good, `{"status"`, `["status"`, 1),
	} {
		if _, err := parseStory("01-x", []byte(bad)); err == nil {
			t.Errorf("%s: parseStory succeeds", name)
		}
	}
}

func TestStoryPathsAreTargets(t *testing.T) {
	for _, story := range stories(t) {
		if _, err := url.ParseRequestURI(story.Ask.Path); err != nil {
			t.Errorf("%s: %v", story.Name, err)
		}
	}
}
