package bundles

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/keys"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/rest"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// soon polls every second, which is as often as OPA's downloader can.
func soon(source bundle.Source) bundle.Source {
	second := int64(1)
	source.Polling.MinDelaySeconds, source.Polling.MaxDelaySeconds = &second, &second
	return source
}

// eventually polls until what is asked holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

const module = "package countersign.site\n\ndeny contains \"closed\" if data.site.closed\n"

func signed(key bundlestest.Key, revision string) bundlestest.Bundle {
	return bundlestest.Bundle{Revision: revision, By: key, Files: map[string]string{"/site.rego": module, "/site/data.json": `{"closed": true}`}}
}

// world is a server of one signed bundle, and a configuration that names it.
type world struct {
	*bundlestest.Server
	key    bundlestest.Key
	config Config
	store  Store
}

func newWorld(t *testing.T) *world {
	server, key := bundlestest.Serve(t), bundlestest.NewKey(t, "release")
	return &world{
		Server: server,
		key:    key,
		store:  Store{Folder: filepath.Join(t.TempDir(), "bundles")},
		config: Config{
			Services: map[string]rest.Config{"policies": {URL: server.URL}},
			Keys:     map[string]keys.Config{"release": {Key: key.Public, Algorithm: "ES256"}},
			Bundles:  map[string]bundle.Source{"authz": soon(bundle.Source{Resource: "authz.tar.gz", Signing: &opabundle.VerificationConfig{KeyID: "release"}})},
		},
	}
}

// follow starts a follower, which ends with the test.
func (w *world) follow(t *testing.T) *Follower {
	t.Helper()
	follower, err := Follow(w.config, w.store)
	if err != nil {
		t.Fatal(err)
	}
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(follower.Close)
	return follower
}

// next waits for a set whose first bundle has the revision.
func next(t *testing.T, follower *Follower, revision string) *Set {
	t.Helper()
	var got *Set
	eventually(t, revision+" comes", func() bool {
		set, err := follower.Next()
		got = set
		return err == nil && set != nil && set.Bundles[0].Revision == revision
	})
	return got
}

// TestFollowsWhatIsServed downloads a signed bundle, is told that nothing is new, follows
// to the next, and survives a server that is away.
func TestFollowsWhatIsServed(t *testing.T) {
	w := newWorld(t)
	w.Put("authz.tar.gz", signed(w.key, "v1").Build(t))
	follower := w.follow(t)
	first := next(t, follower, "v1")
	want := []authz.Bundle{{Name: "authz", Revision: "v1", Signer: "release"}}
	if diff := cmp.Diff(want, first.Names()); diff != "" {
		t.Errorf("bundles (-want +got):\n%s", diff)
	}
	eventually(t, "nothing is new", func() bool { _, unchanged := w.Asked(); return unchanged > 0 })
	if sent, _ := w.Asked(); sent != 1 {
		t.Errorf("it was sent %d times, want once: it has an ETag", sent)
	}
	w.Kill()
	eventually(t, "that is told", func() bool {
		faults := follower.Faults()
		return len(faults) == 1 && !faults[0].Refused && follower.State().Counts[Count{"authz", Unreachable}] > 0
	})
	if set, err := follower.Next(); err != nil || set.ID != first.ID {
		t.Errorf("Next() = %v, %v without the server, want what was there", set, err)
	}
	w.Put("authz.tar.gz", signed(w.key, "v2").Build(t))
	w.Restart(t)
	if second := next(t, follower, "v2"); second.ID == first.ID {
		t.Error("two sets have one id")
	}
}

