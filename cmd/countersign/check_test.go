package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadIsToldInLinesThatFit has more of one key than a line holds.
func TestReadIsToldInLinesThatFit(t *testing.T) {
	paths := []string{"input.caller.kind", "input.caller.roles"}
	for i := range 12 {
		paths = append(paths, fmt.Sprintf("input.token.claims.number%02d", i))
	}
	paths = append(paths, "input.objects")
	want := `the policy reads
  input.caller: kind, roles
  input.token: claims.number00, claims.number01, claims.number02, claims.number03, claims.number04,
    claims.number05, claims.number06, claims.number07, claims.number08, claims.number09,
    claims.number10, claims.number11
  input.objects
`
	if diff := cmp.Diff(want, read(paths)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range strings.Lines(read(paths)) {
		if len(line) > width+1 {
			t.Errorf("%d letters: %s", len(line), line)
		}
	}
	if got := read(paths[:2]); got != "the policy reads input.caller.kind, input.caller.roles\n" {
		t.Errorf("what fits one line is told as %q", got)
	}
}
