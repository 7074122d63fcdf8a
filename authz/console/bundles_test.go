package console

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// TestBundlesAreTold holds what metrics, readiness and status say of bundles, before there
// are any and after.
func TestBundlesAreTold(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	var now Bundling
	shown := pages()
	shown.Reloads = NewReloads("", at)
	shown.Bundles = NewBundles(func() Bundling { return now })
	shown.Metrics.MustRegister(shown.Bundles, shown.Reloads)
	base := open(t, shown)
	if _, text := get(t, base+"/readyz?verbose"); !strings.HasPrefix(text, "ready\nno revision is in force yet\n5 records") {
		t.Errorf("/readyz?verbose before there are any:\n%s", text)
	}
	if _, text := get(t, base+"/metrics"); strings.Contains(text, "countersign_snapshot_info{") || !strings.Contains(text, "\ncountersign_policy_pinned 0\n") {
		t.Errorf("metrics before there are any:\n%s", text)
	}

	now = Bundling{
		Set: "abc", Since: at, Bundles: []authz.Bundle{{Name: "rules", Revision: "v1", Signer: "release"}}, Pinned: "abc", PinnedSince: at,
		Downloads: []Downloads{{"rules", "new", 2}}, Asked: map[string]time.Time{"rules": at, "never": {}},
	}
	shown.Reloads.Loaded("r1", at)
	shown.Reloads.Refused(errors.New("too large"), at)
	_, text := get(t, base+"/status")
	var got Status
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := Status{Revision: "r1", Since: at, Ready: true, Set: "abc", Bundles: now.Bundles, Pinned: &Pinned{Set: "abc", Since: at}, Refused: &RefusedReload{At: at, Because: "too large"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("/status (-want +got):\n%s", diff)
	}
	if _, text := get(t, base+"/readyz?verbose"); !strings.Contains(text, "bundles abc in force since 2026-11-21T09:00:00Z: rules v1, signed by release\nbundles abc are pinned since ") {
		t.Errorf("/readyz?verbose:\n%s", text)
	}
	_, text = get(t, base+"/metrics")
	for _, line := range []string{
		`countersign_bundle_downloads_total{bundle="rules",result="new"} 2`,
		`countersign_bundle_success_timestamp_seconds{bundle="rules"} 1.7952516e+09`,
		`countersign_bundle_info{bundle="rules",revision="v1",signer="release"} 1`,
		`countersign_policy_pinned 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	if strings.Contains(text, `{bundle="never"}`) {
		t.Error("a server that never answered has a time")
	}
}

// TestRefusalsAreToldInBrief holds that a page can be read whatever was refused.
func TestRefusalsAreToldInBrief(t *testing.T) {
	shown := pages()
	shown.Reloads.BundlesRefused(errors.New(strings.Repeat("é", 1<<20)), time.Now())
	base := open(t, shown)
	for _, page := range []string{"/status", "/readyz?verbose"} {
		if _, text := get(t, base+page); len(text) > 2*maxBecause || !strings.Contains(text, "the log has the rest") {
			t.Errorf("%s has %d bytes", page, len(text))
		}
	}
}