// TestRefusesWhatIsDownloaded holds that nothing of it comes to be a set.
func TestRefusesWhatIsDownloaded(t *testing.T) {
	other := bundlestest.NewKey(t, "release")
	many := map[string]string{}
	for i := range 64 {
		many[fmt.Sprintf("/%d/data.json", i)] = `"` + strings.Repeat("a", 60<<10) + `"`
	}
	tests := []struct {
		name    string
		serve   func(w *world) []byte
		says    string
		against func(w *world)
	}{
		{"without a signature", func(w *world) []byte { return signed(bundlestest.Key{}, "v1").Build(t) }, "signature", nil},
		{"by another key of that id", func(w *world) []byte { return signed(other, "v1").Build(t) }, "verify JWT signature", nil},
		{"whose file was changed", func(w *world) []byte {
			return tamper(t, signed(w.key, "v1").Build(t), "/site.rego", "package countersign.site\n")
		}, "digest mismatch", nil},
		{"with a file that nobody signed", func(w *world) []byte {
			return tamper(t, signed(w.key, "v1").Build(t), "/more.rego", "package countersign.site\n\nwaive contains \"owner\"\n")
		}, "not included in bundle signature", nil},
		{"for another scope", func(w *world) []byte { return signed(w.key, "v1").Build(t) }, "scope mismatch", func(w *world) {
			w.config.Bundles["authz"].Signing.Scope = "production"
		}},
		{"of one large file", func(w *world) []byte {
			return bundlestest.Bundle{By: w.key, Files: map[string]string{"/data.json": `{"a": "` + strings.Repeat("a", 3<<20) + `"}`}}.Build(t)
		}, "size_limit_bytes", nil},
		{"of many small files", func(w *world) []byte { return bundlestest.Bundle{By: w.key, Files: many}.Build(t) }, "size_limit_bytes", nil},
		{"large as it comes", func(w *world) []byte { return make([]byte, 2<<20) }, "size_limit_bytes", nil},
		{"that is none", func(w *world) []byte { return []byte("no bundle") }, "archive read failed", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.against != nil {
				test.against(w)
			}
			made := w.config.Bundles["authz"]
			made.SizeLimitBytes = 1 << 20
			w.config.Bundles["authz"] = made
			w.Put("authz.tar.gz", test.serve(w))
			follower := w.follow(t)
			var faults []Fault
			eventually(t, "it is refused", func() bool { faults = follower.Faults(); return len(faults) > 0 })
			if !faults[0].Refused || !strings.Contains(faults[0].Because.Error(), test.says) || !strings.Contains(faults[0].Because.Error(), `bundle "authz"`) {
				t.Errorf("fault %+v, want a refusal of the bundle that says %q", faults[0], test.says)
			}
			if set, err := follower.Next(); set != nil || err != nil {
				t.Errorf("Next() = %v, %v, want none", set, err)
			}
			if state := follower.State(); state.Counts[Count{"authz", Refused}] == 0 || state.Refusal == nil {
				t.Errorf("state %+v, want the refusal counted and told", state)
			}
		})
	}
}

// tamper puts a file into a bundle, its signature left as it is.
func tamper(t *testing.T, raw []byte, name, text string) []byte {
	t.Helper()
	files := bundlestest.Unpack(t, raw)
	files[name] = text
	return bundlestest.Pack(t, files)
}

// TestBundlesAreDisjoint joins two, and refuses two that overlap by the names of both.
func TestBundlesAreDisjoint(t *testing.T) {
	server := bundlestest.Serve(t)
	w := &world{Server: server, store: Store{Folder: t.TempDir()}, config: Config{
		Services: map[string]rest.Config{"policies": {URL: server.URL}},
		Bundles:  map[string]bundle.Source{"limits": soon(bundle.Source{Resource: "limits.tar.gz"}), "rules": soon(bundle.Source{Resource: "rules.tar.gz"})},
	}}
	rules := bundlestest.Bundle{Revision: "r1", Roots: []string{"countersign/site", "site/rules"}, Files: map[string]string{"/site.rego": module}}
	limits := bundlestest.Bundle{Revision: "l1", Roots: []string{"site"}, Files: map[string]string{"/site/data.json": `{"closed": true}`}}
	w.Put("rules.tar.gz", rules.Build(t))
	follower := w.follow(t)
	eventually(t, "one of them comes", func() bool { return follower.State().Counts[Count{"rules", New}] == 1 })
	if set, err := follower.Next(); set != nil || err != nil {
		t.Errorf("Next() = %v, %v while one is missing, want none", set, err)
	}
	w.Put("limits.tar.gz", limits.Build(t))
	eventually(t, "both are refused", func() bool {
		_, err := follower.Next()
		return err != nil && strings.Contains(err.Error(), `"limits"`) && strings.Contains(err.Error(), `"rules"`) && strings.Contains(err.Error(), "/site/rules")
	})
	limits.Roots, limits.Files = []string{"site/limits"}, map[string]string{"/site/limits/data.json": `{}`}
	w.Put("limits.tar.gz", limits.Build(t))
	eventually(t, "they are one set", func() bool { set, err := follower.Next(); return err == nil && len(set.Bundles) == 2 })
}

