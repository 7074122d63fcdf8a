package main

import (
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/checks"
)

// tokenTold is what token tells.
type tokenTold struct {
	Accepted bool `json:"accepted"`
	// Refused is nil where it is accepted.
	Refused *refusal    `json:"refused,omitempty"`
	Time    time.Time   `json:"time"`
	Request []fact      `json:"request"`
	Checks  []checkTold `json:"checks"`
	// Input is what a policy would see of an accepted token.
	Input map[string]any `json:"input,omitempty"`
	// Unverified is what a refused token says of itself, which anybody may have written.
	Unverified map[string]any `json:"unverified,omitempty"`
}

// refusal is why a token is refused, in an operator's words and in the client's.
type refusal struct {
	Status  int      `json:"status"`
	Reason  string   `json:"reason"`
	Meaning string   `json:"meaning"`
	Detail  string   `json:"detail"`
	Change  string   `json:"change"`
	Rules   []string `json:"rules,omitempty"`
	Section string   `json:"section"`
}

type checkTold struct {
	Outcome string   `json:"outcome"`
	Rules   []string `json:"rules,omitempty"`
	Section string   `json:"section"`
	What    string   `json:"what"`
	Because string   `json:"because,omitempty"`
	failed  bool
}

// seen are the parts of the input that are about the caller.
var seen = []string{"caller", "token", "certificate"}

func tellToken(report *checks.Report, input []byte) (*tokenTold, error) {
	told := &tokenTold{Accepted: report.Failed == nil, Time: report.Facts.Time.UTC(), Request: requestOf(report.Facts.Request)}
	for _, r := range report.Results {
		told.Checks = append(told.Checks, checkTold{Outcome: r.Outcome.String(), Rules: r.Rules, Section: r.Section, What: r.What,
			Because: r.Because, failed: r.Outcome == checks.Failed})
	}
	if f := report.Failed; f != nil {
		told.Refused = &refusal{Status: f.Reason.Status(), Reason: f.Reason.String(), Meaning: f.Reason.Title(), Detail: f.Detail,
			Change: f.Advice, Rules: f.Check.Rules, Section: f.Check.Section}
		told.Unverified = map[string]any{}
		if report.Said.Header != nil {
			told.Unverified["header"] = report.Said.Header
		}
		if report.Said.Claims != nil {
			told.Unverified["claims"] = report.Said.Claims
		}
		return told, nil
	}
	var document map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(input)))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	maps.DeleteFunc(document, func(key string, _ any) bool { return !slices.Contains(seen, key) })
	told.Input = document
	return told, nil
}

// requestOf is the request without its credentials, and of its query nothing.
func requestOf(r *authz.Request) []fact {
	facts := []fact{{"api", []string{string(r.API)}}}
	if r.Host != "" {
		path, _, _ := strings.Cut(r.Target, "?")
		facts = append(facts, fact{"request", []string{r.Method + " " + r.Scheme + "://" + r.Host + path}})
	}
	if r.Address != "" {
		facts = append(facts, fact{"address", []string{r.Address}})
	}
	if value, there := r.Headers.Value("authorization"); there {
		scheme, _, _ := strings.Cut(value, " ")
		facts = append(facts, fact{"scheme", []string{scheme}})
	}
	return facts
}

// verdict is the first and the last line.
func (t *tokenTold) verdict() string {
	if t.Accepted {
		return "ACCEPTED"
	}
	return fmt.Sprintf("REFUSED  %d %s, by %s", t.Refused.Status, t.Refused.Reason, t.Refused.Section)
}

// write tells it to a person.
func (t *tokenTold) write(to io.Writer) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n\n", t.verdict())
	writeFacts(table, "", append(t.Request, fact{"time", []string{t.Time.Format(time.RFC3339)}}))
	fmt.Fprintln(table)
	for _, c := range t.Checks {
		t.writeCheck(table, c)
	}
	if t.Accepted {
		fmt.Fprintf(table, "\na policy sees\n")
		writeTree(table, "input", t.Input)
	} else if len(t.Unverified) > 0 {
		fmt.Fprintf(table, "\nthe token says of itself, and anybody may have written it\n")
		writeTree(table, "", t.Unverified)
	}
	fmt.Fprintf(table, "\n%s\n", t.verdict())
	return table.Flush()
}

func (t *tokenTold) writeCheck(to io.Writer, c checkTold) {
	what := c.What
	if c.Because != "" {
		what += " (" + c.Because + ")"
	}
	fmt.Fprintf(to, "%s\t%s\t%s\t%s\n", c.Outcome, cmp.Or(strings.Join(c.Rules, " "), "-"), c.Section, what)
	if !c.failed {
		return
	}
	for _, f := range []fact{{"reason", []string{t.Refused.Reason}}, {"meaning", []string{t.Refused.Meaning}},
		{"detail", []string{t.Refused.Detail}}, {"change", []string{t.Refused.Change}}} {
		fmt.Fprintf(to, "\t\t%s\t%s\n", f.Name, visible(f.Values[0]))
	}
}

// plain is a name that needs no quotation marks.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// writeTree has each value of a JSON document that is no object, under its path, as a
// policy writes it.
func writeTree(to io.Writer, path string, value any) {
	members, isObject := value.(map[string]any)
	if !isObject || len(members) == 0 {
		f := fact{path, valuesOf(value)}
		fmt.Fprint(to, "  ")
		f.write(to)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		below := path + "[" + strconv.Quote(name) + "]"
		if plain.MatchString(name) {
			below = strings.TrimPrefix(path+"."+name, ".")
		}
		writeTree(to, below, members[name])
	}
}

// valuesOf are the elements of an array of texts and numbers, or the value as JSON has it.
func valuesOf(value any) []string {
	elements, many := value.([]any)
	if !many || len(elements) == 0 {
		elements = []any{value}
	}
	var values []string
	for _, element := range elements {
		if text, ok := element.(string); ok {
			values = append(values, text)
			continue
		}
		text, err := json.Marshal(element)
		if err != nil {
			text = []byte("?") // what was read as JSON can be written as such
		}
		values = append(values, string(text))
	}
	return values
}

// asForwarded is a certificate as Envoy forwards it, which escapes what stands in PEM and
// is no letter, digit or hyphen. It stands as it is where it was taken from there.
func asForwarded(text string, problems *authz.Problems) string {
	if text == "" {
		return ""
	}
	if strings.Contains(text, "%0A") {
		return text
	}
	block, rest := pem.Decode([]byte(text + "\n"))
	if block == nil || block.Type != "CERTIFICATE" || len(strings.TrimSpace(string(rest))) > 0 || !strings.HasPrefix(text, "-----BEGIN") {
		problems.Add("--certificate", "is not one certificate in PEM", "give the client's own, without its chain and its key: openssl x509 writes it")
		return ""
	}
	return escapes.Replace(text + "\n")
}

var escapes = strings.NewReplacer("\n", "%0A", "\r", "", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")
