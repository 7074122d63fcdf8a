package rego

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"

	"github.com/countersign-io/countersign/authz"
)

// Coverage is which lines of a site's policy its tests come to. The library and the tests
// themselves do not count.
type Coverage struct {
	// Percent of the lines that can be come to; 100 where there are none.
	Percent float64
	Files   []FileCoverage
	// Untold are the reasons that no test has a rule give, or a waiver lift.
	Untold authz.Problems
}

// FileCoverage is one file's.
type FileCoverage struct {
	File            string
	Covered, Missed int
	// Gaps are the lines that no test comes to, first and last of each run.
	Gaps [][2]int
}

func (s *source) coverage(covered *cover.Cover) *Coverage {
	modules := map[string]*ast.Module{}
	for name, module := range s.modules {
		if !isLibrary(name) && !isTest(name) {
			modules[name] = module
		}
	}
	report := covered.Report(modules)
	told := &Coverage{Percent: 100}
	lines, missed := 0, 0
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		found := report.Files[name]
		told.Files = append(told.Files, FileCoverage{
			File: s.file(name), Covered: found.CoveredLines, Missed: found.NotCoveredLines, Gaps: gaps(found),
		})
		missed += found.NotCoveredLines
		lines += found.CoveredLines + found.NotCoveredLines
		told.Untold = append(told.Untold, s.untold(modules[name], found)...)
	}
	if lines > 0 {
		told.Percent = 100 * float64(lines-missed) / float64(lines)
	}
	return told
}

func gaps(file *cover.FileReport) [][2]int {
	var gaps [][2]int
	for _, missed := range file.NotCovered {
		first, last := missed.Start.Row, missed.End.Row
		if n := len(gaps); n > 0 && first <= gaps[n-1][1]+1 {
			gaps[n-1][1] = max(gaps[n-1][1], last)
			continue
		}
		gaps = append(gaps, [2]int{first, last})
	}
	return gaps
}

// untold finds the rules with a reason, or a waiver, whose head no test came to: their
// conditions never held.
func (s *source) untold(module *ast.Module, file *cover.FileReport) authz.Problems {
	var untold authz.Problems
	for _, rule := range module.Rules {
		said, at := sayingOf(rule), rule.Head.Location
		code, does := cmp.Or(said.code, said.declared), "give the reason"
		if said.hook == "waive" {
			does = "lift"
		}
		head := cover.Position{Row: at.Row, Col: at.Col}
		if code != "" && slices.ContainsFunc(file.NotCovered, func(r cover.Range) bool { return r.Start == head }) {
			untold = append(untold, s.problem(at, fmt.Sprintf("no test has this rule %s %q", does, code), "write one in which its conditions hold"))
		}
	}
	return untold
}
