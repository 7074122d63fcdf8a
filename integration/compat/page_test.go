package compat

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of docs/from-opa-envoy-plugin.md anew")

// The table stands between these lines.
const (
	tableBegins = "<!-- from integration/compat/differs.yaml -->\n"
	tableEnds   = "<!-- end -->\n"
)

// differing is the table of differs.yaml.
func differing(t *testing.T) string {
	t.Helper()
	var table strings.Builder
	table.WriteString("| Of a policy or a request | opa-envoy-plugin | Countersign |\n|---|---|---|\n")
	told := map[string]bool{}
	for _, r := range read(t, "differs.yaml") {
		if told[r.Row] {
			continue
		}
		told[r.Row] = true
		ours := r.Ours
		if ours == "" {
			ours = fmt.Sprintf("%d, `%s`", r.Want.Status, r.Want.Reason)
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", r.What, r.Peer, ours)
	}
	return table.String()
}

// TestPageHasTheTable holds that the page tells what differs.
func TestPageHasTheTable(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "from-opa-envoy-plugin.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(page), tableBegins)
	shown, after, ended := strings.Cut(rest, tableEnds)
	if !begun || !ended {
		t.Fatalf("%s has no place for the table", file)
	}
	want := differing(t)
	if *update {
		if err := os.WriteFile(file, []byte(before+tableBegins+want+tableEnds+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("the table is not current: run go test ./integration/compat -update (-want +got):\n%s", diff)
	}
}
