package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/rego"
)

// Limits on what is told at a glance; all of it is told with --all, and as JSON.
const (
	maxRefusals = 4
	maxRulesOf  = 4
	maxSeen     = 3
	maxDeep     = 2
	maxCauses   = 6
	maxWide     = 3
	maxBeside   = 100
)

// sentenceOf says in a sentence, beside what the caller is told, what the policy refuses
// for, or allows by.
func sentenceOf(e *rego.Explanation, title string, allowed bool) string {
	if allowed {
		for i := range e.Rules {
			if rule := &e.Rules[i]; rule.Role == rego.Grants && rule.Held {
				return title + " by " + titled(rule.Title, rule.Name)
			}
		}
		return title
	}
	if len(e.Refusals) == 0 {
		return title
	}
	refusal := e.Refusals[0]
	rules := rulesOf(e, refusal)
	switch {
	case len(rules) == 0:
		return title + ", for " + refusal.Code
	case rules[0].Role == rego.Denies:
		return fmt.Sprintf("%s, for %s: %s", title, refusal.Code, titled(rules[0].Title, rules[0].Name))
	}
	return fmt.Sprintf("%s, since %s is not satisfied: %s", title, aboutOf(refusal), titled(rules[0].Title, rules[0].Name))
}

func aboutOf(refusal rego.Refusal) string {
	if refusal.For == "" {
		return refusal.Code
	}
	return refusal.Code + " of " + visible(refusal.For)
}

// writeWhy tells at a glance why a policy decided so: the rules that spoke, and for what
// is refused the first condition that failed.
func writeWhy(to io.Writer, e *rego.Explanation, allowed bool) {
	if allowed {
		writeGrants(to, e)
	} else {
		writeRefusals(to, e)
	}
	writeStopped(to, e)
}

func writeStopped(to io.Writer, e *rego.Explanation) {
	if e.Stopped != nil {
		fmt.Fprintf(to, "it ended at\n")
		writeCondition(to, "  ", e.Stopped, 0)
	}
	if e.Incomplete != "" {
		fmt.Fprintf(to, "not all is told: %s\n", e.Incomplete)
	}
}

// writeGrants tells what an allowed request is allowed by.
func writeGrants(to io.Writer, e *rego.Explanation) {
	spoke := false
	for i := range e.Rules {
		switch rule := &e.Rules[i]; {
		case !rule.Held:
		case rule.Role == rego.Grants:
			spoke = true
			fmt.Fprintf(to, "granted: %s\n", headed(rule))
		case rule.Role == rego.Waives:
			spoke = true
			fmt.Fprintf(to, "waived %s: %s\n", visible(strings.Join(rule.Values, ", ")), headed(rule))
			if !strings.HasPrefix(rule.Name, "data.countersign.standard.") { // whose words are the site's
				writeHeld(to, rule)
			}
		}
	}
	if codes := satisfied(e); len(codes) > 0 && spoke {
		fmt.Fprintf(to, "satisfied: %s\n", strings.Join(codes, ", "))
	}
	if !spoke {
		writeDecision(to, e, true)
	}
}

// satisfied are the requirements of the standard library that stood and were satisfied.
func satisfied(e *rego.Explanation) []string {
	var required, codes []string
	for i := range e.Rules {
		if rule := &e.Rules[i]; rule.Name == "data.countersign.standard.required" {
			required = append(required, rule.Values...)
		}
	}
	for i := range e.Rules {
		rule := &e.Rules[i]
		stood := func(value string) bool { return slices.Contains(required, value) }
		if rule.Role == rego.Satisfies && slices.ContainsFunc(rule.Values, stood) && !slices.Contains(codes, rule.Reason) {
			codes = append(codes, rule.Reason)
		}
	}
	return codes
}

// headed is a rule in a few words, and where it stands.
func headed(rule *rego.ExplainedRule) string {
	return fmt.Sprintf("%s, %s:%d", titled(rule.Title, rule.Name), rule.File, rule.Line)
}

func titled(title, name string) string {
	if title == "" {
		return strings.TrimPrefix(name, "data.")
	}
	return strconv.Quote(title)
}

