package standards

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// proof of a rule: what is asked, and the reason that it is answered for; Granted is an
// allow.
type proofOf struct {
	rule, name string
	want       authz.Reason
	run        func(t *testing.T, w *world)
}

// variant is a good request with changes: none or harmless ones if it is accepted, one
// thing that is wrong if it is refused.
type variant struct {
	name    string
	want    authz.Reason
	changes []change
	// told are header fields of the answer, "name: value"; of those with the names of
	// the ones listed there are no others. "no name" is one that must not be there.
	told []string
}

func good(name string, changes ...change) variant {
	return variant{name: name, want: authz.Granted, changes: changes}
}

func bad(name string, want authz.Reason, changes ...change) variant {
	return variant{name: name, want: want, changes: changes}
}

// tells has the answer looked at, too.
func (v variant) tells(told ...string) variant {
	v.told = told
	return v
}

// asItIs names the case of a good request.
const asItIs = "as it should be"

// rule has a good request, which is accepted as it stands, and variants of it.
func rule(id string, twin func(*world) *ask, variants ...variant) []proofOf {
	var proofs []proofOf
	for _, v := range append([]variant{good(asItIs)}, variants...) {
		proofs = append(proofs, proofOf{rule: id, name: v.name, want: v.want, run: func(t *testing.T, w *world) {
			a := twin(w)
			for _, each := range v.changes {
				each(a)
			}
			decision, answer := a.send(t)
			if decision.Reason != v.want || decision.Allowed != (v.want == authz.Granted) {
				t.Errorf("%s (%s), want %s", decision.Reason, decision.Detail, v.want)
			}
			if answer.Status != v.want.Status() {
				t.Errorf("status %d, want %d", answer.Status, v.want.Status())
			}
			wantTold(t, answer.Headers, v.told)
		}})
	}
	return proofs
}

func wantTold(t *testing.T, headers []authz.Header, want []string) {
	t.Helper()
	names := map[string]bool{}
	var lines, got []string
	for _, line := range want {
		if name, absent := strings.CutPrefix(line, "no "); absent {
			names[name] = true
			continue
		}
		name, _, _ := strings.Cut(line, ":")
		names[name], lines = true, append(lines, line)
	}
	for _, field := range headers {
		if names[field.Name] {
			got = append(got, field.Name+": "+field.Value)
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(lines)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// allProofs are those of every file here.
func allProofs() []proofOf {
	return slices.Concat(
		credentialProofs(), answerProofs(), tokenProofs(), signatureProofs(), certificateProofs(), proxyProofs(),
		possessionProofs(), roleProofs(), stepUpProofs(), detailProofs(), actorProofs(), keySetProofs(), profileProofs(),
	)
}

// TestRules asks every case.
func TestRules(t *testing.T) {
	w := newWorld(t)
	for _, each := range allProofs() {
		t.Run(each.rule+" "+each.name, func(t *testing.T) { each.run(t, w) })
	}
}
