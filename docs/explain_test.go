package docs_test

import (
	"cmp"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/countersign-io/countersign/authz/explain"
	"github.com/countersign-io/countersign/authz/token/checks"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/rego"
)

// TestTranscriptsAreTold holds what is shown of a command against what it tells, which
// the command's own tests hold.
func TestTranscriptsAreTold(t *testing.T) {
	for name, scripts := range map[string]string{"explain": "explain", "replay": "replay", "token": "token", "writing-policies": "script"} {
		shown, text := 0, page(t, name+".md")
		for _, b := range blocksOf(text) {
			script, ok := strings.CutPrefix(b.mark, "transcript ")
			script, part, _ := strings.Cut(script, " ")
			if !ok {
				continue
			}
			archive := txtar.Parse([]byte(page(t, filepath.Join("..", "cmd", "countersign", "testdata", scripts, script+".txtar"))))
			for _, file := range archive.Files {
				if file.Name != cmp.Or(part, "want") {
					continue
				}
				shown++
				if string(file.Data) != b.text {
					t.Errorf("%s.md:%d: differs from what is told:\n%s", name, b.line, file.Data)
				}
			}
		}
		if shown != strings.Count(text, "<!-- test: transcript ") || shown == 0 {
			t.Errorf("%s.md: %d transcripts were compared, which are not all", name, shown)
		}
	}
}

// TestTutorialIsWhatIsDone holds the page against what the command's own tests do: all that
// is typed and run there is shown, and it is little.
func TestTutorialIsWhatIsDone(t *testing.T) {
	archive := txtar.Parse([]byte(page(t, filepath.Join("..", "cmd", "countersign", "testdata", "tutorial", "first-rule.txtar"))))
	shown := map[string]string{}
	for _, b := range blocksOf(page(t, "writing-policies.md")) {
		if name, is := strings.CutPrefix(b.mark, "tutorial "); is {
			shown[name] = b.text
		}
	}
	typed, commands := 0, 0
	for _, file := range archive.Files {
		text := string(file.Data)
		switch {
		case strings.HasPrefix(file.Name, "typed/"):
			typed += strings.Count(strings.ReplaceAll(text, "\n\n", "\n"), "\n")
		case file.Name == "commands":
			commands = strings.Count(text, "\n")
		case shown[file.Name] == "":
			continue
		}
		if shown[file.Name] != text {
			t.Errorf("writing-policies.md shows of %s\n%s\nwant\n%s", file.Name, shown[file.Name], text)
		}
	}
	if ran := strings.Count(string(archive.Comment), "\nstep"); commands != ran || commands > 8 || typed > 15 || typed == 0 {
		t.Errorf("%d commands, of which %d are run, and %d typed lines; want 8 and 15 at most", commands, ran, typed)
	}
}

// TestRequestsShownAreRead parses each request that is shown.
func TestRequestsShownAreRead(t *testing.T) {
	shown := 0
	for _, b := range blocksOf(page(t, "explain.md")) {
		if b.mark != "request" {
			continue
		}
		shown++
		if _, err := envoy.ParseCall([]byte(b.text)); err != nil {
			t.Errorf("explain.md:%d: %v", b.line, err)
		}
	}
	if shown == 0 {
		t.Error("no request is shown")
	}
}

func TestExplainNamesEveryOutcome(t *testing.T) {
	var outcomes []string
	for _, outcome := range []explain.Outcome{explain.NotReached, explain.NotAsked, explain.Passed, explain.Failed, explain.Refused} {
		outcomes = append(outcomes, outcome.String())
	}
	same(t, firsts(t, rows(page(t, "explain.md"), "Outcome")), outcomes)
}

// TestExplainNamesEveryKey holds the page against what programs are told of a policy.
func TestExplainNamesEveryKey(t *testing.T) {
	told, keys := page(t, "explain.md"), map[string]bool{}
	keysOf(reflect.TypeFor[rego.Explanation](), keys)
	for key := range keys {
		if !strings.Contains(told, "`"+key+"`") {
			t.Errorf("explain.md does not name %s", key)
		}
	}
	if len(keys) < 20 {
		t.Errorf("%d keys were looked for, which are not all", len(keys))
	}
}

// keysOf are the names that a type has as JSON, and those of all that it holds.
func keysOf(of reflect.Type, keys map[string]bool) {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return
	}
	for _, field := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || keys[name] {
			continue // because stands within because
		}
		keys[name] = true
		keysOf(field.Type, keys)
	}
}

// TestReplayNamesEveryOutcome holds the page against what replay counts.
func TestReplayNamesEveryOutcome(t *testing.T) {
	told := page(t, filepath.Join("..", "cmd", "countersign", "testdata", "replay", "flipped.txtar"))
	for _, name := range firsts(t, rows(page(t, "replay.md"), "Outcome")) {
		if !strings.Contains(told, "\n"+strings.ReplaceAll(name, "_", " ")+" ") {
			t.Errorf("replay.md tells of %s, which is not counted", name)
		}
	}
	same(t, firsts(t, rows(page(t, "replay.md"), "Outcome")), []string{"same", "flipped", "changed", "undetermined", "without_input", "failed", "native"})
}

func TestTokenNamesEveryOutcome(t *testing.T) {
	var outcomes []string
	for _, outcome := range []checks.Outcome{checks.NotReached, checks.NotApplicable, checks.Passed, checks.Failed} {
		outcomes = append(outcomes, outcome.String())
	}
	same(t, firsts(t, rows(page(t, "token.md"), "Outcome")), outcomes)
}
