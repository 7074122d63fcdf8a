package integration

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// buildOverlay names an environment variable that holds the path of an overlay for
// building Countersign (go help build, -overlay): so a run of these tests can ask a
// Countersign whose source differs from the checkout's. Empty means the checkout's.
const buildOverlay = "COUNTERSIGN_BUILD_OVERLAY"

// built is the folder that Countersign is built into; it goes when the tests end.
var built string

func TestMain(m *testing.M) {
	if address := os.Getenv(loadAddress); address != "" {
		os.Exit(load(address, os.Stdin, os.Stdout))
	}
	dir, err := os.MkdirTemp("", "countersign-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// programs are what the tests start: Countersign, built with the race detector, and
// Envoy, which make installs.
type programs struct{ countersign, envoy string }

// find makes Countersign and looks for Envoy when a test first needs them, once.
var find = sync.OnceValues(func() (programs, error) {
	found := programs{countersign: filepath.Join(built, "countersign")}
	build := exec.Command("go", "build", "-race", "-overlay", os.Getenv(buildOverlay), "-o", found.countersign, "../cmd/countersign")
	if out, err := build.CombinedOutput(); err != nil {
		return programs{}, fmt.Errorf("building countersign: %w\n%s", err, out)
	}
	for _, name := range []string{os.Getenv("COUNTERSIGN_ENVOY"), "envoy", filepath.Join("..", ".tools", "envoy", "bin", "envoy")} {
		if path, err := exec.LookPath(name); err == nil {
			found.envoy = path
			return found, nil
		}
	}
	return programs{}, fmt.Errorf("there is no envoy: run these tests by make test, which installs it")
})

// startBank starts the bank with everything, and ends it with the test. Its run folder
// is a new one, and Countersign the one built, where the options name none.
func startBank(t *testing.T, options bank.Options) *bank.Stack {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	options.Dir = cmp.Or(options.Dir, t.TempDir())
	options.Countersign, options.Envoy = cmp.Or(options.Countersign, found.countersign), found.envoy
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
