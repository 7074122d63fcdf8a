package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	steps "github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/envoy"
)

// explanation is what explain tells.
type explanation struct {
	Allowed bool `json:"allowed"`
	Status  int  `json:"status"`
	// Reason is Countersign's own code, and PolicyReason the policy's, or "".
	Reason       string `json:"reason"`
	PolicyReason string `json:"policy_reason,omitempty"`
	// RefusedBy is the step that refused, or "".
	RefusedBy string     `json:"refused_by,omitempty"`
	Time      time.Time  `json:"time"`
	Revision  string     `json:"revision"`
	Request   []fact     `json:"request"`
	Steps     []stepTold `json:"steps"`
	// Answer is what the caller is told; an allowed one is told what the upstream says.
	Answer []fact `json:"answer,omitempty"`
	// Notes are what else the operator should know.
	Notes []string `json:"notes,omitempty"`

	// code is the policy's where it gave one, else Countersign's.
	code string
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
		RefusedBy: e.Refusing(), Time: e.Time.UTC(), Revision: d.Revision, Request: factsOf(e.Request), code: d.Code(),
	}
	for _, step := range e.Steps {
		told.Steps = append(told.Steps, stepTold{Step: step.Name, Outcome: step.Outcome.String(), Facts: factsOf(step.Facts)})
	}
	if !d.Allowed {
		told.Answer = answerFacts(e, answer)
	}
	return told
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
		return "ALLOWED"
	}
	return fmt.Sprintf("DENIED  %d %s, by the step %q", e.Status, e.code, e.RefusedBy)
}

// write tells it to a person.
func (e *explanation) write(to io.Writer) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n\n", e.verdict())
	writeFacts(table, "", append(e.Request, fact{"time", []string{e.Time.Format(time.RFC3339)}}, fact{"revision", []string{e.Revision}}))
	for _, note := range e.Notes {
		fmt.Fprintf(table, "\n%s\n", note)
	}
	fmt.Fprintln(table)
	for _, step := range e.Steps {
		writeStep(table, step)
	}
	if len(e.Answer) > 0 {
		fmt.Fprintf(table, "\nthe caller is answered\n")
		writeFacts(table, "  ", e.Answer)
	}
	fmt.Fprintf(table, "\n%s\n", e.verdict())
	return table.Flush()
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
