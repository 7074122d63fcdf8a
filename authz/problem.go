package authz

import (
	"fmt"
	"strings"
)

// Problem is one fault in what an operator wrote: where it is, what is wrong, and
// what to do.
type Problem struct {
	// File and Line may be "" and 0 where only Key is known yet.
	File string
	Line int
	// Key is the path to the faulty value, such as "issuers[0].jwks.url".
	Key string
	// What is wrong, and Fix what to do: each half a sentence, lower case.
	What, Fix string
}

// Error is one line: "file:line: key: what; fix".
func (p Problem) Error() string {
	var text strings.Builder
	if p.File != "" {
		text.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&text, ":%d", p.Line)
		}
		text.WriteString(": ")
	}
	if p.Key != "" {
		text.WriteString(p.Key + ": ")
	}
	text.WriteString(p.What)
	if p.Fix != "" {
		text.WriteString("; " + p.Fix)
	}
	return text.String()
}

// Problems are all faults found in one go.
type Problems []Problem

// Error has a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Add appends a problem of the value at key.
func (p *Problems) Add(key, what, fix string) {
	*p = append(*p, Problem{Key: key, What: what, Fix: fix})
}

// Err is nil where there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
