package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz/shadow"
)

// startTrying serves with closedPolicy tried beside the policy in force, which is open.
func startTrying(t *testing.T) *polled {
	t.Helper()
	file := bankFolder(t)
	dir := filepath.Dir(file)
	if err := os.CopyFS(filepath.Join(dir, "policy-next"), os.DirFS(filepath.Join(dir, "policy"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "policy-next", "site.rego"), closedPolicy)
	rewrite(t, file, "policy: {path: policy}", "policy:\n  path: policy\n  shadow: {path: policy-next}")
	return startPolled(t, file, nil)
}

func (p *polled) report(t *testing.T) shadow.Report {
	t.Helper()
	_, body := get(t, p.console+"/shadow")
	var report shadow.Report
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatalf("/shadow: %v: %s", err, body)
	}
	return report
}

// TestShadowRollout tries a policy on what a running Countersign decides, goes on with a
// decision that it tells of, and puts the policy in force by one line.
func TestShadowRollout(t *testing.T) {
	p := startTrying(t)
	if got := p.ask(t); !got.allowed {
		t.Fatalf("while another policy is tried %+v, want it allowed", got)
	}
	eventually(t, "it is tried", func() bool { return p.report(t).Counts[shadow.Differs] == 1 })
	report := p.report(t)
	if len(report.Differences) != 1 {
		t.Fatalf("/shadow tells of %+v, want one difference", report)
	}
	row := report.Differences[0]
	if !row.Was.Allowed || row.Was.Reason != "granted" || row.Would.Allowed || row.Would.Reason != "closed" || row.Operation != "ReadStatus" || len(row.Decisions) != 1 {
		t.Errorf("the difference is %+v, want granted -> closed of ReadStatus", row)
	}
	p.wantMetrics(t, `countersign_shadow_total{api="accounts",operation="ReadStatus",outcome="differs"} 1`)
	if !strings.Contains(p.log.String(), "a policy is tried beside the one in force") {
		t.Errorf("the log does not say what is tried:\n%s", p.log.String())
	}
	p.wantExplained(t, row.Decisions[0], "candidate "+report.Candidate+", would have answered denied closed in place of allowed granted; what differs: allowed, reason, refusals\n")

	rewrite(t, p.file, "path: policy\n", "path: policy-next\n")
	p.settle(t)
	if got := p.ask(t); got.allowed || got.reason != "closed" {
		t.Errorf("after it was promoted %+v, want closed", got)
	}
	if !strings.Contains(p.log.String(), "policy.shadow is the policy in force: nothing is tried") {
		t.Errorf("the log does not say that nothing is tried:\n%s", p.log.String())
	}
	p.wantMetrics(t, `countersign_shadow_total{api="accounts",operation="ReadStatus",outcome="differs"} 1`)
	if after := p.report(t); after.Candidate != "" || after.Revision == report.Revision || !after.Since.After(report.Since) || len(after.Counts)+len(after.Differences) != 0 {
		t.Errorf("after it was promoted /shadow tells of what was tried before: %+v", after)
	}
}

// wantExplained waits until explain has a text of a decision: the record of a difference comes a
// moment after the decision's own.
func (p *polled) wantExplained(t *testing.T, id, want string) {
	t.Helper()
	eventually(t, "explain tells "+want, func() bool {
		var out, faults bytes.Buffer
		code := run(t.Context(), []string{"explain", "--config", p.file, "--decision", id}, world{environ: os.LookupEnv, stdout: &out, stderr: &faults})
		return code == exitOK && strings.Contains(out.String(), want) && strings.HasPrefix(out.String(), "ALLOWED\n")
	})
	var out, faults bytes.Buffer
	if code := run(t.Context(), []string{"replay", "--config", p.file}, world{environ: os.LookupEnv, stdout: &out, stderr: &faults}); !strings.Contains(out.String(), "records    1, ") {
		t.Errorf("replay exits %d and tells of more than the decision:\n%s%s", code, out.String(), faults.String())
	}
}

// TestBrokenShadowIsRefused holds that what cannot be tried does not load, nor what was changed with it.
func TestBrokenShadowIsRefused(t *testing.T) {
	p := startTrying(t)
	before := p.ask(t)
	write(t, p.path("policy-next/site.rego"), brokenPolicy)
	p.settle(t)
	p.wantRefused(t, before, "policy-next/site.rego:4")
	write(t, p.path("policy-next/site.rego"), openPolicy)
	p.settle(t)
	if got := p.ask(t); !got.allowed || got.revision == before.revision {
		t.Errorf("after it was mended %+v, want another revision than %s", got, before.revision)
	}
}
