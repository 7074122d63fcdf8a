package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/countersign-io/countersign/authz"
	steps "github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/authz/token/checks"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/rego"
)

// explanation is what explain tells.
type explanation struct {
	Allowed bool `json:"allowed"`
	Status  int  `json:"status"`
	// Reason is Countersign's own code, and PolicyReason the policy's, or "".
	Reason       string `json:"reason"`
	PolicyReason string `json:"policy_reason,omitempty"`
	// RefusedBy is the step that refused, or "".
	RefusedBy string `json:"refused_by,omitempty"`
	lifted
	// Sentence is why, to a person.
	Sentence string `json:"sentence"`
	// Check is what refused, where that is no rule of the policy.
	Check *checkSeen `json:"check,omitempty"`
	// Policy is what its rules said, where it was asked.
	Policy   *rego.Explanation `json:"policy,omitempty"`
	Time     time.Time         `json:"time"`
	Revision string            `json:"revision"`
	Request  []fact            `json:"request"`
	Steps    []stepTold        `json:"steps"`
	// Answer is what the caller is told; an allowed one is told what the upstream says.
	Answer []fact `json:"answer,omitempty"`
	// Notes are what else the operator should know.
	Notes []string `json:"notes,omitempty"`

	// code is the policy's where it gave one, else Countersign's.
	code string
	// caller is who called, in a few words, or "".
	caller string
}

