package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	// maxLog bounds the entries that Append keeps, in number, and maxText in bytes.
	maxLog  = 100_000
	maxText = 256
	// page is how many entries Since returns at most.
	page = 1_000
)

var (
	errText = errors.New("redis: a text of the log is not 1 to 256 bytes")
	errFull = errors.New("redis: the log is full of what has not expired")
)

// The log is a sorted set of entries by number, and another of the same by expiry. The
// numbers are counted in a hash. An entry is its number, something random, and its text.
//
// A mark is an entry less its text, and good while the server has that entry. A server
// that was restored from an older dump counts anew from there, but what it gives a number
// again is not that entry; one that lost its log has none. Either has the reader begin
// again, and so has the last entry that was read, once it has expired and was dropped.
//
// Since writes, if nothing new, so that a replica, which may be behind, refuses it.
var (
	appendText = rueidis.NewLuaScriptNoSha(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
for _, entry in ipairs(over) do
	redis.call('ZREM', KEYS[2], entry)
	redis.call('ZREM', KEYS[3], entry)
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
local number = redis.call('HINCRBY', KEYS[1], 'last', 1)
local entry = string.format('%.0f', number) .. ':' .. ARGV[4] .. ':' .. ARGV[1]
redis.call('ZADD', KEYS[2], number, entry)
redis.call('ZADD', KEYS[3], ARGV[2], entry)
return 1`)

	// ARGV are the mark, its number, and how many entries to return. It returns whether
	// the mark is good, and what follows.
	textsSince = rueidis.NewLuaScriptNoSha(`
redis.call('HSETNX', KEYS[1], 'last', 0)
if ARGV[1] ~= '' then
	local entry = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[2], ARGV[2])[1]
	if not entry or string.sub(entry, 1, #ARGV[1] + 1) ~= ARGV[1] .. ':' then return {'0'} end
end
local answer = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf', 'LIMIT', 0, tonumber(ARGV[3]))
table.insert(answer, 1, '1')
return answer`)
)

func (e *Engine) logKeys() []string {
	return []string{e.prefix + "log", e.prefix + "log:texts", e.prefix + "log:ends"}
}

// Append keeps a text, of 1 to 256 bytes, until then. 100,000 are kept at most.
func (e *Engine) Append(ctx context.Context, entry string, until time.Time) error {
	if entry == "" || len(entry) > maxText {
		return errText
	}
	arguments := []string{entry, text(until.UnixMilli() + 1), text(maxLog), rand.Text()}
	kept, err := within(ctx, func() (int64, error) { return appendText.Exec(ctx, e.client, e.logKeys(), arguments).AsInt64() })
	switch {
	case err != nil:
		return fault(err)
	case kept != 1:
		return errFull
	}
	return nil
}

// Since returns what was appended after a mark, by anybody who shares the server, the
// oldest first, and the mark to go on from: not all of it at once, but something where
// there is something, and at the end nothing but the same mark. The first mark is "". One
// of an entry that the server no longer has leads to nothing but the first mark. What has
// expired may be returned too.
func (e *Engine) Since(ctx context.Context, mark string) (texts []string, next string, err error) {
	number, known := numberOf(mark)
	if !known {
		return nil, "", ctx.Err()
	}
	arguments := []string{mark, text(number), text(page)}
	answer, err := within(ctx, func() ([]string, error) { return textsSince.Exec(ctx, e.client, e.logKeys(), arguments).AsStrSlice() })
	switch {
	case err != nil:
		return nil, "", fault(err)
	case len(answer) == 0:
		return nil, "", errAnswer
	case answer[0] != "1":
		return nil, "", nil
	}
	next = mark
	for _, entry := range answer[1:] {
		parts := strings.SplitN(entry, ":", 3)
		if len(parts) != 3 {
			return nil, "", errAnswer
		}
		texts, next = append(texts, parts[2]), parts[0]+":"+parts[1]
	}
	return texts, next, nil
}

// numberOf is the number of a mark's entry, 0 of the first mark; what is no mark of ours
// is not known.
func numberOf(mark string) (number int64, known bool) {
	if mark == "" {
		return 0, true
	}
	digits, _, found := strings.Cut(mark, ":")
	number, err := strconv.ParseInt(digits, 10, 64)
	return number, found && err == nil && number > 0
}

func text(n int64) string { return strconv.FormatInt(n, 10) }
