package main

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWatchRunsAgain changes a policy until its tests fail, do not compile, and pass again.
func TestWatchRunsAgain(t *testing.T) {
	folder := t.TempDir()
	site := filepath.Join(folder, "site.rego")
	passes := "package countersign.site\n\ndeny contains \"closed\" if input.caller.kind == \"staff\"\n"
	write(t, site, passes)
	write(t, filepath.Join(folder, "site_test.rego"), "package countersign.site_test\n\nimport data.countersign.site\n\n"+
		"test_staff if \"closed\" in site.deny with input as {\"caller\": {\"kind\": \"staff\"}}\n")
	told, into := io.Pipe()
	polls, ended := make(chan time.Time), make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- run(ctx, []string{"test", "--watch", folder}, world{stdout: into, stderr: into, polls: polls})
		into.Close()
	}()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(told); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	pollUntil(t, polls, lines, "1 passed")
	write(t, site, strings.Replace(passes, "staff", "client", 1))
	pollUntil(t, polls, lines, "1 failed")
	write(t, site, passes+"\ndeny contains input.tokn\n")
	pollUntil(t, polls, lines, `input has no "tokn"`)
	write(t, site, passes)
	pollUntil(t, polls, lines, "1 passed")
	cancel()
	for range lines { // what is told last must not keep it from ending
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
}

// pollUntil lets files be looked at until a line is told.
func pollUntil(t *testing.T, polls chan<- time.Time, lines <-chan string, want string) {
	t.Helper()
	bound := time.After(time.Minute)
	for {
		select {
		case line, open := <-lines:
			if !open {
				t.Fatalf("ended before %q was told", want)
			}
			if strings.Contains(line, want) {
				return
			}
		case polls <- time.Time{}:
		case <-bound:
			t.Fatalf("%q was not told", want)
		}
	}
}