// TestKeptSetsAreVerifiedAgain keeps a set, and loads it only as long as it is what was
// kept, and its key is one of the configuration's.
func TestKeptSetsAreVerifiedAgain(t *testing.T) {
	w := newWorld(t)
	w.Put("authz.tar.gz", signed(w.key, "v1").Build(t))
	set := next(t, w.follow(t), "v1")
	if _, err := w.store.InForce(&w.config); !errors.Is(err, ErrNone) {
		t.Errorf("InForce() before any was = %v, want ErrNone", err)
	}
	keep := func() {
		t.Helper()
		if err := w.store.Keep(set, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	keep()
	loaded, err := w.store.InForce(&w.config)
	if err != nil || loaded.ID != set.ID {
		t.Fatalf("InForce() = %v, %v, want the set that was kept", loaded, err)
	}
	file := filepath.Join(w.store.Folder, set.ID, "0.tar.gz")
	for _, name := range []string{file, filepath.Dir(file), filepath.Join(w.store.Folder, set.ID, "set.json")} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v, want it for its owner alone", name, info.Mode(), err)
		}
	}
	if err := os.WriteFile(file, signed(w.key, "v0").Build(t), 0o600); err != nil { // signed, and another
		t.Fatal(err)
	}
	if _, err := w.store.InForce(&w.config); !errors.Is(err, errDamaged) {
		t.Errorf("InForce() of another bundle = %v, want errDamaged", err)
	}
	keep()
	other := w.config
	other.Keys = map[string]keys.Config{"release": {Key: bundlestest.NewKey(t, "release").Public, Algorithm: "ES256"}}
	if set, err := w.store.InForce(&other); err == nil {
		t.Errorf("InForce() = %v by another key, want an error", set)
	}
	other = w.config
	made := other.Bundles["authz"]
	other.Bundles = map[string]bundle.Source{"renamed": made}
	if set, err := w.store.InForce(&other); err == nil {
		t.Errorf("InForce() = %v of other bundles, want an error", set)
	}
}

