package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/examples/openbanking/jaeger"
)

func TestLineCountsOnlyWhatWentAsTold(t *testing.T) {
	var out bytes.Buffer
	told := telling{out: &out}
	told.line("01-x", &bank.Told{Status: 200, Record: &bank.Record{Reason: "granted", TraceID: "t", ElapsedUS: 7}}, nil)
	told.line("02-y", &bank.Told{Status: 403}, []string{"status is 403, not 200"})
	told.line("03-z", nil, []string{"no answer"})
	if told.asTold != 1 || told.followed != "t" {
		t.Errorf("%d as told, following %q", told.asTold, told.followed)
	}
	for _, text := range []string{"✓  01-x", "✗  02-y", "   status is 403, not 200", "✗  03-z", "   no answer"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not told in\n%s", text, out.String())
		}
	}
}

func TestLinksAreToldWhereJaegerHasTheTraces(t *testing.T) {
	var out bytes.Buffer
	told := telling{stack: &bank.Stack{Jaeger: &jaeger.Query{URL: "http://127.0.0.1:1"}}, out: &out, followed: "t"}
	told.links()
	for _, link := range []string{"  http://127.0.0.1:1/trace/t ", "  http://127.0.0.1:1/api/traces/t "} {
		if !strings.Contains(out.String(), link) {
			t.Errorf("%q is not told in\n%s", link, out.String())
		}
	}
	out.Reset()
	told.stack.Jaeger = nil
	if told.links(); out.Len() > 0 {
		t.Errorf("without Jaeger it tells\n%s", out.String())
	}
}

func TestNoTerminalDoesNotKeepTheDemo(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	for name, file := range map[string]*os.File{"the null device": null, "a pipe": reader} {
		if isTerminal(file) {
			t.Errorf("%s passes for a terminal", name)
		}
	}
}

func TestExitCodes(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	tests := []struct {
		name      string
		arguments []string
		want      int
	}{
		{"an unknown flag", []string{"-no-such-flag"}, 2},
		{"a program that is not there", []string{"-dir", t.TempDir(), "-countersign", "no-such-program"}, 1},
		{"a Jaeger that is not there", []string{"-dir", t.TempDir(), "-jaeger", "no-such-jaeger"}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, faults bytes.Buffer
			if got := run(t.Context(), test.arguments, null, &out, &faults); got != test.want {
				t.Errorf("run = %d, want %d", got, test.want)
			}
			if !strings.Contains(faults.String(), "no-such-") || strings.Contains(out.String(), "as told") {
				t.Errorf("it says %q and %q", out.String(), faults.String())
			}
		})
	}
}