// writeRefusals tells what is refused, the reason of the answer first.
func writeRefusals(to io.Writer, e *rego.Explanation) {
	told := 0
	for _, refusal := range e.Refusals {
		rules := rulesOf(e, refusal)
		if len(rules) == 0 {
			continue
		}
		if told == maxRefusals {
			fmt.Fprintf(to, "and %d refusals more\n", len(e.Refusals)-told)
			return
		}
		told++
		fmt.Fprintf(to, "%s\n", aboutOf(refusal))
		for _, rule := range rules[:min(len(rules), maxRulesOf)] {
			writeRule(to, rule, refusal)
		}
	}
	if told == 0 {
		writeDecision(to, e, false)
	}
}

// rulesOf are those that a refusal comes from: what denies, what is not satisfied, and
// what came close to waiving it.
func rulesOf(e *rego.Explanation, refusal rego.Refusal) []*rego.ExplainedRule {
	var found, waivers []*rego.ExplainedRule
	for i := range e.Rules {
		rule := &e.Rules[i]
		if rule.Reason != refusal.Code || rule.Role == rego.Decides || rule.Default {
			continue
		}
		switch failures := failuresOf(rule, refusal); {
		case rule.Role == rego.Denies:
			if rule.Held {
				found = append(found, rule)
			}
		case rule.Role == rego.Waives:
			if waivesAnother(rule, refusal) || slices.ContainsFunc(failures, func(f *rego.Failure) bool { return f.Further > 0 }) {
				waivers = append(waivers, rule)
			}
		case len(failures) > 0 || rule.Role == "" && rule.Held:
			found = append(found, rule)
		}
	}
	return append(found, waivers...)
}

// waivesAnother reports a rule that lifts the requirement for other objects than the
// refusal's.
func waivesAnother(rule *rego.ExplainedRule, refusal rego.Refusal) bool {
	return rule.Role == rego.Waives && rule.Held && refusal.For != "" &&
		!slices.ContainsFunc(rule.Values, func(value string) bool { return strings.Contains(value, strconv.Quote(refusal.For)) })
}

// objectsOfRule are those that a rule gives its code for; what is no object stays as it is.
func objectsOfRule(rule *rego.ExplainedRule) string {
	var objects []string
	for _, value := range rule.Values {
		_, object, found := strings.Cut(strings.TrimSuffix(value, "}"), ": ")
		if text, err := strconv.Unquote(object); found && err == nil {
			value = text
		}
		objects = append(objects, value)
	}
	return visible(strings.Join(objects, ", "))
}

// failuresOf are a rule's failures that are about the refusal's object.
func failuresOf(rule *rego.ExplainedRule, refusal rego.Refusal) []*rego.Failure {
	var found []*rego.Failure
	for i := range rule.Failures {
		f := &rule.Failures[i]
		if f.For == "" || refusal.For == "" || strings.Contains(f.For, strconv.Quote(refusal.For)) {
			found = append(found, f)
		}
	}
	return found
}

func writeRule(to io.Writer, rule *rego.ExplainedRule, refusal rego.Refusal) {
	failures := failuresOf(rule, refusal)
	if waivesAnother(rule, refusal) {
		fmt.Fprintf(to, "  waives only %s: %s\n", objectsOfRule(rule), headed(rule))
		return
	}
	if rule.Held && (rule.Role == rego.Denies || len(failures) == 0) {
		fmt.Fprintf(to, "  %s holds, %s:%d\n", titled(rule.Title, rule.Name), rule.File, rule.Line)
		writeHeld(to, rule)
		return
	}
	does := "does not hold"
	if rule.Role == rego.Waives {
		does = "would waive it, and does not hold"
	}
	fmt.Fprintf(to, "  %s %s, %s:%d\n", titled(rule.Title, rule.Name), does, rule.File, rule.Line)
	if len(failures) > 0 {
		writeFailure(to, "    ", failures[0])
	}
}

func writeHeld(to io.Writer, rule *rego.ExplainedRule) {
	for i := range rule.Conditions {
		writeCondition(to, "    ", withoutEvident(rule.Conditions[i]), 1)
	}
}

// withoutEvident is a condition that held without what its own text says: that a
// reference is what it is compared with.
func withoutEvident(c rego.Condition) *rego.Condition {
	c.Saw = slices.DeleteFunc(slices.Clone(c.Saw), func(s rego.Seen) bool {
		return !s.Absent && strings.Contains(c.Text, s.Name+" == "+s.Value)
	})
	return &c
}

