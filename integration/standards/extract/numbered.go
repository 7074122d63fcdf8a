package main

import (
	"regexp"
	"strings"
)

// form is how a section numbers its rules. The first group of the pattern is the number.
type form struct {
	section string
	letter  string
	pattern *regexp.Regexp
}

// ofLetter is a letter and a number, at the beginning of a line or behind a full stop.
func ofLetter(letter string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^(?:- )?|\. )` + letter + `([0-9]+) `)
}

var forms = []form{
	{"## 1. ", "P", regexp.MustCompile(`^([0-9]+)\. `)},
	{"## 2. ", "B", ofLetter("B")},
	{"## 3. ", "J", ofLetter("J")},
	{"## 4. ", "H", ofLetter("H")},
	{"## 5. ", "M", ofLetter("M")},
	{"## 6. ", "D", regexp.MustCompile(`^\|([0-9]+[a-z]?)\|`)},
	{"## 17. ", "Q", ofLetter("Q")},
}

// numbered are the ids of a document, in order.
func numbered(text string) []string {
	var ids []string
	var current *form
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "## ") {
			current = formOf(line)
			continue
		}
		if current == nil {
			continue
		}
		for _, found := range current.pattern.FindAllStringSubmatch(line, -1) {
			ids = append(ids, current.letter+found[1])
		}
	}
	return ids
}

// formOf is that of the section with the heading, or nil where it numbers nothing.
func formOf(heading string) *form {
	for i := range forms {
		if strings.HasPrefix(heading, forms[i].section) {
			return &forms[i]
		}
	}
	return nil
}
