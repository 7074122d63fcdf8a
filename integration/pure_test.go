package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego"
)

// repeating decides as its first engine does, and holds that the same is decided a second
// time, by an engine that was made anew of the same files, and on what was kept.
type repeating struct {
	t       *testing.T
	engines [2]*rego.Engine
	decided int
}

func (r *repeating) Decide(ctx context.Context, facts *authz.Facts) (authz.Verdict, error) {
	r.decided++
	verdict, err := r.engines[0].Decide(ctx, facts)
	want := r.told(verdict, err)
	for i, engine := range r.engines {
		if got := r.told(engine.Decide(ctx, facts)); !bytes.Equal(got, want) {
			r.t.Errorf("decided %s, and by engine %d then %s", want, i, got)
		}
	}
	for _, everything := range []bool{false, true} {
		input, keptErr := r.engines[0].Inputs(everything).Input(facts)
		if keptErr != nil {
			r.t.Errorf("what is decided on is not kept: %v", keptErr)
			continue
		}
		if got := r.told(r.engines[1].Replay(ctx, *input, facts.Time, facts.ID)); !bytes.Equal(got, want) {
			r.t.Errorf("decided %s, and on what was kept (whole: %v) %s", want, everything, got)
		}
	}
	return verdict, err
}

func (r *repeating) told(verdict authz.Verdict, err error) []byte {
	text, faulty := json.Marshal(verdict)
	if faulty != nil {
		r.t.Error(faulty)
	}
	return fmt.Appendf(text, " %v", err)
}

// TestStoriesAreDecidedTheSameAgain decides on every story's facts again, byte for byte
// the same, also after a restart and from what the record would keep.
func TestStoriesAreDecidedTheSameAgain(t *testing.T) {
	b, system := openSystem(t)
	next, err := system.Prepare(system.Config)
	if err != nil {
		t.Fatal(err)
	}
	policy := &repeating{}
	for i := range policy.engines {
		if policy.engines[i], err = rego.New(system.Config.Policy); err != nil {
			t.Fatal(err)
		}
	}
	next.Snapshot.Policy = policy
	system.Pipeline.Load(next.Snapshot)
	nonce := nonceOf(t, system)
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			request, err := story.Request(b, nonce)
			if err != nil {
				t.Fatal(err)
			}
			policy.t = t
			for range 1 + story.Ask.Before {
				system.Pipeline.Check(t.Context(), request)
			}
		})
	}
	if policy.decided < 40 {
		t.Errorf("the policy decided %d times, want 40 at least", policy.decided)
	}
}
