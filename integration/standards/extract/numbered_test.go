package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNumbered has the forms that a document numbers its rules in, and what only looks
// like them.
func TestNumbered(t *testing.T) {
	const document = `# Rules
P1 B1 before all sections
## 1. What a proxy does
1. first
2. second, as in 3. no more
## 2. Where
- B1 here
- B2 there. B3 and there
 B4 not at the beginning
## 5. Bound
- M1 one. M2 two, M3 none
## 6. Proofs
| # | Check |
|---|---|
|1| one |
|12a| two |
- D13 not in the table
## 9. Elsewhere
- B9 not here
`
	if diff := cmp.Diff([]string{"P1", "P2", "B1", "B2", "B3", "M1", "M2", "D1", "D12a"}, numbered(document)); diff != "" {
		t.Errorf("numbered() (-want +got):\n%s", diff)
	}
}
