package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxWays is in how many ways a role may come to what it inherits: each is gone for each
// decision.
const maxWays = 1000

// names takes note of the roles that there are, those that only inherit among them, and
// of what a role or a client is permitted.
func (t *tableReader) names(roles, access any) {
	note := each(func(t *tableReader, _, permission string) { t.permissions = append(t.permissions, permission) })
	if roles != nil {
		t.roles = t.keys("roles", roles)
		objectOf(note)(t, "roles", roles)
	}
	tables, _ := access.(map[string]any)
	heirs, _ := tables["inherits"].(map[string]any)
	t.roles = append(t.roles, slices.Sorted(maps.Keys(heirs))...)
	issuers, _ := tables["clients"].(map[string]any)
	for _, issuer := range issuers {
		clients, _ := issuer.(map[string]any)
		for _, permitted := range clients {
			t.permissions = append(t.permissions, textsIn(permitted)...)
		}
	}
}

// inherit reads who inherits what: roles that there are, and never themselves.
func (t *tableReader) inherit(key string, value any) {
	t.inherits = map[string][]string{}
	heirs := t.keys(key, value)
	for _, heir := range heirs {
		inherited := value.(map[string]any)[heir]
		each((*tableReader).knownRole)(t, key+"."+heir, inherited)
		t.inherits[heir] = textsIn(inherited)
	}
	ways := map[string]int{}
	for _, heir := range heirs {
		switch t.ways(heir, nil, ways) {
		case inCircle:
			return
		case maxWays:
			t.problems.Add(key+"."+heir, fmt.Sprintf("comes to what it inherits in more than %d ways", maxWays),
				"have roles inherit the nearest alone")
			return
		}
	}
}

// inCircle is the number of ways where there is no end of them.
const inCircle = -1

// ways is in how many ways a role comes to others, at most maxWays.
func (t *tableReader) ways(role string, above []string, known map[string]int) int {
	if slices.Contains(above, role) {
		circle := append(slices.Clone(above[slices.Index(above, role):]), role)
		t.problems.Add("access.inherits."+role, "inherits itself: "+strings.Join(circle, ", "), "take one of these out")
		return inCircle
	}
	if n, done := known[role]; done {
		return n
	}
	n := 1
	for _, next := range t.inherits[role] {
		more := t.ways(next, append(above, role), known)
		if more == inCircle {
			return inCircle
		}
		n = min(n+more, maxWays)
	}
	known[role] = n
	return n
}

func textsIn(value any) []string {
	list, _ := value.([]any)
	var texts []string
	for _, item := range list {
		if text, ok := item.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}
