package rego

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
)

var update = flag.Bool("update", false, "write docs/policy-library.md anew")

const pageIntro = `# The policy library

For a Rego author: what the embedded library requires, and what it has for a site's own rules. This page is made of the METADATA annotations
of [rego/library](../rego/library) (` + "`go test ./rego -run TestLibraryPage -update`" + `), and a test holds it to them. How the
parts go together is in [writing policies](writing-policies.md); what stands here as a rule of a package other than
` + "`countersign.standard`" + ` is there for a site's own rules, by ` + "`import data.`" + ` and the package's name; it is marked ` + "`public`" + ` in its
METADATA, and stays. What is not marked so is the library's own, and may change with any release.

Rules say what is satisfied, never what is wrong: a fact, or a table, that is absent or of a wrong type satisfies nothing.
`

// pagePackages are the library's in the order in which they are told.
var pagePackages = []string{"standard.rego", "tables.rego", "roles.rego", "callers.rego", "hours.rego", "break_glass.rego", "amounts.rego", "details.rego"}

// TestLibraryPage holds docs/policy-library.md to the library's METADATA.
func TestLibraryPage(t *testing.T) {
	file := filepath.Join("..", "docs", "policy-library.md")
	want := libraryPage(t)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/policy-library.md is not current: run go test ./rego -run TestLibraryPage -update (-want +got):\n%s", diff)
	}
}

// TestLibraryIsAnnotated holds that each rule has METADATA, be it on another of its bodies.
func TestLibraryIsAnnotated(t *testing.T) {
	s, err := load(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.modules) != len(pagePackages) {
		t.Errorf("the page tells %d of %d files", len(pagePackages), len(s.modules))
	}
	titled := map[string]bool{}
	for _, module := range s.modules {
		for _, rule := range module.Rules {
			for _, annotations := range rule.Annotations {
				titled[rule.Ref().String()] = titled[rule.Ref().String()] || annotations.Title != ""
			}
		}
	}
	for name, module := range s.modules {
		for _, rule := range module.Rules {
			if !titled[rule.Ref().String()] {
				t.Errorf("%s:%d: %s has no METADATA with a title", name, rule.Location.Row, rule.Head.Name)
			}
		}
	}
}

func libraryPage(t *testing.T) string {
	t.Helper()
	s, err := load(Config{})
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString(pageIntro)
	writeReasons(&page, s)
	for _, file := range pagePackages {
		module := s.modules[libraryFolder+file]
		name := strings.TrimPrefix(module.Package.Path.String(), "data.")
		for _, annotations := range module.Annotations {
			if annotations.Scope == "package" {
				fmt.Fprintf(&page, "\n## %s\n\n`package %s`\n\n%s\n", annotations.Title, name, paragraphs(annotations.Description))
			}
		}
		if file == "tables.rego" {
			fmt.Fprintf(&page, "\n## The tables in data.access\n\n`package %s`: what is asked for only where there are such tables.\n", name)
		}
		heading := "\n| Rule | What it says | |\n|---|---|---|\n"
		for _, rule := range module.Rules {
			for _, annotations := range rule.Annotations {
				if name != "countersign.standard" && annotations.Custom["public"] != true {
					continue
				}
				page.WriteString(heading)
				heading = ""
				fmt.Fprintf(&page, "| `%s` | %s | [%s:%d](../rego/library/%s#L%d) |\n", cell(headOf(rule)), told(annotations), file, rule.Location.Row, file, rule.Location.Row)
			}
		}
	}
	return page.String()
}

// writeReasons has the reasons in the order in which they are told.
func writeReasons(page *strings.Builder, s *source) {
	page.WriteString("\n## Reasons\n\nIn the order in which the caller is told of one; a site's own come after them.\n\n| Reason | Refused unless | |\n|---|---|---|\n")
	reasons := append(s.inOrder(), "nothing_grants")
	type reasoned struct {
		place int
		row   string
	}
	var rows []reasoned
	for _, file := range pagePackages {
		for _, rule := range s.modules[libraryFolder+file].Rules {
			if reason := declaredReason(rule); reason != "" {
				rows = append(rows, reasoned{slices.Index(reasons, reason), fmt.Sprintf("| `%s` | %s | [%s:%d](../rego/library/%s#L%d) |\n",
					reason, told(rule.Annotations[0]), file, rule.Location.Row, file, rule.Location.Row)})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b reasoned) int { return cmp.Compare(a.place, b.place) })
	for _, row := range rows {
		page.WriteString(row.row)
	}
}

// headOf is a rule's head as it is written, without its value.
func headOf(rule *ast.Rule) string {
	head := rule.Head
	text := string(head.Name)
	if len(head.Args) > 0 {
		args := make([]string, len(head.Args))
		for i, arg := range head.Args {
			args[i] = strings.ReplaceAll(arg.String(), "$", "_")
		}
		text += "(" + strings.Join(args, ", ") + ")"
	}
	if rule.Head.RuleKind() == ast.MultiValue {
		text += " contains " + head.Key.String()
	}
	return text
}

func told(annotations *ast.Annotations) string {
	text := cell(annotations.Title)
	if annotations.Description != "" {
		text = "**" + text + ".** " + cell(strings.Join(strings.Fields(annotations.Description), " "))
	}
	return text
}

// cell is a text that stands in a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// paragraphs has code, which is indented, as Markdown does.
func paragraphs(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "    " + strings.TrimSpace(line)
		}
	}
	return strings.Join(lines, "\n")
}
