package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// TestInvitationIsTakenAsPrinted runs each printed command in the order in which it is
// printed, by the shell and in the folder that it names, and the one that explains the
// last decision after each request. The record of a refusal may come after the answer.
func TestInvitationIsTakenAsPrinted(t *testing.T) {
	stack := startBank(t)
	var out bytes.Buffer
	if err := invite(stack, &out); err != nil {
		t.Fatal(err)
	}
	var commands []string
	explain := ""
	for line := range strings.Lines(out.String()) {
		if command, found := strings.CutPrefix(line, "  "); found {
			commands = append(commands, strings.TrimSpace(command))
			if strings.Contains(command, " explain ") {
				explain = commands[len(commands)-1]
			}
		}
	}
	wants := []struct{ said, explained string }{
		{" 200 ", "ALLOWED"}, {" 403 ", "not_owner"}, {" 401 ", "certificate"}, {" 200 ", "ALLOWED"}, {" 403 ", "not_owner"},
		{`"id"`, ""}, {"DENIED", ""}, {"countersign_decisions_total", ""},
	}
	if len(commands) != len(wants)+1 {
		t.Fatalf("%d commands are printed, want %d:\n%s", len(commands), len(wants)+1, &out)
	}
	in := commands[0] + " && "
	for n, want := range wants {
		if got, err := shell(t, in+commands[n+1]); err != nil || !strings.Contains(got, want.said) {
			t.Errorf("%s: %v, without %q:\n%s", commands[n+1], err, want.said, got)
		}
		late := time.Now().Add(20 * time.Second)
		for want.explained != "" {
			got, err := shell(t, in+explain)
			if err == nil && strings.Contains(got, want.explained) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("after %s, %s: %v, without %q:\n%s", commands[n+1], explain, err, want.explained, got)
			}
		}
	}
}

// shell returns what a command says, and its faults where it has any.
func shell(t *testing.T, command string) (string, error) {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(said) + string(exit.Stderr), err
	}
	return string(said), err
}

// startBank starts everything that the demo does, and ends it with the test.
func startBank(t *testing.T) *bank.Stack {
	t.Helper()
	options := bank.Options{Dir: t.TempDir(), Countersign: filepath.Join(t.TempDir(), "countersign"), Envoy: envoy(t)}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", options.Countersign, "../../../cmd/countersign").CombinedOutput(); err != nil {
		t.Fatalf("building countersign: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	stack, err := bank.Start(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	return stack
}

// envoy is the program that make installs.
func envoy(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("COUNTERSIGN_ENVOY"), filepath.Join("..", "..", "..", ".tools", "envoy", "bin", "envoy")))
	if err != nil {
		t.Fatalf("there is no envoy: run these tests by make test, which installs it: %v", err)
	}
	return path
}
