package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// maxRowsShown is how many differences, and causes of one outcome, a person is shown.
const maxRowsShown = 50

// meanings are what a person is told of the outcomes.
var meanings = map[outcome]string{
	same:     "decided as then",
	flipped:  "allowed now and denied then, or the other way round",
	changed:  "allowed or denied as then, for other reasons",
	lacking:  "it may read what was not kept: not guessed",
	withheld: "what was decided on was not kept, or is gone",
	failed:   "damaged, or not decided in time",
	native:   "not decided by a policy: left alone",
}

// verdict is the first and the last line.
func (c *comparison) verdict() string {
	of := fmt.Sprintf("of %d decisions that were compared", c.compared())
	switch {
	case c.compared() == 0:
		return "NOTHING COMPARED"
	case c.Counts[flipped] > 0:
		return fmt.Sprintf("FLIPPED  %d %s", c.Counts[flipped], of)
	case c.Counts[changed] > 0:
		return fmt.Sprintf("CHANGED  %d %s, and none flipped", c.Counts[changed], of)
	}
	return fmt.Sprintf("SAME  all %s", of)
}

// write tells it to a person.
func (c *comparison) write(to io.Writer) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n\n", c.verdict())
	fmt.Fprintf(table, "candidate\t%s\n", c.Candidate)
	fmt.Fprintf(table, "records\t%d, from %s to %s\n\n", c.Records, c.From.Format(time.RFC3339), c.To.Format(time.RFC3339))
	for _, each := range outcomes {
		fmt.Fprintf(table, "%s\t%d\t%s\n", each.words(), c.Counts[each], meanings[each])
	}
	for i, d := range c.Differences {
		if i == maxRowsShown {
			fmt.Fprintf(table, "\nand %d more differences, which --output json tells\n", len(c.Differences)-i)
			break
		}
		d.write(table)
	}
	if c.Others > 0 {
		fmt.Fprintf(table, "\nand %d decisions that differ in more ways than are told apart\n", c.Others)
	}
	c.writeCauses(table)
	fmt.Fprintf(table, "\n%s\n", c.verdict())
	return table.Flush()
}

func (o outcome) words() string { return strings.ReplaceAll(string(o), "_", " ") }

func (d *difference) write(to io.Writer) {
	fmt.Fprintf(to, "\n%s\t%d\t%s, %s\n", d.Outcome.words(), d.Count, visible(d.Operation), visible(d.API))
	for _, f := range append(append(d.Was.facts("was"), d.Now.facts("now")...), fact{"decisions", d.named()}) {
		fmt.Fprint(to, "  ")
		f.write(to)
	}
}

func (d *difference) named() []string {
	if more := d.Count - len(d.Decisions); more > 0 {
		return append(d.Decisions[:len(d.Decisions):len(d.Decisions)], fmt.Sprintf("and %d more", more))
	}
	return d.Decisions
}

// facts has what was decided in one line, and what it was decided for in others.
func (s side) facts(name string) []fact {
	told := group{}
	told.say(name, s.Outcome, s.Reason, s.Rule)
	told.say(name+" refusals", s.Refusals...)
	told.say(name+" waived", s.Waived...)
	told.say(name+" detail", s.Detail)
	return told.Facts
}

func (c *comparison) writeCauses(to io.Writer) {
	var of outcome
	shown := 0
	for _, w := range c.Causes {
		if w.Outcome != of {
			of, shown = w.Outcome, 0
			fmt.Fprintf(to, "\n%s\n", causesOf(of))
		}
		if shown++; shown <= maxRowsShown {
			fmt.Fprintf(to, "  %d\t%s\n", w.Count, visible(w.What))
		}
	}
}

func causesOf(of outcome) string {
	if of == lacking {
		return "undetermined: needs"
	}
	return of.words() + ", because"
}
