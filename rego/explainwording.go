package rego

import (
	"cmp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// wording is a policy as people wrote it: what is compiled has other names and more
// lines.
type wording struct {
	rules map[spot]*writtenRule
	// conditions are those of each file, outer ones before what stands in them.
	conditions map[string][]*ast.Expr
	// constants are the texts in it.
	constants map[string]bool
}

type writtenRule struct {
	rule          *ast.Rule
	role          Role
	title, reason string
}

// wordingOf indexes modules as they were parsed.
func wordingOf(modules map[string]*ast.Module, decision ast.Ref) *wording {
	w := &wording{rules: map[spot]*writtenRule{}, conditions: map[string][]*ast.Expr{}, constants: map[string]bool{}}
	for _, module := range modules {
		for _, rule := range module.Rules {
			title := titleOf(rule)
			for each := rule; each != nil; each = each.Else {
				w.rules[spotOf(each)] = &writtenRule{rule: each, role: roleOf(each, decision), title: title, reason: declaredReason(rule)}
				ast.WalkExprs(each.Body, func(expr *ast.Expr) bool {
					w.conditions[expr.Location.File] = append(w.conditions[expr.Location.File], expr)
					return false
				})
			}
		}
		w.inherit(module)
		ast.WalkTerms(module, func(term *ast.Term) bool {
			if text, ok := term.Value.(ast.String); ok {
				w.constants[string(text)] = true
			}
			return false
		})
	}
	return w
}

// inherit has rules that give a reason that another of the same name declares be of the
// same title: METADATA stands above the first alone.
func (w *wording) inherit(module *ast.Module) {
	declared := map[string]*writtenRule{}
	for _, rule := range module.Rules {
		if told := w.rules[spotOf(rule)]; told.reason != "" && declared[rule.Head.Ref().GroundPrefix().String()+" "+told.reason] == nil {
			declared[rule.Head.Ref().GroundPrefix().String()+" "+told.reason] = told
		}
	}
	for _, rule := range module.Rules {
		told := w.rules[spotOf(rule)]
		if told.reason != "" || rule.Head.Key == nil {
			continue
		}
		code := codeOf(rule.Head.Key.Value)
		if first := declared[rule.Head.Ref().GroundPrefix().String()+" "+code]; first != nil {
			told.reason, told.title = code, cmp.Or(told.title, first.title)
		} else if told.role == Denies || told.role == Waives {
			told.reason = code
		}
	}
}

func (s spot) compare(other spot) int {
	return cmp.Or(cmp.Compare(s.file, other.file), cmp.Compare(s.row, other.row), cmp.Compare(s.col, other.col))
}

func titleOf(rule *ast.Rule) string {
	for _, annotations := range rule.Annotations {
		if annotations.Title != "" {
			return annotations.Title
		}
	}
	return ""
}

var (
	standardGranted   = ast.MustParseRef("data.countersign.standard.granted")
	standardWaived    = ast.MustParseRef("data.countersign.standard.waived")
	standardSatisfied = ast.MustParseRef("data.countersign.standard.satisfied")
)

func roleOf(rule *ast.Rule, decision ast.Ref) Role {
	switch ref := rule.Ref().GroundPrefix(); {
	case ref.Equal(decision), ref.Equal(standardVerdict):
		return Decides
	case ref.HasPrefix(siteDeny):
		return Denies
	case ref.HasPrefix(siteWaive), ref.HasPrefix(standardWaived) && !reads(rule, siteWaive):
		return Waives
	case ref.HasPrefix(standardGranted):
		return Grants
	case ref.HasPrefix(standardSatisfied):
		return Satisfies
	}
	return ""
}

// reads reports a rule whose conditions have a reference: it hands on what others give.
func reads(rule *ast.Rule, ref ast.Ref) bool {
	found := false
	ast.WalkRefs(rule.Body, func(read ast.Ref) bool {
		found = found || read.HasPrefix(ref)
		return found
	})
	return found
}

// condition is the innermost that was written where a compiled expression comes from, or
// nil.
func (w *wording) condition(at *ast.Location) *ast.Expr {
	if at == nil {
		return nil
	}
	for _, expr := range slices.Backward(w.conditions[at.File]) {
		if l := expr.Location; l.Offset <= at.Offset && at.Offset+len(at.Text) <= l.Offset+len(l.Text) {
			return expr
		}
	}
	return nil
}

// maxText is how much of a condition is told.
const maxText = 160

// inLine is Rego in one line.
func inLine(text []byte) string {
	line := strings.Join(strings.Fields(string(text)), " ")
	if len(line) > maxText {
		line = strings.ToValidUTF8(line[:maxText], "") + " …"
	}
	return line
}
