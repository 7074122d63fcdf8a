//go:build slow

package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

const (
	diskSize = "8m"
	// reserve is what Countersign keeps of the disk for records.
	reserve = 2 << 20
	// nobodies are requests that are refused before authentication.
	nobodies = 5
	// noRoom is ENOSPC's text.
	noRoom = "no space left on device"
)

// smallDisk is a file system that only lives in namespaces of its own, for which nobody
// need be root. What is started by the program joins them.
type smallDisk struct {
	// folder is where this process reaches the disk. So does whatever has joined.
	folder string
	// memory is a folder beside it, which is a tmpfs.
	memory  string
	program string
}

// The disk lies over a tmpfs, but does not look like one, where records are refused.
const mountDisk = `mount -t tmpfs -o size=` + diskSize + ` tmpfs "$1" &&
mkdir -m 700 "$1/memory" "$1/lower" "$1/upper" "$1/work" "$1/disk" &&
mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" overlay "$1/disk" &&
echo mounted && exec cat`

// newDisk makes a disk that goes with the test.
func newDisk(t *testing.T) *smallDisk {
	t.Helper()
	at := t.TempDir()
	var said bytes.Buffer
	holder := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mountDisk, "sh", at)
	holder.Stderr = &said
	hold, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	told, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatalf("this test needs unshare and nsenter of util-linux: %v", err)
	}
	line, err := bufio.NewReader(told).ReadString('\n')
	end := func() error { return errors.Join(hold.Close(), holder.Wait()) }
	if line != "mounted\n" {
		t.Fatalf("this test needs user namespaces in which tmpfs and overlay can be mounted; run it where they are allowed: %v\n%s",
			errors.Join(err, end()), &said)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	seen := filepath.Join(fmt.Sprintf("/proc/%d/root", holder.Process.Pid), at)
	d := &smallDisk{folder: filepath.Join(seen, "disk"), memory: filepath.Join(seen, "memory")}
	d.program = d.join(t, holder.Process.Pid)
	return d
}

// join writes a program that is Countersign, with the disk.
func (d *smallDisk) join(t *testing.T, holder int) string {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "countersign")
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter --target %d --user --mount --preserve-credentials -- '%s' \"$@\"\n", holder, found.countersign)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// keepRecords makes a run folder whose records are in another folder.
func keepRecords(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(folder, filepath.Join(dir, "records")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fill takes of the disk all but so many bytes.
func (d *smallDisk) fill(t *testing.T, but int64) {
	t.Helper()
	var status syscall.Statfs_t
	if err := syscall.Statfs(d.folder, &status); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	take := max(0, int64(status.Bavail)*status.Bsize-but)
	if _, err := file.Write(make([]byte, take)); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// empty gives back what fill has taken.
func (d *smallDisk) empty(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		t.Fatal(err)
	}
}

func (d *smallDisk) filler() string { return filepath.Join(d.folder, "filler") }

// full is a bank whose records are on a small disk.
type full struct {
	disk    *smallDisk
	stack   *bank.Stack
	granted []bank.Story
	// ids are the decisions that were granted.
	ids []string
}

// TestSlowFullDisk fills the disk that the log is on, and makes room again. Only what is
// recorded is granted, what comes before records ends first, health says why nothing is
// granted, and all is as before as soon as there is room.
func TestSlowFullDisk(t *testing.T) {
	f := &full{disk: newDisk(t), granted: grantedStories(t)}
	// Whoever sends a proof asks for a nonce first, which is refused, and counted.
	f.granted = slices.DeleteFunc(f.granted, func(s bank.Story) bool { return s.Ask.Proof != nil })
	f.stack = startBank(t, patient(bank.Options{Silent: true, Countersign: f.disk.program, ConfigureEnvoy: untraced,
		Dir: keepRecords(t, f.disk.folder),
		Configure: func(configuration string) string {
			return strings.Replace(configuration, "{folder: records}", fmt.Sprintf("{folder: records, reserve_bytes: %d}", reserve), 1)
		}}))
	f.wantGranted(t, len(f.granted))
	f.holdFull(t)
	f.wantGranted(t, len(f.granted))
	f.holdReserve(t)
	f.wantGranted(t, len(f.granted))
	f.wantRecorded(t)
	f.restart(t)
	f.wantGranted(t, len(f.granted))
	f.wantRecorded(t)
}

// holdFull fills the whole disk. That there is room again shows although nobody asks, and
// although nothing is owed to the log.
func (f *full) holdFull(t *testing.T) {
	t.Helper()
	f.exhaust(t)
	f.await(t, "countersign_records_failed 1", noRoom)
	f.wantNothingGranted(t)
	f.disk.empty(t)
	f.await(t, "countersign_records_failed 0", "")
	f.await(t, "countersign_inputs_failed 0", "")
	f.await(t, "countersign_records_reserve_reached 0", "")
}

// holdReserve fills the disk but for a part of the reserve, which is for records alone.
func (f *full) holdReserve(t *testing.T) {
	t.Helper()
	f.disk.fill(t, reserve/2)
	f.await(t, "countersign_records_reserve_reached 1", "")
	f.wantGranted(t, 0)
	f.refuse(t)
	f.disk.empty(t)
	f.await(t, "countersign_records_reserve_reached 0", "")
	for _, one := range awaitRecords(t, f.stack, len(f.ids)+nobodies) {
		if one.Reason == "no_credentials" && one.Count == 0 {
			t.Error("a refusal before authentication was written to the reserve")
		}
	}
}

// wantGranted asks all that is granted, side by side, of which so many inputs are kept.
func (f *full) wantGranted(t *testing.T, kept int) {
	t.Helper()
	before := len(inputsOf(t, f.stack))
	for i, got := range askTogether(t, f.stack, f.granted) {
		if got.status != f.granted[i].Want.Status || got.id == "" {
			t.Errorf("%s: %d %s, want %d", f.granted[i].Name, got.status, got.code, f.granted[i].Want.Status)
		}
		f.ids = append(f.ids, got.id)
	}
	what := fmt.Sprintf("%d inputs of %d grants are kept", kept, len(f.granted)) // which no answer waits for
	eventually(t, what, func() bool { return len(inputsOf(t, f.stack))-before == kept })
}

// wantNothingGranted asks the same, and reaches nobody.
func (f *full) wantNothingGranted(t *testing.T) {
	t.Helper()
	called := f.called()
	for range 3 {
		for i, got := range askTogether(t, f.stack, f.granted) {
			if got.status != http.StatusServiceUnavailable || got.code != "not_recorded" {
				t.Errorf("%s: %d %s, want 503 for not_recorded", f.granted[i].Name, got.status, got.code)
			}
		}
	}
	if calls := f.called() - called; calls != 0 {
		t.Errorf("the upstream was called %d times", calls)
	}
}

func (f *full) called() int {
	calls := 0
	for _, story := range f.granted {
		calls += f.stack.Upstream.Calls(story.Name)
	}
	return calls
}

// refuse asks what is refused to nobody in particular, and waits until it is counted.
func (f *full) refuse(t *testing.T) {
	t.Helper()
	story := f.granted[0]
	story.Name, story.Ask.Token = "nobody", bank.Token{}
	for _, got := range askTogether(t, f.stack, slices.Repeat([]bank.Story{story}, nobodies)) {
		if got.status != http.StatusUnauthorized {
			t.Errorf("without a token: %d %s, want 401", got.status, got.code)
		}
	}
	f.await(t, fmt.Sprintf("countersign_refusals_counted_total %d", nobodies), "")
}

// exhaust fills the disk until the shortest record has no room in what is left of the
// last block. What is granted until then counts.
func (f *full) exhaust(t *testing.T) {
	t.Helper()
	shortest := slices.IndexFunc(stories(t), func(s bank.Story) bool { return s.Want.Allowed && s.Ask.Token.As == "" })
	story := stories(t)[shortest]
	for range 100 {
		f.disk.fill(t, 0)
		got := askTogether(t, f.stack, []bank.Story{story})[0]
		if got.status == http.StatusServiceUnavailable {
			return
		}
		f.ids = append(f.ids, got.id)
	}
	t.Fatal("with the disk full 100 requests were granted")
}

// await waits, asking for no decision, until metrics have a line, and /readyz and gRPC's
// health are good, or, with a cause, are not, and /readyz names it.
func (f *full) await(t *testing.T, line, cause string) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(longest); ; <-poll.C {
		lacking := f.lacking(t, line, cause)
		if lacking == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v: %s", longest, lacking)
		}
	}
}

