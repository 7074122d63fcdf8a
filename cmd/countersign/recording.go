package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	steps "github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/authz/token/checks"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// recording is what explain tells of a recorded decision.
type recording struct {
	// Allowed, Status, Reason and PolicyReason are of the record that holds.
	Allowed      bool   `json:"allowed"`
	Status       uint32 `json:"status"`
	Reason       string `json:"reason"`
	PolicyReason string `json:"policy_reason,omitempty"`
	lifted
	// Sentence is why, to a person, and Check what refused where that was no rule.
	Sentence string     `json:"sentence"`
	Check    *checkSeen `json:"check,omitempty"`
	Decision string     `json:"decision"`
	Time     time.Time  `json:"time"`
	Revision string     `json:"revision"`
	// RevisionNow is "" where the configuration is wrong now.
	RevisionNow string `json:"revision_now,omitempty"`
	// Bundles are those that the policy was made of then, if it was of bundles.
	Bundles []authz.Bundle `json:"bundles,omitempty"`
	// Abandoned is whether a later record took back what Record tells.
	Abandoned bool    `json:"abandoned,omitempty"`
	Record    []group `json:"record"`
	// Candidate is the policy that is asked in place of the configuration's, or "".
	Candidate string `json:"candidate,omitempty"`
	askedAgain
	// Shadows are the policies that were tried beside and differed.
	Shadows []*shadowed     `json:"shadows,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
	Notes   []string        `json:"notes,omitempty"`

	// before is what was decided, whether or not it was taken back.
	before *decisionv1.Decision
	// clear has the rules tell what of the input names people.
	clear bool
}

// group are the facts of a record about one thing.
type group struct {
	About string `json:"about"`
	Facts []fact `json:"facts"`
}

// What a policy can say of an input.
const (
	allowed      = "allowed"
	denied       = "denied"
	undetermined = "undetermined"
)

// replayed is what a policy says of a kept input.
type replayed struct {
	Outcome      string   `json:"outcome"`
	Reason       string   `json:"reason,omitempty"`
	PolicyReason string   `json:"policy_reason,omitempty"`
	Refusals     []string `json:"refusals,omitempty"`
	Waived       []string `json:"waived,omitempty"`
	// Observed are the refusals that were observed then, and are therefore now.
	Observed []string `json:"observed,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	// Needs are the facts that were not kept, where it is undetermined.
	Needs []string `json:"needs,omitempty"`
	// Same is whether it is the verdict of then; nil where that is not known.
	Same *bool `json:"same,omitempty"`
}

func remember(found audit.Found, revision string) *recording {
	before, holds := found.Records[0], found.Records[len(found.Records)-1]
	told := &recording{
		Allowed: holds.GetAllowed(), Status: holds.Status, Reason: holds.Reason, PolicyReason: holds.PolicyReason,
		Decision: before.Id, Time: before.Time.AsTime(), Revision: before.Revision, RevisionNow: revision,
		Abandoned: holds.Abandoned, Record: groupsOf(before), before: before, lifted: liftedThen(before),
		askedAgain: askedAgain{whose: "the policy as it is now"},
	}
	told.Check = checkRecorded(holds)
	if reason, known := authz.ReasonNamed(holds.Reason); known {
		told.Sentence = reason.Title()
	}
	for _, b := range before.Bundles {
		told.Bundles = append(told.Bundles, authz.Bundle{Name: b.Name, Revision: b.Revision, Signer: b.Signer})
	}
	if holds.Abandoned {
		told.note("a later record takes back what was decided: it was on disk only after its time was over, and the caller was answered %d %s", holds.Status, holds.Reason)
	}
	for _, shadow := range found.Shadows {
		told.Shadows = append(told.Shadows, shadowedBy(shadow))
	}
	return told
}

// checkRecorded is the check that a record's reason is of, in the words of explain and of
// the token command; nil where the policy had the last word, or nobody knows the reason.
func checkRecorded(record *decisionv1.Decision) *checkSeen {
	reason, known := authz.ReasonNamed(record.Reason)
	if !known || record.Allowed != nil && *record.Allowed {
		return nil
	}
	seen := &checkSeen{Detail: record.Detail}
	if check, is := steps.CheckOf(reason); is {
		seen.Step, seen.Section, seen.Looked, seen.Expects, seen.Change = check.Step, check.Section, check.Looked, check.Expects, check.Change
		return seen
	}
	failure := checks.Find(authz.Decision{Reason: reason, Detail: record.Detail})
	if failure == nil {
		return nil
	}
	seen.Step = "token"
	seen.Section, seen.Rules, seen.Expects, seen.Change = failure.Check.Section, failure.Check.Rules, failure.Check.What, failure.Advice
	return seen
}

func (r *recording) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// as holds what the policy says now against a record; nil where then something else than
// the policy had the last word, or now it says nothing.
func (n *replayed) as(record *decisionv1.Decision) *bool {
	if !policys(record) || n.Outcome == undetermined {
		return nil
	}
	same := n.is(record)
	return &same
}

// policys reports a record in which the policy had the last word.
func policys(record *decisionv1.Decision) bool {
	switch record.Reason {
	case authz.Granted.String(), authz.PolicyDenied.String(), authz.StepUpRequired.String(), authz.PolicyError.String():
		return true
	}
	return false
}