// writeDecision tells the rules that decide, where no other stands for the decision.
func writeDecision(to io.Writer, e *rego.Explanation, held bool) {
	for i := range e.Rules {
		rule := &e.Rules[i]
		switch {
		case rule.Role != rego.Decides || rule.Default:
		case rule.Held && (held || len(e.Refusals) == 0):
			fmt.Fprintf(to, "%s holds, %s:%d\n", titled(rule.Title, rule.Name), rule.File, rule.Line)
			if !held {
				fmt.Fprintf(to, "  gives %s\n", visible(strings.Join(rule.Values, ", ")))
			}
			writeHeld(to, rule)
		case !rule.Held && !held:
			fmt.Fprintf(to, "%s does not hold, %s:%d\n", titled(rule.Title, rule.Name), rule.File, rule.Line)
			for n := range rule.Failures[:min(len(rule.Failures), maxRulesOf)] {
				writeFailure(to, "  ", &rule.Failures[n])
			}
		}
	}
}

func writeFailure(to io.Writer, margin string, f *rego.Failure) {
	writeCondition(to, margin, &f.Condition, 0)
	if f.Tried > 1 {
		fmt.Fprintf(to, "%s  so are %d more that were tried\n", margin, f.Tried-1)
	}
}

// writeCondition tells a condition and what it saw: beside it, where there is room.
func writeCondition(to io.Writer, margin string, c *rego.Condition, depth int) {
	line := fmt.Sprintf("%s%s:%d: %s", margin, c.File, c.Line, visible(c.Text))
	saw := sawOf(c.Saw)
	switch {
	case saw == "":
		fmt.Fprintln(to, line)
	case len(line)+len(saw) <= maxBeside:
		fmt.Fprintf(to, "%s   (%s)\n", line, saw)
	default:
		fmt.Fprintf(to, "%s\n%s  (%s)\n", line, margin, saw)
	}
	if depth >= maxDeep {
		return
	}
	if len(c.Because) > maxWide {
		depth = maxDeep - 1 // many, of which each says enough by itself
	}
	for i := range c.Because[:min(len(c.Because), maxCauses)] {
		writeBecause(to, margin+"  ", &c.Because[i], depth+1)
	}
}

func writeBecause(to io.Writer, margin string, b *rego.Because, depth int) {
	switch {
	case b.Held:
		fmt.Fprintf(to, "%sbecause %s holds, %s:%d\n", margin, titled(b.Title, b.Name), b.File, b.Line)
	case b.For != "" && b.Title == "":
		fmt.Fprintf(to, "%sbecause %s lacks %s\n", margin, titled("", b.Name), visible(b.For))
	case b.Name != "":
		fmt.Fprintf(to, "%sbecause %s does not hold\n", margin, titled(b.Title, b.Name))
	}
	if b.Failed != nil {
		writeCondition(to, margin+"  ", b.Failed, depth)
	}
}

func sawOf(seen []rego.Seen) string {
	var told []string
	for _, s := range seen[:min(len(seen), maxSeen)] {
		if s.Absent {
			told = append(told, visible(s.Name)+" is absent")
		} else {
			told = append(told, visible(s.Name)+" = "+visible(s.Value))
		}
	}
	return strings.Join(told, "; ")
}

// writeRules tells every rule, and why it did not hold.
func writeRules(to io.Writer, e *rego.Explanation) {
	for i := range e.Rules {
		rule := &e.Rules[i]
		said := "does not hold"
		switch {
		case rule.Default && rule.Held:
			said = "is the default"
		case rule.Default:
			said = "is the default, and not asked"
		case rule.Held:
			said = "holds"
		}
		fmt.Fprintf(to, "  %s:%d: %s %s\n", rule.File, rule.Line, titled(rule.Title, rule.Name), said)
		if rule.Held && len(rule.Values) > 0 {
			fmt.Fprintf(to, "    gives %s\n", visible(strings.Join(rule.Values, ", ")))
		}
		for n := range rule.Failures {
			writeFailure(to, "    ", &rule.Failures[n])
		}
	}
	writeStopped(to, e)
}
