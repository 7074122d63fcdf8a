package shadow

import (
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// BenchmarkOffer measures what a request pays: to hand a trial over, or to find that there is no room.
func BenchmarkOffer(b *testing.B) {
	pool := start(&fakeSink{}, func(*authz.Operation, Result) {}, 1)
	defer pool.Close()
	one := trial(saying(authz.Verdict{Allowed: true}), authz.Verdict{Allowed: true})
	b.ReportAllocs()
	for b.Loop() {
		pool.Offer(one)
	}
}
