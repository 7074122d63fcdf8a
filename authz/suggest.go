package authz

import (
	"fmt"
	"strings"
)

// maxListed is how many names are worth reading in one line.
const maxListed = 12

// Suggest is the Fix for a name that is not one of those known: the one that was
// likely meant, or all of them.
func Suggest(name string, known []string) string {
	closest, best := "", nearest
	for _, candidate := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d <= best && d < len(candidate) {
			closest, best = candidate, d-1
		}
	}
	switch {
	case closest != "":
		return fmt.Sprintf("did you mean %q?", closest)
	case len(known) == 0:
		return "there is none"
	case len(known) > maxListed:
		return fmt.Sprintf("known are %s and %d more", strings.Join(known[:maxListed], ", "), len(known)-maxListed)
	}
	return "known are " + strings.Join(known, ", ")
}

// nearest is how many letters a misspelt name may be off.
const nearest = 2

// Near reports a name that was likely meant to be the known one, or is.
func Near(name, known string) bool {
	return distance(strings.ToLower(name), strings.ToLower(known)) <= nearest
}

// distance is the number of bytes to insert, delete or replace to make a of b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(above+1, row[j]+1, cost)
			diagonal = above
		}
	}
	return row[len(b)]
}
