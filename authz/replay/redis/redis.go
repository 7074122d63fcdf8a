// Package redis keeps what was seen, spent and revoked in a Redis server (6.2 or later)
// for all who share it, each step atomic in the server.
//
// The server is to keep what it is given: Ready refuses one that may evict keys, a
// replica, and a cluster, in which the limits of one decision could not be spent
// together. What a server forgets when it starts anew, or when a replica that lagged
// takes its place, was not seen: turn appendonly on.
//
// Keys are hashes under a prefix. A server that does not answer, or answers anything
// unexpected, is an error.
package redis

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"time"

	"github.com/redis/rueidis"

	"github.com/countersign-io/countersign/authz"
)

const (
	// dialTimeout bounds making a connection, which may serve several who wait, and
	// silence a connection on which nothing comes. Who asks has a time of its own.
	dialTimeout = time.Second
	silence     = 2 * time.Second
)

var errAnswer = errors.New("redis: the server's answer is not understood")

// Engine is a client of a Redis server. It is safe for concurrent use.
type Engine struct {
	client rueidis.Client
	prefix string
	now    func() time.Time
}

// Open opens an engine. That the server cannot be reached yet is no error: it is
// reached for whenever it is asked something. Open's error is authz.Problems.
func Open(cfg Config) (*Engine, error) {
	option, err := cfg.option()
	if err != nil {
		return nil, err
	}
	option.Dialer = net.Dialer{Timeout: dialTimeout}
	option.ConnWriteTimeout = silence
	// One server is meant: a cluster is refused by Ready, not joined.
	option.ForceSingleClient = true
	option.DisableCache = true
	// One connection carries all that is asked at once. With several, each would have to
	// fail once before a server that is back is asked on it.
	option.PipelineMultiplex = -1
	client, err := rueidis.NewClient(option)
	if client == nil {
		return nil, authz.Problems{{What: "is no way to a Redis server: " + fault(err).Error(), Fix: "see its keys"}}
	}
	return &Engine{client: client, prefix: cfg.prefix(), now: cfg.clock()}, nil
}

// Close closes the connections.
func (e *Engine) Close() { e.client.Close() }

// Fresh reports, once for a key until then, that it was not seen before by anybody who
// shares the server. A time that is past is of no key that is fresh.
func (e *Engine) Fresh(ctx context.Context, key [32]byte, until time.Time) (bool, error) {
	left := milliseconds(until.Sub(e.now()))
	if left <= 0 {
		return false, ctx.Err()
	}
	command := e.client.B().Set().Key(e.key("seen", key)).Value("").Nx().PxMilliseconds(left).Build()
	_, err := within(ctx, func() (struct{}, error) { return struct{}{}, e.client.Do(ctx, command).Error() })
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, fault(err)
}

// spend looks at all counters before it adds to any. KEYS are the counters, ARGV each
// one's max and its window in milliseconds. It returns 1 or 0, and then of each what
// remains and the milliseconds until its window ends.
//
// The text of a script is sent each time: the SHA-1 that would name it is not to be had
// where FIPS 140-3 is enforced.
var spend = rueidis.NewLuaScriptNoSha(`
local ok, answer = 1, {0}
for i, key in ipairs(KEYS) do
	local remaining = tonumber(ARGV[2*i-1]) - tonumber(redis.call('GET', key) or '0')
	local wait = redis.call('PTTL', key)
	if remaining <= 0 then ok = 0 end
	answer[2*i] = math.max(0, remaining)
	answer[2*i+1] = wait >= 0 and wait or tonumber(ARGV[2*i])
end
if ok == 0 then return answer end
answer[1] = 1
for i, key in ipairs(KEYS) do
	answer[2*i] = answer[2*i] - 1
	redis.call('INCR', key)
	if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[2*i]) end
end
return answer`)

// Spend spends one of each limit, or nothing where one of them is spent. No two of the
// limits may have the same Counter.
func (e *Engine) Spend(ctx context.Context, limits []authz.Limit) (authz.Spending, error) {
	var keys, arguments []string
	for _, limit := range limits {
		keys = append(keys, e.key("spent", limit.Counter()))
		arguments = append(arguments, text(limit.Max), text(limit.Window.Milliseconds()))
	}
	answer, err := within(ctx, func() ([]int64, error) { return spend.Exec(ctx, e.client, keys, arguments).AsIntSlice() })
	if err != nil {
		return authz.Spending{}, fault(err)
	}
	if len(answer) != 1+2*len(limits) {
		return authz.Spending{}, errAnswer
	}
	spending := authz.Spending{OK: answer[0] == 1}
	for i, limit := range limits {
		reset := time.Duration(max(1, answer[2*i+2])) * time.Millisecond
		spending.Left = append(spending.Left, authz.Allowance{Limit: limit, Remaining: answer[2*i+1], Reset: min(reset, limit.Window)})
	}
	return spending, nil
}

// within asks for no longer than ctx lasts. The client heeds it too, but where another
// is making the connection: that one's time counts then.
func within[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	asked := make(chan outcome, 1)
	go func() {
		value, err := ask()
		asked <- outcome{value, err}
	}()
	select {
	case answer := <-asked:
		return answer.value, answer.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// key is a key of the server's for a hash.
func (e *Engine) key(kind string, hash [32]byte) string {
	return e.prefix + kind + ":" + base64.RawURLEncoding.EncodeToString(hash[:])
}

// milliseconds are those of a duration, rounded up: a key is not forgotten early.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
