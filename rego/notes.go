package rego

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// notes is what is no fault of a policy, and was likely not meant.
func (s *source) notes(decision ast.Ref, reach *reach) authz.Problems {
	var notes authz.Problems
	if at := reach.whole; at != nil {
		notes = append(notes, s.problem(at, "all of the input is read here, and is built for every request",
			"pass a part of it, such as input.caller, or read the key where it is needed"))
	}
	waivable := s.waivable()
	for _, rule := range s.rules() {
		said := sayingOf(rule)
		if at, fact := negation(rule); said.hook == "deny" && at != nil {
			notes = append(notes, s.problem(at, "where "+fact.String()+" is absent this does not hold, and the rule refuses nothing",
				"ask it in a rule of its own, and deny if not that rule"))
		}
		if said.hook == "" && said.declared == "" {
			continue
		}
		if !reach.rules[spotOf(rule)] {
			notes = append(notes, s.problem(rule.Location, "no decision comes to this rule: "+decision.String()+" does not read it",
				"take the library's decision into your own, or take the rule away"))
		}
		if what, fix := said.fault(rule, waivable); what != "" {
			notes = append(notes, s.problem(rule.Location, what, fix))
		}
	}
	inOrder(notes)
	return notes
}

// rules are the site's, tests left out.
func (s *source) rules() []*ast.Rule {
	var rules []*ast.Rule
	for name, module := range s.modules {
		if !isLibrary(name) && !isTest(name) {
			rules = append(rules, module.Rules...)
		}
	}
	return rules
}

// spot is where a rule stands: the compiler has copies of the rules that were parsed.
type spot struct {
	file string
	row  int
	col  int
}

func spotOf(rule *ast.Rule) spot {
	return spot{rule.Location.File, rule.Location.Row, rule.Location.Col}
}

// saying is what a rule tells of reasons.
type saying struct {
	// hook is deny or waive, or "" for a rule of another name.
	hook string
	// code is what the hook gives, "" where it is not constant.
	code string
	// declared is METADATA's custom.reason, or "".
	declared string
}

func sayingOf(rule *ast.Rule) saying {
	said := saying{declared: declaredReason(rule)}
	switch ref := rule.Ref().GroundPrefix(); {
	case ref.HasPrefix(siteDeny):
		said.hook = "deny"
	case ref.HasPrefix(siteWaive):
		said.hook = "waive"
	default:
		return said
	}
	if key := rule.Head.Key; key != nil {
		said.code = codeOf(key.Value)
	}
	return said
}

// codeOf is a constant code: "code" or {"code": …}.
func codeOf(value ast.Value) string {
	switch value := value.(type) {
	case ast.String:
		return string(value)
	case ast.Object:
		if keys := value.Keys(); len(keys) == 1 {
			return codeOf(keys[0].Value)
		}
	}
	return ""
}

func declaredReason(rule *ast.Rule) string {
	for _, annotations := range rule.Annotations {
		if reason, ok := annotations.Custom["reason"].(string); ok {
			return reason
		}
	}
	return ""
}

// fault says what of a rule's reason is not as it is declared, or has no effect.
func (s saying) fault(rule *ast.Rule, waivable []string) (what, fix string) {
	declare := fmt.Sprintf("write # custom: {reason: %s} in the METADATA above it", s.code)
	switch {
	case s.hook == "waive" && slices.Contains(unwaivable, s.code):
		return fmt.Sprintf("%q cannot be waived, so that this lifts nothing", s.code), "remove it"
	case s.hook == "waive" && s.code != "" && !slices.Contains(waivable, s.code):
		return fmt.Sprintf("nothing requires %q, so that it lifts nothing", s.code), authz.Suggest(s.code, waivable)
	case s.hook == "deny" && s.code != "" && s.declared == "":
		return fmt.Sprintf("the reason %q is not declared", s.code), declare
	case s.declared == "":
		return "", ""
	case s.code != "" && s.code != s.declared:
		return fmt.Sprintf("METADATA declares the reason %q, and the rule says %q", s.declared, s.code), declare
	case s.hook == "" && !says(rule, s.declared):
		return fmt.Sprintf("METADATA declares the reason %q, which the rule never says", s.declared), "declare what the rule says"
	}
	return "", ""
}

// says reports a text in a rule, or in what is else.
func says(rule *ast.Rule, text string) bool {
	found := false
	ast.WalkTerms(rule, func(term *ast.Term) bool {
		found = found || term.Value.Compare(ast.String(text)) == 0
		return found
	})
	return found
}

// unwaivable are the two without which nobody could say what is required, and what
// administrators alone may do.
var unwaivable = []string{"operation", "objects", "admin"}

// waivable are the library's requirements, less the unwaivable.
func (s *source) waivable() []string {
	return slices.DeleteFunc(s.inOrder(), func(name string) bool { return slices.Contains(unwaivable, name) })
}

// inOrder are the library's requirements as they are told.
func (s *source) inOrder() []string { return s.textsOf("standard.rego", "order") }
