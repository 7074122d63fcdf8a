package redis_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
	"github.com/countersign-io/countersign/authz/replay/replaytest"
)

var (
	_ replay.Engine = (*redis.Engine)(nil)
	_ replay.Log    = (*redis.Engine)(nil)
)

func TestConformance(t *testing.T) {
	server := redistest.Start(t)
	replaytest.Run(t, func(t *testing.T) replaytest.Fixture {
		server.Command(t, "FLUSHALL")
		return replaytest.Fixture{
			Clients: [2]replay.Engine{open(t, redis.Config{Address: server.Address}), open(t, redis.Config{Address: server.Address})},
			Now:     time.Now,
			Until:   replaytest.Eventually,
		}
	})
	replaytest.RunLog(t, func(t *testing.T) replaytest.Logs {
		server.Command(t, "FLUSHALL")
		return replaytest.Logs{open(t, redis.Config{Address: server.Address}), open(t, redis.Config{Address: server.Address})}
	})
}

func limit(key string) []authz.Limit { return []authz.Limit{{Key: key, Max: 9, Window: time.Hour}} }

// everything is all that can be asked of an engine, and must be an error.
func everything(ctx context.Context, engine *redis.Engine) map[string]error {
	fresh, failed := engine.Fresh(ctx, [32]byte{9}, time.Now().Add(time.Hour))
	spending, refused := engine.Spend(ctx, limit("ann"))
	if fresh || spending.OK {
		failed = nil
	}
	_, _, since := engine.Since(ctx, "")
	return map[string]error{"Fresh": failed, "Spend": refused, "Append": engine.Append(ctx, "x", time.Now().Add(time.Hour)), "Since": since, "Ready": engine.Ready(ctx)}
}

// answers holds that an engine which was asked everything did or did not get an answer,
// for those who go on without one.
func answers(t *testing.T, got map[string]error, want bool) {
	t.Helper()
	for _, name := range []string{"Fresh", "Spend"} {
		if errors.Is(got[name], authz.ErrNoAnswer) == want {
			t.Errorf("%s() = %v, want an answer of the server's: %t", name, got[name], want)
		}
	}
}

// A server that is not there yet is no reason not to start, and one that comes or comes
// back is used at once.
func TestServerComesAndGoes(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	engine := open(t, redis.Config{Address: server.Address})
	got := everything(t.Context(), engine)
	answers(t, got, false)
	for name, err := range got {
		if err == nil {
			t.Errorf("%s() before the server is there = nil, want an error", name)
		}
	}
	for round := range byte(3) {
		server.Restart(t)
		eventuallyReady(t, engine)
		mustBeFresh(t, engine, round)
		if spending, err := engine.Spend(t.Context(), limit("a")); err != nil || !spending.OK {
			t.Errorf("Spend() = %t, %v, want OK: the server knows no script yet", spending.OK, err)
		}
		server.Kill()
		got := everything(t.Context(), engine)
		answers(t, got, false)
		for name, err := range got {
			if err == nil {
				t.Errorf("%s() after the server is gone = nil, want an error", name)
			}
		}
	}
}

// revoke revokes a token by a server's log.
func revoke(t *testing.T, engine *redis.Engine, id string) {
	t.Helper()
	store := replay.New(engine, engine)
	if err := store.Revoke(t.Context(), replay.Revocation{Issuer: "bank", ID: id}, time.Now().Add(time.Hour)); err != nil {
		t.Fatalf("Revoke() = %v, want no error", err)
	}
}

func isRevoked(r *replay.Revocations, id string) bool {
	revoked, _ := r.Revoked(&authz.Token{Issuer: "bank", Claims: map[string]any{"jti": id}})
	return revoked
}

// What is known to be revoked stays so where the server lost it, or part of it, which is
// told; and what comes afterwards is heard of, though it has the numbers of what was lost.
func TestRevocationsOutliveAServerThatForgets(t *testing.T) {
	for _, test := range []struct {
		name string
		// before is done when two are revoked, and forgets when a third is.
		before, forgets func(t *testing.T, server *redistest.Server)
		lost            int
	}{
		{"restarted", nil, func(t *testing.T, server *redistest.Server) { server.Kill(); server.Restart(t) }, 3},
		{"flushed", nil, func(t *testing.T, server *redistest.Server) { server.Command(t, "FLUSHALL") }, 3},
		{"restored from an older dump",
			func(t *testing.T, server *redistest.Server) { server.Command(t, "SAVE") },
			func(t *testing.T, server *redistest.Server) { server.Kill(); server.Restart(t) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Start(t)
			engine := open(t, redis.Config{Address: server.Address})
			eventuallyReady(t, engine)
			r := replay.Follow(open(t, redis.Config{Address: server.Address}), nil)
			t.Cleanup(r.Close)
			revoke(t, engine, "1")
			revoke(t, engine, "2")
			if test.before != nil {
				test.before(t, server)
			}
			revoke(t, engine, "3")
			replaytest.Eventually(t, "all to be known", func() bool { return isRevoked(r, "3") })
			test.forgets(t, server)
			eventuallyReady(t, engine)
			revoke(t, engine, "4") // by the number of the first, or of the third
			revoke(t, engine, "5")
			replaytest.Eventually(t, "what came after to be known", func() bool { return isRevoked(r, "4") && isRevoked(r, "5") })
			replaytest.Eventually(t, "what was lost to be told", func() bool { return r.State().Lost == test.lost })
			for _, id := range []string{"1", "2", "3"} {
				if !isRevoked(r, id) {
					t.Errorf("%s is revoked no more", id)
				}
			}
			if isRevoked(r, "6") {
				t.Error("what nobody revoked is revoked")
			}
		})
	}
}