func (f *full) lacking(t *testing.T, line, cause string) string {
	t.Helper()
	wantReady, wantHealth := http.StatusOK, healthv1.HealthCheckResponse_SERVING
	if cause != "" {
		wantReady, wantHealth = http.StatusServiceUnavailable, healthv1.HealthCheckResponse_NOT_SERVING
	}
	status, told := f.ready(t)
	health := f.health(t)
	if status != wantReady || health != wantHealth || !strings.Contains(told, cause) {
		return fmt.Sprintf("health is %v, /readyz %d %s", health, status, told)
	}
	if metrics := page(t, f.stack.Admin+"/metrics"); !strings.Contains(metrics, "\n"+line+"\n") {
		return "metrics lack " + line
	}
	return ""
}

func (f *full) ready(t *testing.T) (int, string) {
	t.Helper()
	response, err := http.Get(f.stack.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(body.String())
}

func (f *full) health(t *testing.T) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	connection, err := grpc.NewClient(f.stack.Authz, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	told, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return told.GetStatus()
}

// wantRecorded holds that all that was granted, and nothing else, is recorded as such.
func (f *full) wantRecorded(t *testing.T) {
	t.Helper()
	var allowed []string
	for _, one := range recordsOf(t, f.stack) {
		if one.Allowed {
			allowed = append(allowed, one.ID)
		}
	}
	slices.Sort(allowed)
	slices.Sort(f.ids)
	if !slices.Equal(allowed, f.ids) {
		t.Errorf("%d allows are recorded, want those of the %d grants", len(allowed), len(f.ids))
	}
}

// restart kills Countersign and starts it again: its files are whole.
func (f *full) restart(t *testing.T) {
	t.Helper()
	if err := f.stack.KillCountersign(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	if err := f.stack.RestartCountersign(ctx); err != nil {
		t.Fatal(err)
	}
	log, err := f.stack.CountersignLog()
	if err != nil || strings.Contains(log, "found=") {
		t.Errorf("the log of the start, with %v:\n%s", err, log)
	}
}

// TestSlowRecordsInMemoryAreRefused starts Countersign with its records on a tmpfs.
func TestSlowRecordsInMemoryAreRefused(t *testing.T) {
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	disk := newDisk(t)
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	stack, err := bank.Start(ctx, bank.Options{Dir: keepRecords(t, disk.memory), Countersign: disk.program, Envoy: found.envoy})
	if err == nil {
		t.Fatal(errors.Join(errors.New("it started"), stack.Close()))
	}
	for _, want := range []string{"exit status 2", "audit.folder", "is in memory (tmpfs)", "name a folder on a disk"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Start = %v, without %q", err, want)
		}
	}
}
