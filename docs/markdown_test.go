package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are all pages by file name, those of the folder above among them.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("Glob = %v, %v, want pages", names, err)
	}
	above, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, above...)
	all := map[string]string{}
	for _, name := range names {
		all[name] = page(t, name)
	}
	return all
}

// block is a fenced block of code.
type block struct {
	language, text string
	// mark is what an HTML comment on the line before says after "test:".
	mark string
	line int
}

func blocksOf(text string) []block {
	var blocks []block
	var open *block
	margin, mark := "", ""
	for i, line := range strings.Split(text, "\n") {
		found := fence.FindStringSubmatch(line)
		switch {
		case found != nil && open == nil:
			margin = found[1]
			open = &block{language: found[2], mark: mark, line: i + 1}
		case found != nil:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, margin) + "\n"
		}
		mark = ""
		if found := marks.FindStringSubmatch(line); found != nil {
			mark = found[1]
		}
	}
	return blocks
}

// rows are the cells of every row of the tables that begin with that heading.
func rows(text, heading string) [][]string {
	var found [][]string
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "| "+heading+" |"):
			inside = true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			found = append(found, cells)
		}
	}
	return found
}

// firsts are the first cells of rows, which are code, without the backticks.
func firsts(t *testing.T, rows [][]string) []string {
	t.Helper()
	var names []string
	for _, row := range rows {
		name := strings.Trim(row[0], "`")
		if row[0] != "`"+name+"`" {
			t.Errorf("%q is no code", row[0])
		}
		if slices.Contains(names, name) {
			t.Errorf("%s stands twice", name)
		}
		names = append(names, name)
	}
	return names
}

// same fails for what only one of documented and real has.
func same(t *testing.T, documented, real []string) {
	t.Helper()
	for _, name := range real {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is not documented", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(real, name) {
			t.Errorf("%s is documented, and is not there", name)
		}
	}
}

func withoutBlocks(text string) string {
	var kept []string
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		if fence.MatchString(line) {
			inside = !inside
			continue
		}
		if !inside {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// anchors are a page's headings as GitHub links to them.
func anchors(text string) []string {
	var all []string
	for line := range strings.SplitSeq(withoutBlocks(text), "\n") {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		kept := strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
				return c
			}
			return -1
		}, heading)
		all = append(all, kept)
	}
	return all
}