// checkSeen is a check that refused: what it looked at and saw, and what is expected.
type checkSeen struct {
	Step    string   `json:"step"`
	Section string   `json:"section"`
	Rules   []string `json:"rules,omitempty"`
	Looked  string   `json:"looked"`
	Expects string   `json:"expects"`
	Saw     []fact   `json:"saw,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Change  string   `json:"change"`
}

type fact struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

type stepTold struct {
	Step    string `json:"step"`
	Outcome string `json:"outcome"`
	Facts   []fact `json:"facts,omitempty"`
}

func describe(e *steps.Explanation, answer envoy.Answer) *explanation {
	d := &e.Decision
	told := &explanation{
		Allowed: d.Allowed, Status: answer.Status, Reason: d.Reason.String(), PolicyReason: d.Verdict.Reason,
		RefusedBy: e.Refusing(), Time: e.Time.UTC(), Revision: d.Revision, Request: factsOf(e.Request), code: d.Code(), lifted: ofFacts(e),
	}
	for _, step := range e.Steps {
		told.Steps = append(told.Steps, stepTold{Step: step.Name, Outcome: step.Outcome.String(), Facts: factsOf(step.Facts)})
	}
	told.Check, told.caller, told.Sentence = checkOf(e), callerOfFacts(e), d.Reason.Title()
	if !d.Allowed {
		told.Answer = answerFacts(e, answer)
	}
	return told
}

// checkOf is the check that refused; the token command tells those of a token in the same
// words.
func checkOf(e *steps.Explanation) *checkSeen {
	if e.Check == nil {
		return nil
	}
	c := e.Check
	seen := &checkSeen{Step: c.Step, Section: c.Section, Looked: c.Looked, Expects: c.Expects, Saw: factsOf(c.Saw), Detail: e.Hide(e.Decision.Detail), Change: c.Change}
	seen.ofToken(e.Decision)
	return seen
}

// ofToken takes the words of a token's check, where it is one that refused.
func (c *checkSeen) ofToken(d authz.Decision) {
	if c.Step != "token" && c.Step != "certificate" && c.Step != "revocation" {
		return
	}
	if failure := checks.Find(d); failure != nil {
		c.Section, c.Rules, c.Expects, c.Change = failure.Check.Section, failure.Check.Rules, failure.Check.What, failure.Advice
	}
}

func callerOfFacts(e *steps.Explanation) string {
	if e.Facts == nil || e.Facts.Token == nil {
		return ""
	}
	caller := e.Facts.Token.Caller
	return e.Hide(strings.TrimSpace(fmt.Sprintf("%s %s", caller.Kind, caller.Subject)) + ", by the client " + string(caller.Client))
}

func factsOf(facts []steps.Fact) []fact {
	told := make([]fact, len(facts))
	for i, f := range facts {
		told[i] = fact(f)
	}
	return told
}

// answerFacts are the caller's answer. Of a problem document the code and title are told:
// the decision's id in it is of a decision that nobody recorded.
func answerFacts(e *steps.Explanation, answer envoy.Answer) []fact {
	told := []fact{{"status", []string{strconv.Itoa(answer.Status)}}}
	for _, field := range answer.Headers {
		if !steps.IsCredential(field.Name) {
			told = append(told, fact{field.Name, []string{e.Hide(field.Value)}})
		}
	}
	var problem struct{ Code, Title string }
	if json.Unmarshal([]byte(answer.Body), &problem) == nil && problem.Code == e.Decision.Code() {
		return append(told, fact{"code", []string{problem.Code}}, fact{"title", []string{problem.Title}})
	}
	if answer.Body != "" {
		told = append(told, fact{"body", []string{e.Hide(answer.Body)}})
	}
	return told
}

func (e *explanation) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}

// verdict is the first and the last line.
func (e *explanation) verdict() string {
	if e.Allowed {
		return e.allowed()
	}
	return fmt.Sprintf("DENIED  %d %s, by the step %q", e.Status, e.code, e.RefusedBy)
}

// write tells it to a person: why, or all that is known.
func (e *explanation) write(to io.Writer, all bool) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n%s\n\n", e.verdict(), visible(e.Sentence))
	if !all {
		e.writeWhy(table)
		return table.Flush()
	}
	writeFacts(table, "", append(e.Request, fact{"time", []string{e.Time.Format(time.RFC3339)}}, fact{"revision", []string{e.Revision}}))
	e.writeNotes(table)
	fmt.Fprintln(table)
	for _, step := range e.Steps {
		writeStep(table, step)
	}
	if e.Check != nil {
		fmt.Fprintf(table, "\nwhat refused\n")
		e.Check.write(table)
	}
	if e.Policy != nil {
		fmt.Fprintf(table, "\nthe policy's rules\n")
		writeRules(table, e.Policy)
	}
	if len(e.Answer) > 0 {
		fmt.Fprintf(table, "\nthe caller is answered\n")
		writeFacts(table, "  ", e.Answer)
	}
	fmt.Fprintf(table, "\n%s\n", e.verdict())
	return table.Flush()
}

func (e *explanation) writeNotes(to io.Writer) {
	for _, note := range e.Notes {
		fmt.Fprintf(to, "\n%s\n", note)
	}
}

// writeWhy tells what a person asks first.
func (e *explanation) writeWhy(to io.Writer) {
	facts := e.Request[:min(1, len(e.Request))]
	if e.caller != "" {
		facts = append(facts[:len(facts):len(facts)], fact{"caller", []string{e.caller}})
	}
	writeFacts(to, "", slices.Concat(facts, e.notEnforced()))
	e.writeNotes(to)
	fmt.Fprintln(to)
	switch {
	case e.Check != nil:
		e.Check.write(to)
		switch {
		case e.Policy == nil:
		case e.Policy.Stopped != nil:
			writeStopped(to, e.Policy)
		case e.Reason == authz.PolicyError.String():
			fmt.Fprintln(to)
			writeWhy(to, e.Policy, false)
		}
	case e.Policy != nil:
		e.writeWhyOf(to, e.Policy, e.Allowed)
	}
	fmt.Fprintf(to, "\n--all tells every step and every rule\n")
}

// notEnforced are what the steps say of what refuses nothing.
func (e *explanation) notEnforced() []fact {
	var facts []fact
	for _, step := range e.Steps {
		for _, f := range step.Facts {
			if f.Name == "observed" || f.Name == "break glass" {
				facts = append(facts, f)
			}
		}
	}
	return facts
}

// write tells a check, a line for each thing.
func (c *checkSeen) write(to io.Writer) {
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(to, "  %s\t%s\n", name, visible(text))
		}
	}
	line("section", c.Section)
	line("looked at", c.Looked)
	line("expected", c.Expects)
	for _, saw := range c.Saw {
		fmt.Fprintf(to, "  saw %s\t%s\n", visible(saw.Name), saw.list())
	}
	line("detail", c.Detail)
	line("to do", c.Change)
}

// writeFacts has the facts whose value is one text.
func writeFacts(to io.Writer, margin string, facts []fact) {
	for _, f := range facts {
		fmt.Fprintf(to, "%s%s\t%s\n", margin, f.Name, visible(strings.Join(f.Values, ", ")))
	}
}

// writeStep has the step's name and outcome beside its first fact.
func writeStep(to io.Writer, step stepTold) {
	name, outcome := step.Step, step.Outcome
	if len(step.Facts) == 0 {
		fmt.Fprintf(to, "%s\t%s\n", name, outcome)
	}
	for _, f := range step.Facts {
		fmt.Fprintf(to, "%s\t%s\t", name, outcome)
		f.write(to)
		name, outcome = "", ""
	}
}

func (f fact) write(to io.Writer) { fmt.Fprintf(to, "%s\t%s\n", visible(f.Name), f.list()) }

// Limits on what is shown of one fact.
const (
	maxValues = 20
	maxShown  = 300
)

// list shows values apart: what could be taken for two of them is quoted.
func (f fact) list() string {
	var values []string
	for i, value := range f.Values {
		if i == maxValues {
			values = append(values, fmt.Sprintf("and %d more", len(f.Values)-i))
			break
		}
		if strings.Contains(value, ", ") || strings.Contains(value, `"`) {
			value = strconv.Quote(shortened(value))
		} else {
			value = visible(value)
		}
		values = append(values, value)
	}
	return strings.Join(values, ", ")
}

// visible is a text as it may stand on a terminal: what could move the cursor or hide
// itself is quoted.
func visible(text string) string {
	text = shortened(text)
	unseen := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.ContainsFunc(text, unseen) || strings.TrimSpace(text) != text {
		return strconv.Quote(text)
	}
	return text
}

func shortened(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