// TestFewSetsAreKept keeps the last five, and the one that is pinned.
func TestFewSetsAreKept(t *testing.T) {
	store := Store{Folder: t.TempDir()}
	begin := time.Now()
	var ids []string
	for i := range 9 {
		raw := []byte(fmt.Sprint("content ", i))
		set, err := newSet(map[string]*Bundle{"a": {Bundle: authz.Bundle{Name: "a", Revision: fmt.Sprint("v", i)}, raw: raw, digest: sha256.Sum256(raw)}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, set.ID)
		if err := store.Keep(set, begin.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if _, err := store.Pin("v1", begin); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{ids[8], ids[7], ids[6], ids[5], ids[4], ids[1]}
	kept, err := store.List()
	var got []string
	for _, each := range kept {
		got = append(got, each.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("kept, %v (-want +got):\n%s", err, diff)
	}
	if _, err := store.Pin("v2", begin); err == nil || !strings.Contains(err.Error(), "v8") {
		t.Errorf("Pin of one that is not kept = %v, want those that are", err)
	}
}

// TestReportsInOPAsForm posts what became of bundles.
func TestReportsInOPAsForm(t *testing.T) {
	w := newWorld(t)
	w.config.Status = &Status{PartitionName: "payments/eu"}
	w.Put("authz.tar.gz", signed(w.key, "v1").Build(t))
	follower := w.follow(t)
	set := next(t, follower, "v1")
	if err := follower.Activated(set, time.Now()); err != nil {
		t.Fatal(err)
	}
	follower.Refused(set, errors.New("it does not compile"), time.Now())
	eventually(t, "the refusal is reported", func() bool {
		for _, report := range w.Server.Status() {
			if text := string(report); strings.Contains(text, `"active_revision":"v1"`) && strings.Contains(text, `"code":"bundle_error","message":"it does not compile"`) &&
				strings.Contains(text, `"labels":{"app":"countersign","id":"`) {
				return true
			}
		}
		return false
	})
}

// TestRedirectsKeepSecrets follows no redirect from https to http, and tells another host
// nothing of the service's headers.
func TestRedirectsKeepSecrets(t *testing.T) {
	s := &source{service: rest.Config{Headers: map[string]string{"X-Api-Key": "secret"}}}
	first := httptest.NewRequest("GET", "https://policies.example/a", nil)
	for to, want := range map[string]bool{"https://policies.example/b": true, "https://store.example/b": true, "http://policies.example/b": false, "http://127.0.0.1/b": false} {
		next := httptest.NewRequest("GET", to, nil)
		next.Header.Set("X-Api-Key", "secret")
		if err := s.follows(next, []*http.Request{first}); (err == nil) != want {
			t.Errorf("%s: %v, want it followed: %t", to, err, want)
		}
		if kept := next.Header.Get("X-Api-Key") != ""; kept && strings.Contains(to, "store") {
			t.Errorf("%s: is told the service's header", to)
		}
	}
}

// TestPinsThatCannotBeReadHoldEverything holds that nothing else is put in force while it is
// not known what is pinned, and that it is told once.
func TestPinsThatCannotBeReadHoldEverything(t *testing.T) {
	w := newWorld(t)
	w.Put("authz.tar.gz", signed(w.key, "v1").Build(t))
	follower := w.follow(t)
	if err := follower.Activated(next(t, follower, "v1"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.store.pinFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !follower.PinChanged() || follower.PinChanged() {
		t.Error("a pin that cannot be read is not told, or told twice")
	}
	if set, err := follower.Next(); err == nil {
		t.Errorf("Next() = %v, want an error", set)
	}
	if was, err := w.store.Unpin(); !was || err != nil {
		t.Fatal(was, err)
	}
	if set, err := follower.Next(); !follower.PinChanged() || err == nil && set == nil {
		t.Error("without the pin it does not go on")
	}
}

// TestRevisionsAreOneShortLine holds what a bundle can write into logs and records.
func TestRevisionsAreOneShortLine(t *testing.T) {
	for revision, want := range map[string]string{"v1": "v1", "v1\nready": "v1\ufffdready", strings.Repeat("é", 100): strings.Repeat("é", 64), "\xff": ""} {
		if got := line(revision, maxRevision); got != want {
			t.Errorf("line(%q) = %q, want %q", revision, got, want)
		}
	}
}

// TestFailuresAreToldWithoutSecrets holds what a server can have logs, pages and reports
// say, and what they never do.
func TestFailuresAreToldWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	store := httptest.NewServer(http.RedirectHandler(gone.URL+"/authz.tar.gz?X-Amz-Signature=secret", http.StatusFound))
	t.Cleanup(store.Close)
	w.config.Services["policies"] = rest.Config{URL: store.URL}
	follower := w.follow(t)
	var faults []Fault
	eventually(t, "it is told", func() bool { faults = follower.Faults(); return len(faults) > 0 })
	if text := faults[0].Because.Error(); strings.Contains(text, "secret") || !strings.Contains(text, gone.URL+"/authz.tar.gz?…") {
		t.Errorf("told %q, want the URL without its query", text)
	}

	forged := signed(w.key, "v1").Build(t)
	text := toTell(fmt.Errorf("file %s\nready\x1b[2J%s", "a", strings.Repeat("b", 1<<20))).Error()
	if strings.ContainsAny(text, "\n\x1b") || len(text) > 2*maxTold {
		t.Errorf("told %d bytes, %q…", len(text), text[:40])
	}
	p, err := w.config.plan()
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.source("authz").parse(tamper(t, forged, "/a\nready\n.rego", "package a\n"), "")
	if err == nil || strings.Contains(toTell(err).Error(), "\n") {
		t.Errorf("told %v, want one line", err)
	}
}

// TestNoOlderSetStandsInForTheLatest holds that a start goes back to no release because the
// last one is damaged, and that one which comes again is kept as it is.
func TestNoOlderSetStandsInForTheLatest(t *testing.T) {
	w := newWorld(t)
	follower := w.follow(t)
	keep := func(revision string, at time.Time) *Set {
		t.Helper()
		w.Put("authz.tar.gz", signed(w.key, revision).Build(t))
		set := next(t, follower, revision)
		if err := w.store.Keep(set, at); err != nil {
			t.Fatal(err)
		}
		return set
	}
	begin := time.Now()
	first, second := keep("v1", begin.Add(-2*time.Hour)), keep("v2", begin.Add(-time.Hour))
	folder := filepath.Join(w.store.Folder, first.ID)
	before, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Keep(first, begin); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(folder); err != nil || !os.SameFile(before, after) {
		t.Errorf("a set that is whole is written anew: %v", err)
	}
	if got, err := w.store.Latest(&w.config); err != nil || got.ID != first.ID {
		t.Errorf("Latest() = %v, %v, want the one that came again", got, err)
	}
	if err := os.WriteFile(filepath.Join(folder, setFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := w.store.Latest(&w.config); !errors.Is(err, errDamaged) {
		t.Errorf("Latest() = %v, %v, want errDamaged and not %s", got, err, second.ID)
	}
	if _, err := w.store.Pin(first.ID, begin); err == nil || !strings.Contains(err.Error(), "is damaged on disk") {
		t.Errorf("Pin of a damaged set = %v", err)
	}
	if _, err := w.store.Pin("v2", begin); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(w.store.pinFile()); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the pin is %v, %v, want it to be read by who serves, too", info.Mode(), err)
	}
	if err := w.store.Keep(first, begin); err != nil {
		t.Fatal(err)
	}
	if got, err := w.store.Latest(&w.config); err != nil || got.ID != first.ID {
		t.Errorf("Latest() = %v, %v, want the damaged one mended", got, err)
	}
}
