package console

import (
	"context"
	"log/slog"

	"github.com/countersign-io/countersign/authz"
)

// telling tells of what another Checker decided under broken glass.
type telling struct {
	next authz.Checker
	log  *slog.Logger
}

// TellBreakGlass has the log say, at once and each time, that staff had requirements lifted
// in an emergency: under which ticket, what was lifted, and whether it let them through.
// People stand in it as they do in the record.
func TellBreakGlass(next authz.Checker, log *slog.Logger) authz.Checker {
	return &telling{next: next, log: log}
}

// Check is that of the wrapped Checker.
func (t *telling) Check(ctx context.Context, request *authz.Request) authz.Decision {
	decision := t.next.Check(ctx, request)
	if verdict := &decision.Verdict; len(verdict.BreakGlass) > 0 {
		t.log.Warn("the glass was broken", "tickets", verdict.BreakGlass, "allowed", decision.Allowed, "reason", decision.Code(),
			"operation", decision.OperationID(), "waived", verdict.Waived, "subject", decision.Pseudonym, "decision", decision.ID.String())
	}
	return decision
}
