package console

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReloadsAreTold(t *testing.T) {
	nine := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	reloads, shown := NewReloads("r1", nine), pages()
	shown.Reloads = reloads
	shown.Metrics.MustRegister(reloads)
	base := open(t, shown)
	const records = "5 records written, 0 wait; 3 MiB of the disk are free\n"
	steps := []struct {
		name    string
		do      func()
		verbose string
		metrics []string
	}{
		{"the start is no reload", func() {}, "ready\nrevision r1 in force since 2026-11-21T09:00:00Z\n", []string{
			`countersign_reload_failed 0`, `countersign_snapshot_info{revision="r1"} 1`,
			`countersign_reloads_total{result="loaded"} 0`, `countersign_reloads_total{result="refused"} 0`, `countersign_reloads_total{result="unchanged"} 0`}},
		{"a refused one leaves what is in force", func() { reloads.Refused(errors.New("site.rego:3: no"), nine.Add(time.Hour)) },
			"ready\nrevision r1 in force since 2026-11-21T09:00:00Z\nthe last reload was refused at 2026-11-21T10:00:00Z:\nsite.rego:3: no\n", []string{
				`countersign_reload_failed 1`, `countersign_snapshot_info{revision="r1"} 1`, `countersign_reloads_total{result="refused"} 1`}},
		{"what was taken back is in force since it was loaded", func() { reloads.Loaded("r1", nine.Add(2*time.Hour)) },
			"ready\nrevision r1 in force since 2026-11-21T09:00:00Z\n", []string{
				`countersign_reload_failed 0`, `countersign_reloads_total{result="unchanged"} 1`}},
		{"a good one replaces the revision", func() { reloads.Loaded("r2", nine.Add(3*time.Hour)) },
			"ready\nrevision r2 in force since 2026-11-21T12:00:00Z\n", []string{
				`countersign_snapshot_info{revision="r2"} 1`, `countersign_reloads_total{result="loaded"} 1`}},
	}
	for _, step := range steps {
		step.do()
		if status, body := get(t, base+"/readyz?verbose"); status != 200 || body != step.verbose+records {
			t.Errorf("%s: verbose = %d %q, want 200 %q", step.name, status, body, step.verbose+records)
		}
		if status, body := get(t, base+"/readyz"); status != 200 || body != "ready\n" {
			t.Errorf("%s: /readyz = %d %q, want it green", step.name, status, body)
		}
		_, body := get(t, base+"/metrics")
		for _, line := range step.metrics {
			if !strings.Contains(body, line+"\n") {
				t.Errorf("%s: metrics lack %s", step.name, line)
			}
		}
		if strings.Count(body, "countersign_snapshot_info{") != 1 {
			t.Errorf("%s: not one revision is told:\n%s", step.name, body)
		}
	}
}
