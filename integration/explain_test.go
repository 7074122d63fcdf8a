package integration

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/envoy"
)

// TestStoriesAreExplained explains every story from a file as Envoy's request would be:
// what is told is what is decided, one step refuses if it is denied, and no token is told.
func TestStoriesAreExplained(t *testing.T) {
	b, system := openSystem(t)
	nonce := nonceOf(t, system)
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			if story.Ask.Before > 0 {
				// explain has seen nothing before: to it a request is always the first.
				story.Want.Allowed, story.Want.Reason = true, authz.Granted.String()
			}
			request, err := story.Request(b, nonce)
			if err != nil {
				t.Fatal(err)
			}
			text, err := protojson.Marshal(checkRequest(request))
			if err != nil {
				t.Fatal(err)
			}
			call, err := envoy.ParseCall(text)
			if err != nil {
				t.Fatal(err)
			}
			checker, release, err := system.Explain(t.Context(), nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			answer, err := call.Answer(t.Context(), system.Config.Server, time.Minute, checker)
			if err != nil {
				t.Fatal(err)
			}
			e, err := checker.Explain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantExplained(t, e, story.Want.Allowed, story.Want.Reason)
			if !story.Want.Allowed && answer.Status != story.Want.Status {
				t.Errorf("%s\nthe caller is told %d, want %d", story.Text, answer.Status, story.Want.Status)
			}
			if e.Decision.Revision != system.Revision {
				t.Errorf("revision = %q, want %q", e.Decision.Revision, system.Revision)
			}
		})
	}
}

func wantExplained(t *testing.T, e *explain.Explanation, allowed bool, reason string) {
	t.Helper()
	if e.Decision.Allowed != allowed || e.Decision.Code() != reason {
		t.Errorf("explains allowed %v for %s, want allowed %v for %s", e.Decision.Allowed, e.Decision.Code(), allowed, reason)
	}
	refused := 0
	for _, step := range e.Steps {
		if step.Outcome == explain.Refused {
			refused++
		}
	}
	if want := map[bool]int{true: 0, false: 1}[allowed]; refused != want {
		t.Errorf("%d steps refused, want %d: %v", refused, want, e.Steps)
	}
	if native := !allowed && e.Refusing() != "policy"; native != (e.Check != nil) {
		t.Errorf("refused by %q, and the check is %+v", e.Refusing(), e.Check)
	}
	if told := fmt.Sprint(e.Request, e.Steps, e.Check); strings.Contains(told, "eyJ") {
		t.Errorf("a token is told: %s", told)
	}
}
