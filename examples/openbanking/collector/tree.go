package collector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// line is one line of a drawn trace: the branch with the service on it, and what
// stands beside it.
type line struct{ branch, text, duration string }

// Tree draws a trace, whose spans are in order of their start: a line for each span,
// children under their parents, with service, name, duration, and the attributes of
// Countersign's own. It is "" for a trace of which nothing has arrived.
func Tree(spans []Span) string {
	present := map[string]bool{}
	for _, span := range spans {
		present[span.ID] = true
	}
	children := map[string][]Span{}
	for _, span := range spans {
		parent := span.Parent
		if !present[parent] { // A root, or one whose parent has not arrived.
			parent = ""
		}
		children[parent] = append(children[parent], span)
	}
	var lines []line
	for _, root := range children[""] {
		lines = draw(lines, root, children, "", "")
	}
	return align(lines)
}

// draw appends a span and what is under it. Its own line begins with first, those
// under it with rest.
func draw(lines []line, span Span, children map[string][]Span, first, rest string) []line {
	lines = append(lines, line{first + span.Service, span.Name, span.Duration.Round(time.Microsecond).String()})
	under := children[span.ID]
	bar := rest
	if len(under) > 0 {
		bar += "│"
	}
	for _, name := range slices.Sorted(maps.Keys(span.Attributes)) {
		if strings.HasPrefix(name, "countersign.") {
			lines = append(lines, line{branch: bar, text: "  " + name + " = " + span.Attributes[name]})
		}
	}
	for i, child := range under {
		if i == len(under)-1 {
			lines = draw(lines, child, children, rest+"└─ ", rest+"   ")
		} else {
			lines = draw(lines, child, children, rest+"├─ ", rest+"│  ")
		}
	}
	return lines
}

func align(lines []line) string {
	branch, text := 0, 0
	for _, l := range lines {
		branch = max(branch, utf8.RuneCountInString(l.branch))
		text = max(text, utf8.RuneCountInString(l.text))
	}
	var drawn strings.Builder
	for _, l := range lines {
		row := fmt.Sprintf("%-*s  %-*s  %10s", branch, l.branch, text, l.text, l.duration)
		drawn.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	return drawn.String()
}
