//go:build mutants

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests that stories are told by, and a story that must go as told whatever check
// is missing: a mutation that refuses everybody proves nothing.
const (
	pure         = "TestStoriesPure"
	throughEnvoy = "TestStoriesThroughEnvoy"
	ordinary     = "01-own-account"
)

// patience bounds one run of stories.
const patience = 3 * time.Minute

// mutation takes a check out of the source.
type mutation struct {
	name  string
	edits []edit
	// stories must each fail without the check, by their files' names.
	stories []string
	// told is the test that tells them; "" means TestStoriesPure.
	told string
	// in is the package whose own test told is, where no story can show the check: then
	// that test must fail, and none are named.
	in string
}

// edit replaces a text that stands exactly once in a file, which is named from the
// root of the repository.
type edit struct{ file, old, new string }

// TestStoriesNoticeAMissingCheck takes out one check after another and tells the
// stories again, without a change to the checkout: the go command reads the changed
// files from an overlay.
func TestStoriesNoticeAMissingCheck(t *testing.T) {
	overlays := writeOverlays(t)
	if t.Failed() {
		t.FailNow()
	}
	for _, told := range []string{pure, throughEnvoy} {
		if failed := tellAgain(t, "", told); len(failed) > 0 {
			t.Fatalf("%s: with every check in its place %q fail", told, failed)
		}
	}
	for i, mutation := range mutations {
		t.Run(mutation.name, func(t *testing.T) {
			if mutation.in != "" {
				mutation.wantNoticed(t, overlays[i])
				return
			}
			told, only := pure, []string(nil)
			if mutation.told != "" {
				// A story through Envoy takes a while, so only those that matter are told.
				told, only = mutation.told, append([]string{ordinary}, mutation.stories...)
			}
			failed := tellAgain(t, overlays[i], told, only...)
			for _, story := range mutation.stories {
				if !slices.Contains(failed, story) {
					t.Errorf("%s goes as told; those that do not are %q", story, failed)
				}
			}
			if slices.Contains(failed, ordinary) && !slices.Contains(mutation.stories, ordinary) {
				t.Errorf("%s fails too: more than a check is missing", ordinary)
			}
		})
	}
}

// writeOverlays makes an overlay of every mutation, and finds all faults of the table
// before anything slow is run.
func writeOverlays(t *testing.T) []string {
	t.Helper()
	known, names := map[string]bool{}, map[string]bool{}
	for _, story := range stories(t) {
		known[story.Name] = true
	}
	overlays := make([]string, len(mutations))
	for i, mutation := range mutations {
		if names[mutation.name] {
			t.Errorf("%s: there are two of that name", mutation.name)
		}
		names[mutation.name] = true
		if len(mutation.stories) == 0 && mutation.in == "" {
			t.Errorf("%s: no story is named", mutation.name)
		}
		for _, story := range mutation.stories {
			if !known[story] {
				t.Errorf("%s: there is no story %s", mutation.name, story)
			}
		}
		var err error
		if overlays[i], err = mutation.overlay(t.TempDir()); err != nil {
			t.Errorf("%s: %v", mutation.name, err)
		}
	}
	return overlays
}

// overlay writes the changed files and the overlay that names them into dir.
func (m mutation) overlay(dir string) (string, error) {
	changed := map[string]string{}
	for _, edit := range m.edits {
		text, again := changed[edit.file]
		if !again {
			content, err := os.ReadFile(filepath.Join("..", edit.file))
			if err != nil {
				return "", err
			}
			text = string(content)
		}
		if count := strings.Count(text, edit.old); count != 1 {
			return "", fmt.Errorf("the table is out of date: %s holds this %d times, not once:\n%s", edit.file, count, edit.old)
		}
		changed[edit.file] = strings.Replace(text, edit.old, edit.new, 1)
	}
	replace := map[string]string{}
	for file, text := range changed {
		original, err := filepath.Abs(filepath.Join("..", file))
		if err != nil {
			return "", err
		}
		replace[original] = filepath.Join(dir, strconv.Itoa(len(replace))+filepath.Ext(file))
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, content, 0o600)
}

// tellAgain runs a test of the stories in a process of its own, over an overlay, and
// returns the stories that fail. Where none are named, all are told.
func tellAgain(t *testing.T, overlay, told string, only ...string) []string {
	t.Helper()
	pattern := "^" + told + "$"
	if len(only) > 0 {
		pattern += "/^(" + strings.Join(only, "|") + ")$"
	}
	output, err := testAgain(t, overlay, ".", pattern)
	if err == nil {
		return nil
	}
	var failed []string
	for _, match := range regexp.MustCompile(`(?m)^ +--- FAIL: `+told+`/(\S+) `).FindAllStringSubmatch(output, -1) {
		failed = append(failed, match[1])
	}
	if len(failed) == 0 {
		t.Fatalf("no story fails, and yet %s does not pass: %v\n%s", told, err, output)
	}
	if testing.Verbose() {
		t.Logf("without it these fail: %q", failed)
	}
	return failed
}

// wantNoticed holds that the package's own test passes with the check, and fails without.
func (m mutation) wantNoticed(t *testing.T, overlay string) {
	t.Helper()
	in, pattern := filepath.Join("..", m.in), "^"+m.told+"$"
	if output, err := testAgain(t, "", in, pattern); err != nil {
		t.Fatalf("with every check in its place %s of %s fails\n%s", m.told, m.in, output)
	}
	if _, err := testAgain(t, overlay, in, pattern); err == nil {
		t.Errorf("%s of %s passes", m.told, m.in)
	}
}

// testAgain runs tests of a folder's package in a process of its own, over an overlay. An
// error is a test that fails; what keeps tests from being run at all ends this one.
func testAgain(t *testing.T, overlay, in, pattern string) (output string, err error) {
	t.Helper()
	// The test ends by itself first, and with it what it started.
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-timeout", patience.String(), "-run", pattern, ".")
	run.Dir, run.Env = in, append(os.Environ(), buildOverlay+"="+overlay)
	run.WaitDelay = 10 * time.Second
	out, err := run.CombinedOutput()
	output = string(out)
	switch {
	case ctx.Err() != nil, strings.Contains(output, "panic: test timed out"):
		t.Fatalf("%s takes longer than %v\n%s", pattern, patience, output)
	case strings.Contains(output, "[build failed]"), strings.Contains(output, "[setup failed]"), strings.Contains(output, "building countersign: "):
		t.Fatalf("the mutation does not compile, which is a fault of the table\n%s", output)
	case strings.Contains(output, "no tests to run"):
		t.Fatalf("there is no %s\n%s", pattern, output)
	}
	return output, err
}
