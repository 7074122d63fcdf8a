package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

const (
	// swapped is how many swaps a second there are, and paceFor how long checks are made
	// at half of the rate that saturates, each time.
	swapped = 10
	paceFor = 4 * time.Second
)

// BenchmarkSwaps measures what swaps of the policy do to the checks meanwhile: at half of
// the rate that saturates, p99 with ten swaps a second, each to another revision that is
// read and compiled anew, and p99 without. Each iteration has the one and then the other;
// of all, the median is told. 100 clients take turns, each with a token of its own.
// docs/performance.md reads the figures.
func BenchmarkSwaps(b *testing.B) {
	system, requests := openLargeFor(b, clients)
	checks := make([]*authv3.CheckRequest, len(requests))
	for i, request := range requests {
		checks[i] = checkRequest(request)
	}
	half := order{Checks: serialised(b, checks...)}
	client := startClient(b, serveSystem(b, system))
	half.Count = 5000
	full, err := client(half)
	if err == nil { // Once more, warm.
		full, err = client(half)
	}
	if err != nil {
		b.Fatal(err)
	}
	half.Every = 2 * full.Took / time.Duration(half.Count)
	half.Count = int(paceFor / half.Every)
	var still, swapping []float64
	swaps := 0
	for b.Loop() {
		still = append(still, p99(b, client, half))
		stop := swapAll(b, system)
		swapping = append(swapping, p99(b, client, half))
		swaps += stop()
		b.Logf("p99 %.1f ms without swaps, %.1f ms with", still[len(still)-1], swapping[len(swapping)-1])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(time.Second/half.Every), "checks/s")
	b.ReportMetric(float64(swaps)/float64(len(still))/paceFor.Seconds(), "swaps/s")
	b.ReportMetric(median(still), "p99-ms")
	b.ReportMetric(median(swapping), "swapping-p99-ms")
	b.ReportMetric(median(swapping)/median(still), "x-p99")
}

func p99(b *testing.B, client func(order) (outcome, error), checks order) float64 {
	b.Helper()
	got, err := client(checks)
	if err != nil {
		b.Fatal(err)
	}
	return float64(got.P99.Microseconds()) / 1e3
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// swapAll puts one revision after another in force, as a reload does, until it is
// stopped, and tells how many.
func swapAll(b *testing.B, system *wire.System) (stop func() int) {
	ticker := time.NewTicker(time.Second / swapped)
	end, swaps := make(chan struct{}), make(chan int, 1)
	go func() {
		count := 0
		defer func() { swaps <- count }()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
			}
			if err := swapOnce(system); err != nil {
				b.Error(err)
				return
			}
			count++
		}
	}()
	return func() int {
		ticker.Stop()
		close(end)
		return <-swaps
	}
}

func swapOnce(system *wire.System) error {
	policy := system.Config.Policy.Path
	data := fmt.Sprintf(`{"roles": {"customer": ["read_parts"]}, "regions": {"GB": ["GB"]}, "edition": %d}`, time.Now().UnixNano())
	if err := os.WriteFile(filepath.Join(policy, "data.json"), []byte(data), 0o600); err != nil {
		return err
	}
	cfg, err := config.Load(filepath.Join(filepath.Dir(policy), "countersign.yaml"), os.LookupEnv)
	if err != nil {
		return err
	}
	next, err := system.Prepare(cfg)
	if err == nil && next.Revision == system.Revision {
		err = errors.New("the revision is that at the start")
	}
	if err != nil {
		return err
	}
	system.Pipeline.Load(next)
	return nil
}