// Who waits for a server that hangs waits no longer than ctx, whether the connection is
// there or still to be made, alone or behind one who has more time.
func TestServerThatHangsIsLeftInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	stopped := redistest.Start(t)
	known := open(t, redis.Config{Address: stopped.Address})
	mustBeFresh(t, known, 1)
	stopped.Pause(t)
	for name, engine := range map[string]*redis.Engine{"new connection": open(t, redis.Config{Address: silent.Addr().String()}), "known connection": known} {
		t.Run(name, func(t *testing.T) {
			patient, leave := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			for range 4 {
				asking.Go(func() { everything(patient, engine) })
			}
			impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			got := everything(impatient, engine)
			answers(t, got, false)
			for name, err := range got {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s() = %v, want context.DeadlineExceeded", name, err)
				}
			}
			leave()
			asking.Wait()
		})
	}
}

func TestReadyRefusesAServerThatForgets(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"evicts", []string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "noeviction"},
		{"cluster", []string{"--cluster-enabled", "yes"}, "cluster"},
		{"replica", []string{"--replicaof", "127.0.0.1", "1"}, "replica"},
		{"password", []string{"--requirepass", "secret"}, "password"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine := open(t, redis.Config{Address: redistest.Start(t, test.args...).Address})
			if err := engine.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Ready() = %v, want an error that names %s", err, test.want)
			}
			if test.name == "evicts" {
				return // it answers, for as long as it has room
			}
			got := everything(t.Context(), engine)
			answers(t, got, true)
			for name, err := range got {
				if err == nil {
					t.Errorf("%s() = nil, want an error", name)
				}
			}
		})
	}
}

// A server of bounded memory that evicts nothing is a good one until it is full.
func TestFullServerIsAnError(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
	engine := open(t, redis.Config{Address: server.Address})
	if err := engine.Ready(t.Context()); err != nil {
		t.Fatalf("Ready() = %v, want nil", err)
	}
	server.Command(t, "CONFIG SET maxmemory 1")
	answers(t, everything(t.Context(), engine), true)
	_, err := engine.Fresh(t.Context(), [32]byte{1}, time.Now().Add(time.Hour))
	if err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("Fresh() = %v, want OOM", err)
	}
}

func TestNothingReadableIsKept(t *testing.T) {
	server := redistest.Start(t)
	engine := open(t, redis.Config{Address: server.Address, Prefix: "bank:"})
	mustBeFresh(t, engine, 1)
	if _, err := engine.Spend(t.Context(), limit("client:acme:ann")); err != nil {
		t.Fatal(err)
	}
	store := replay.New(engine, engine)
	if err := store.Revoke(t.Context(), replay.Revocation{Issuer: "https://login.bank.example", Subject: "ann"}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	keys := server.Command(t, "KEYS *") + server.Command(t, "ZRANGE bank:log:texts 0 -1")
	if !strings.HasPrefix(keys, "*5\r\n") || strings.Count(keys, "bank:") != 5 {
		t.Errorf("the server has %q, want five keys under the prefix", keys)
	}
	for _, name := range []string{"ann", "acme", "login"} {
		if strings.Contains(keys, name) {
			t.Errorf("the server has %q in %q", name, keys)
		}
	}
	for key := range strings.SplitSeq(server.Command(t, "KEYS bank:s*"), "\r\n") {
		if strings.HasPrefix(key, "bank:") && !strings.HasPrefix(server.Command(t, "PTTL "+key), ":3") {
			t.Errorf("key %s does not expire within its hour", key)
		}
	}
}

func TestTimeIsUpIsTold(t *testing.T) {
	engine := open(t, redis.Config{Address: redistest.Start(t).Address})
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for name, err := range everything(ctx, engine) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s() = %v, want context.DeadlineExceeded", name, err)
		}
	}
}
