package redis_test

import (
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/countersign-io/countersign/authz/replay/replaytest"
)

// open opens a client of a server's, which closes with the test.
func open(t testing.TB, cfg redis.Config) *redis.Engine {
	t.Helper()
	engine, err := redis.Open(cfg)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(engine.Close)
	return engine
}

// mustBeFresh holds that a key is fresh, which is that all is well.
func mustBeFresh(t *testing.T, engine *redis.Engine, key byte) {
	t.Helper()
	if fresh, err := engine.Fresh(t.Context(), [32]byte{key}, time.Now().Add(time.Hour)); err != nil || !fresh {
		t.Errorf("Fresh() = %t, %v, want true", fresh, err)
	}
}

func eventuallyReady(t *testing.T, engine *redis.Engine) {
	t.Helper()
	replaytest.Eventually(t, "the server to be there", func() bool { return engine.Ready(t.Context()) == nil })
}
