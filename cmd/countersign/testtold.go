package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/rego"
)

// testsTold is what is told of the tests of a policy.
type testsTold struct {
	Passed bool       `json:"passed"`
	Tests  []testTold `json:"tests"`
	// Coverage is nil where it was not asked for.
	Coverage *coverageTold `json:"coverage,omitempty"`

	report *rego.TestReport
}

type testTold struct {
	Name    string       `json:"name"`
	File    string       `json:"file"`
	Line    int          `json:"line"`
	Outcome rego.Outcome `json:"outcome"`
	Why     string       `json:"why,omitempty"`
	Output  string       `json:"output,omitempty"`
	Seconds float64      `json:"seconds"`
}

type coverageTold struct {
	Percent   float64    `json:"percent"`
	Threshold float64    `json:"threshold,omitempty"`
	Files     []fileTold `json:"files"`
	Untold    []problem  `json:"untold"`
}

type fileTold struct {
	File    string   `json:"file"`
	Covered int      `json:"covered"`
	Missed  int      `json:"missed"`
	Gaps    [][2]int `json:"gaps"`
}

func toldTests(report *rego.TestReport, threshold float64) *testsTold {
	told := &testsTold{Tests: make([]testTold, len(report.Tests)), report: report}
	for i, test := range report.Tests {
		told.Tests[i] = testTold{
			Name: test.Name, File: test.File, Line: test.Line, Outcome: test.Outcome,
			Why: test.Why, Output: test.Output, Seconds: test.Took.Seconds(),
		}
	}
	passed := report.Count(rego.Passed)
	told.Passed = passed > 0 && passed+report.Count(rego.Skipped) == len(report.Tests)
	if covered := report.Coverage; covered != nil {
		told.Coverage = &coverageTold{Percent: covered.Percent, Threshold: threshold, Files: []fileTold{}, Untold: problemList(covered.Untold)}
		for _, file := range covered.Files {
			told.Coverage.Files = append(told.Coverage.Files, fileTold{file.File, file.Covered, file.Missed, append([][2]int{}, file.Gaps...)})
		}
		told.Passed = told.Passed && covered.Percent >= threshold
	}
	return told
}

func (t *testsTold) write(output string, to io.Writer) error {
	switch output {
	case "json":
		return json.NewEncoder(to).Encode(t)
	case "junit":
		return t.junit(to)
	}
	return t.text(to)
}

// text has a line for each test that did not pass, and what it printed.
func (t *testsTold) text(to io.Writer) error {
	var text strings.Builder
	for _, test := range t.Tests {
		if test.Outcome == rego.Passed {
			continue
		}
		fmt.Fprintf(&text, "%s:%d: %s: %s", test.File, test.Line, test.Name, test.Outcome)
		if test.Why != "" {
			fmt.Fprintf(&text, ": %s", test.Why)
		}
		text.WriteString("\n")
		for line := range strings.Lines(test.Output) {
			text.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	if t.Coverage != nil {
		t.Coverage.text(&text)
	}
	text.WriteString(t.summary())
	_, err := io.WriteString(to, text.String())
	return err
}

func (t *testsTold) summary() string {
	if len(t.Tests) == 0 {
		return "there are no tests: write rules test_… in files *_test.rego beside the policy\n"
	}
	counts := []string{strconv.Itoa(t.report.Count(rego.Passed)) + " passed"}
	for _, outcome := range []rego.Outcome{rego.Failed, rego.Erred, rego.Skipped} {
		if n := t.report.Count(outcome); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	if c := t.Coverage; c != nil {
		counts = append(counts, fmt.Sprintf("%.1f %% covered", c.Percent))
		if c.Percent < c.Threshold {
			counts = append(counts, fmt.Sprintf("less than the %g %% asked for", c.Threshold))
		}
	}
	return strings.Join(counts, ", ") + "\n"
}

func (c *coverageTold) text(text *strings.Builder) {
	for _, file := range c.Files {
		if file.Missed > 0 {
			fmt.Fprintf(text, "%s: no test comes to %s\n", file.File, spans(file.Gaps))
		}
	}
	for _, each := range c.Untold {
		fmt.Fprintf(text, "%s:%d: %s; %s\n", each.File, each.Line, each.What, each.Fix)
	}
}

func spans(gaps [][2]int) string {
	names := make([]string, len(gaps))
	for i, gap := range gaps {
		names[i] = strconv.Itoa(gap[0])
		if gap[1] > gap[0] {
			names[i] += "-" + strconv.Itoa(gap[1])
		}
	}
	return "line " + strings.Join(names, ", ")
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Seconds string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr,omitempty"`
}

// junit is the form that build servers read. Coverage has no place in it.
func (t *testsTold) junit(to io.Writer) error {
	suite := junitSuite{
		Name: "countersign", Tests: len(t.Tests), Failures: t.report.Count(rego.Failed),
		Errors: t.report.Count(rego.Erred), Skipped: t.report.Count(rego.Skipped),
	}
	for _, test := range t.Tests {
		suite.Cases = append(suite.Cases, test.junit())
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%s%s\n", xml.Header, text)
	return err
}

func (t *testTold) junit() junitCase {
	at := strings.LastIndexByte(t.Name, '.')
	told := junitCase{
		Class: t.Name[:max(at, 0)], Name: t.Name[at+1:], File: t.File, Line: t.Line,
		Seconds: strconv.FormatFloat(t.Seconds, 'f', 6, 64), Output: t.Output,
	}
	switch why := (&junitMessage{t.Why}); t.Outcome {
	case rego.Failed:
		told.Failure = why
	case rego.Erred:
		told.Error = why
	case rego.Skipped:
		told.Skipped = why
	}
	return told
}
