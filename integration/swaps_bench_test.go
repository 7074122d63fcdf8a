package integration

import (
	"context"
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
	// saturating is how many checks are made as fast as they are answered, to find that rate.
	saturating = 3000
)

// BenchmarkSwaps measures what swaps of the policy do to the checks meanwhile: at half of
// the rate that saturates, p99 with ten swaps a second, each to another revision that is
// read and compiled anew, and p99 without. Each iteration has the one and then the other;
// of all, the median is told. 100 clients take turns, each with a token of its own.
// docs/performance.md reads the figures.
func BenchmarkSwaps(b *testing.B) {
	// With fewer, what comes while the machine is busy elsewhere is shed, and not late.
	system, requests := openLargeFor(b, clients, "max_concurrent_checks: 65536")
	checks := make([]*authv3.CheckRequest, len(requests))
	for i, request := range requests {
		checks[i] = checkRequest(request)
	}
	client := startClient(b, serveSystem(b, system))
	all := order{Checks: serialised(b, checks...), Count: saturating}
	have(b, client, all)
	var rates, swaps, still, swapping []float64
	for b.Loop() {
		half := all
		half.Every = 2 * have(b, client, all).Took / saturating
		half.Count = int(paceFor / half.Every)
		rates = append(rates, float64(time.Second/half.Every))
		still = append(still, millis(have(b, client, half).P99))
		var during outcome
		count := swapWhile(b, system, func() { during = have(b, client, half) })
		swaps = append(swaps, float64(count)/during.Took.Seconds())
		swapping = append(swapping, millis(during.P99))
		last := len(still) - 1
		b.Logf("at %.0f checks a second p99 is %.1f ms without swaps, %.1f ms with %.1f a second", rates[last], still[last], swapping[last], swaps[last])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates), "checks/s")
	b.ReportMetric(median(swaps), "swaps/s")
	b.ReportMetric(median(still), "p99-ms")
	b.ReportMetric(median(swapping), "swapping-p99-ms")
	b.ReportMetric(median(swapping)/median(still), "x-p99")
}

func have(b *testing.B, client func(order) (outcome, error), checks order) outcome {
	b.Helper()
	got, err := client(checks)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// swapWhile puts one revision after another in force, as a reload does, while something
// is done, and tells how many.
func swapWhile(b *testing.B, system *wire.System, do func()) (count int) {
	ctx, cancel := context.WithCancel(b.Context())
	ticker := time.NewTicker(time.Second / swapped)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
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
	end := func() {
		cancel()
		ticker.Stop()
		<-ended
	}
	defer end() // also where what is done fails the benchmark, which ends this goroutine
	do()
	end()
	return count
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
	if err == nil && next.Revision() == system.Revision {
		err = errors.New("the revision is that at the start")
	}
	if err != nil {
		return err
	}
	system.PutInForce(next)
	return nil
}
