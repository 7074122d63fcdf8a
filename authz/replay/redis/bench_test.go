package redis_test

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
)

func BenchmarkFresh(b *testing.B) {
	engine := open(b, redis.Config{Address: redistest.Start(b).Address})
	var n atomic.Int64
	many(b, func() error {
		key := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n.Add(1))))
		_, err := engine.Fresh(b.Context(), key, time.Now().Add(time.Second))
		return err
	})
}

func BenchmarkSpend(b *testing.B) {
	engine := open(b, redis.Config{Address: redistest.Start(b).Address})
	limits := []authz.Limit{{Key: "a", Max: 1_000_000_000, Window: time.Hour}, {Key: "b", Max: 1_000_000_000, Window: time.Hour}}
	many(b, func() error {
		_, err := engine.Spend(b.Context(), limits)
		return err
	})
}

// many does it alone, and with 50 others at once.
func many(b *testing.B, do func() error) {
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("50 at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(25)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := do(); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
