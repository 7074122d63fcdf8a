package console

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

func TestBrokenGlassIsTold(t *testing.T) {
	broken := authz.Verdict{Waived: []string{"not_owner:account", "break_glass"}, BreakGlass: []string{"INC-4711"}}
	refused := broken
	refused.Reason = "frozen"
	for name, c := range map[string]struct {
		decision authz.Decision
		want     string
	}{
		"allowed": {
			authz.Decision{Allowed: true, Reason: authz.Granted, Verdict: broken, Operation: &authz.Operation{ID: "ReadAccount"}, Pseudonym: "k1.p"},
			`level=WARN msg="the glass was broken" tickets=[INC-4711] allowed=true reason=granted operation=ReadAccount ` +
				`waived="[not_owner:account break_glass]" subject=k1.p decision=00000000-0000-0000-0000-000000000000`,
		},
		"refused for something else": {authz.Decision{Reason: authz.PolicyDenied, Verdict: refused}, "tickets=[INC-4711] allowed=false reason=frozen"},
		"whole":                      {authz.Decision{Allowed: true, Reason: authz.Granted, Verdict: authz.Verdict{Waived: []string{"permission"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			got := TellBreakGlass(&fakeChecker{decision: c.decision}, slog.New(slog.NewTextHandler(&log, nil))).Check(t.Context(), &authz.Request{})
			if !reflect.DeepEqual(got, c.decision) {
				t.Errorf("Check() = %v, want it unchanged", got)
			}
			if !strings.Contains(log.String(), c.want) || c.want == "" && log.Len() > 0 {
				t.Errorf("log %q, want %q", log.String(), c.want)
			}
		})
	}
}
