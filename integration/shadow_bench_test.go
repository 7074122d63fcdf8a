package integration

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/shadow"
)

// BenchmarkShadow measures an allowed check with a policy tried beside the one in force and
// without one, of one caller at a time, in turns, so that what else the machine does is in both.
// x-without is the time of the one over that of the other; tried is how many of the checks were.
func BenchmarkShadow(b *testing.B) {
	plain, request := openLarge(b)
	trying, same := openLarge(b)
	// The disk takes far longer than either, and never the same.
	plain.Pipeline.Recorder, trying.Pipeline.Recorder = openBuffered(b), openBuffered(b)
	tried := make(chan int, 1)
	tried <- 0
	pool := trying.Trials(func(_ *authz.Operation, result shadow.Result) {
		if result != shadow.Dropped {
			tried <- <-tried + 1
		}
	})
	tryBeside(b, filepath.Dir(trying.Config.State), trying, "package countersign.site\n\ndeny contains \"closed\" if input.token.claims.client_id == \"nobody\"\n")
	check := func(checker authz.Checker, request *authz.Request) time.Duration {
		began := time.Now()
		if err := checkOnce(b.Context(), checker, request); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	for range warmUp {
		check(plain.Pipeline, request)
		check(trying.Pipeline, same)
	}
	var without, with time.Duration
	for i := range b.N {
		if i%2 == 0 {
			without += check(plain.Pipeline, request)
			with += check(trying.Pipeline, same)
		} else {
			with += check(trying.Pipeline, same)
			without += check(plain.Pipeline, request)
		}
	}
	b.StopTimer()
	pool.Close()
	b.ReportMetric(float64(without.Microseconds())/float64(b.N), "without-µs")
	b.ReportMetric(float64(with.Microseconds())/float64(b.N), "with-µs")
	b.ReportMetric(float64(with)/float64(without), "x-without")
	b.ReportMetric(float64(<-tried)/float64(b.N+warmUp), "tried")
}
