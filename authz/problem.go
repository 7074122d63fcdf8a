package authz

import (
	"errors"
	"fmt"
	"slices"
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

// Under returns the problems as those of the value at key, whose own keys are relative
// to it.
func (p Problems) Under(key string) Problems {
	under := slices.Clone(p)
	for i := range under {
		under[i].Key = strings.Trim(key+"."+under[i].Key, ".")
	}
	return under
}

// ProblemsOf takes the problems out of an error; nil has none, and an error of another
// kind is one.
func ProblemsOf(err error) Problems {
	var problems Problems
	if err == nil || errors.As(err, &problems) {
		return problems
	}
	return Problems{{What: err.Error()}}
}

// Err is nil where there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