// is reports the verdict of a record.
func (n *replayed) is(record *decisionv1.Decision) bool {
	return n.Reason == reasonThen(record) && n.PolicyReason == record.PolicyReason &&
		sameSet(n.Refusals, record.Refusals) && sameSet(n.Waived, record.Waived) && sameSet(n.Observed, policyObserved(record))
}

// policyObserved are those of a record's observed reasons that are the policy's.
func policyObserved(record *decisionv1.Decision) []string {
	return slices.DeleteFunc(slices.Clone(record.Observed), func(code string) bool {
		reason, _ := authz.ReasonNamed(code)
		return reason.Observable()
	})
}

// observedThen reports a code that the record says was only observed. Of a denial that named
// no reason it says that all was.
func observedThen(record *decisionv1.Decision) func(code string) bool {
	return func(code string) bool {
		if code == authz.ObserveAll {
			code = authz.PolicyDenied.String()
		}
		return slices.ContainsFunc(record.Observed, func(observed string) bool {
			name, _, _ := strings.Cut(observed, ":")
			return name == code
		})
	}
}

// sameSet reports the same names, in whatever order. A record's have identifiers masked,
// which those of a verdict never hold.
func sameSet(a, b []string) bool { return slices.Equal(set(a), set(b)) }

// set has each name once, in order.
func set(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// verdict is the first and the last line.
func (r *recording) verdict() string {
	if r.Allowed {
		return r.allowed()
	}
	code := r.Reason
	if r.PolicyReason != "" {
		code = r.PolicyReason
	}
	return fmt.Sprintf("DENIED  %d %s", r.Status, visible(code))
}

// write tells it to a person: why, or all that is known.
func (r *recording) write(to io.Writer, all bool) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n%s\n\n", r.verdict(), visible(r.Sentence))
	writeFacts(table, "", []fact{{"decision", []string{r.Decision}}, {"time", []string{r.Time.Format(time.RFC3339Nano)}}, {"revision", []string{r.Revision, r.revisionNow()}}})
	if len(r.Bundles) > 0 {
		writeFacts(table, "", []fact{{"bundles", []string{authz.BundleNames(r.Bundles)}}})
	}
	for _, note := range r.Notes {
		fmt.Fprintf(table, "\n%s\n", note)
	}
	if !all {
		if len(r.Notes) > 0 {
			fmt.Fprintln(table)
		}
		r.writeWhy(table)
		r.writeInput(table)
		return table.Flush()
	}
	fmt.Fprintln(table)
	for _, g := range r.Record {
		about := g.About
		for _, f := range g.Facts {
			fmt.Fprintf(table, "%s\t", about)
			f.write(table)
			about = ""
		}
	}
	r.writeShadows(table)
	if r.Check != nil {
		fmt.Fprintf(table, "\nwhat refused\n")
		r.Check.write(table)
	}
	r.writeAll(table)
	for _, s := range r.Shadows {
		s.writeAll(table)
	}
	r.writeInput(table)
	fmt.Fprintf(table, "\n%s\n", r.verdict())
	return table.Flush()
}

func (r *recording) writeInput(to io.Writer) {
	if r.Input != nil {
		fmt.Fprintf(to, "\nthe input that was kept, which names people in clear\n%s\n", indented(r.Input))
	}
}

// glance are the groups of a record that are told at a glance, and of them what.
var glance = map[string][]string{"operation": {"api", "id", "template", "method"}, "caller": {"kind", "subject", "client"}, "decision": {"refusals", "waived", "limits reached", "observed", "break glass"}}

// writeWhy tells what a person asks first.
func (r *recording) writeWhy(to io.Writer) {
	for _, g := range r.Record {
		var facts []string
		for _, f := range g.Facts {
			if slices.Contains(glance[g.About], f.Name) {
				facts = append(facts, f.Name+" "+f.list())
			}
		}
		if len(facts) > 0 {
			fmt.Fprintf(to, "%s\t%s\n", g.About, strings.Join(facts, "; "))
		}
	}
	r.writeShadows(to)
	if r.Check != nil {
		fmt.Fprintln(to)
		r.Check.write(to)
	}
	if r.Check == nil || r.Now != nil {
		r.writeGlance(to, r.lifted)
	}
	withheld := r.Policy != nil
	for _, s := range r.Shadows {
		s.writeGlance(to, lifted{Observed: s.Would.Observed})
		withheld = withheld || s.Policy != nil
	}
	if withheld && !r.clear {
		fmt.Fprintf(to, "\n--input tells what was withheld: it names people in clear\n")
	}
	fmt.Fprintf(to, "\n--all tells all of the record and every rule\n")
}

func (r *recording) revisionNow() string {
	switch r.RevisionNow {
	case r.Revision:
		return "as now"
	case "":
		return "now none: the configuration is wrong"
	}
	return "now " + r.RevisionNow
}

// indented is JSON as it may stand on a terminal: what could move the cursor or hide
// itself is escaped.
func indented(document []byte) string {
	var laid bytes.Buffer
	if err := json.Indent(&laid, document, "", "  "); err != nil {
		return visible(string(document))
	}
	var shown strings.Builder
	for _, r := range laid.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			shown.WriteRune(r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&shown, `\u%04x`, unit)
			}
		}
	}
	return shown.String()
}
