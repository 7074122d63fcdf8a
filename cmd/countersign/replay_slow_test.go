//go:build slow

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
	"github.com/countersign-io/countersign/cmd/countersign/config"
)

// TestSlowReplayTakesTheSameMemory replays logs of 10,000 and of 1,000,000 records, made of
// 1,200 that the pipeline decided, and tells what that cost.
func TestSlowReplayTakesTheSameMemory(t *testing.T) {
	file, all := recordedBank(t, "pruned", 1200, func(dir string) { plant(t, dir) })
	candidate := filepath.Join(filepath.Dir(file), "candidate")
	if err := os.CopyFS(candidate, os.DirFS(filepath.Join(filepath.Dir(file), "policy"))); err != nil {
		t.Fatal(err)
	}
	plant(t, candidate, 11, 42, 73)
	pasts := pastsOf(t, file)
	if len(pasts) != len(all) {
		t.Fatalf("%d records, want %d", len(pasts), len(all))
	}
	folder := "records"
	planted := map[string]bool{all[11].id: true, all[42].id: true, all[73].id: true}
	var peaks []int
	for _, count := range []int{10_000, 1_000_000} {
		next := "records-" + strconv.Itoa(count)
		rewrite(t, file, "folder: "+folder+",", "folder: "+next+",")
		folder = next
		flips := multiply(t, file, pasts, planted, count)
		began := time.Now()
		out, peak := peakOf(t, "replay", "--config", file, "--policy", candidate)
		took := time.Since(began)
		t.Logf("%d records in %s, %.0f a second, peak %d KiB", count, took.Round(time.Millisecond), float64(count)/took.Seconds(), peak)
		if !strings.Contains(out, fmt.Sprintf("\nflipped        %d ", flips)) {
			t.Errorf("of %d, not %d flips are told:\n%s", count, flips, out)
		}
		peaks = append(peaks, peak)
	}
	if ratio := float64(peaks[1]) / float64(peaks[0]); ratio > 1.2 {
		t.Errorf("a million records take %.2f times the memory of ten thousand, want 1.2 at most", ratio)
	}
}

func pastsOf(t *testing.T, file string) []audit.Past {
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var pasts []audit.Past
	for past, err := range audit.NewHistory(cfg.Audit, time.Time{}, time.Time{}, audit.Mark{}).All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		pasts = append(pasts, past)
	}
	return pasts
}

// multiply writes a log of so many records, each a past one with an id and a time of its
// own, and returns how many are of the planted.
func multiply(t *testing.T, file string, pasts []audit.Past, planted map[string]bool, count int) (flips int) {
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cfg.Audit.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	inputs, records := segments(t, cfg.Audit.Folder, "inputs"), segments(t, cfg.Audit.Folder, "decisions")
	sealed := vault.New(cfg.Audit.Folder, secret.Open(cfg.Audit.InputKey, "", &authz.Problems{}))
	flipping := make([]bool, len(pasts))
	for i, past := range pasts {
		flipping[i] = planted[past.Record.Id]
	}
	var lines, kept []byte
	for n := range count {
		if flipping[n%len(pasts)] {
			flips++
		}
		past, id, at := pasts[n%len(pasts)], authz.NewDecisionID(), scriptTime.Add(time.Duration(n)*time.Millisecond)
		past.Record = proto.CloneOf(past.Record)
		past.Record.Id, past.Record.Time = id.String(), timestamppb.New(at)
		line, err := protojson.Marshal(past.Record)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
		if past.Input != nil {
			entry := *past.Input
			entry.ID, entry.Time = id, at
			if line, err = sealed.Seal(entry); err != nil {
				t.Fatal(err)
			}
			kept = append(kept, line...)
		}
		if n%1000 == 999 {
			if err := records.Append(lines, false); err != nil {
				t.Fatal(err)
			}
			if err := inputs.Append(kept, false); err != nil {
				t.Fatal(err)
			}
			lines, kept = lines[:0], kept[:0]
		}
	}
	return flips
}

func segments(t *testing.T, folder, name string) *segment.Writer {
	w, _, err := segment.Open(segment.Config{Folder: folder, Name: name, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// peakOf runs countersign as a process of its own, and returns what it tells and how much
// memory it had at most, in KiB: as the kernel counts it, looked at until it ends.
func peakOf(t *testing.T, args ...string) (out string, peak int) {
	var text bytes.Buffer
	command := exec.CommandContext(t.Context(), "countersign", args...)
	command.Stdout, command.Stderr = &text, &text
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if command.ProcessState.ExitCode() != exitFailed {
				t.Fatalf("countersign ends with %v, want exit code %d:\n%s", err, exitFailed, text.String())
			}
			return text.String(), peak
		case <-tick.C:
			peak = max(peak, highWater(command.Process.Pid))
		}
	}
}

var vmHWM = regexp.MustCompile(`(?m)^VmHWM:\s+([0-9]+) kB$`)

// highWater is 0 where the process has just ended.
func highWater(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if found := vmHWM.FindSubmatch(status); found != nil {
		most, _ := strconv.Atoi(string(found[1]))
		return most
	}
	return 0
}
