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
	errText = errors.New("redis: a text of the log is longer than 256 bytes")
	errFull = errors.New("redis: the log is full of what has not expired")
)

// The log is a sorted set of texts by number, each with its number before it so that no
// two are the same, and another of the same by expiry. The numbers are counted in a
// hash, with a name that a log has for as long as its server keeps it: a mark of
// another log is none.
//
// Since writes the name where there is none, so that a replica, which may be behind and
// takes no writes, refuses it.
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
local entry = string.format('%.0f', number) .. ':' .. ARGV[1]
redis.call('ZADD', KEYS[2], number, entry)
redis.call('ZADD', KEYS[3], ARGV[2], entry)
return 1`)

	textsSince = rueidis.NewLuaScriptNoSha(`
redis.call('HSETNX', KEYS[1], 'name', ARGV[3])
local name = redis.call('HGET', KEYS[1], 'name')
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or '0')
local after = tonumber(ARGV[2])
if name ~= ARGV[1] or after > last then after = 0 end
local answer = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', after), '+inf', 'LIMIT', 0, tonumber(ARGV[4]))
table.insert(answer, 1, name)
table.insert(answer, 2, string.format('%.0f', after))
return answer`)
)

func (e *Engine) logKeys() []string {
	return []string{e.prefix + "log", e.prefix + "log:texts", e.prefix + "log:ends"}
}

// Append keeps a text, of at most 256 bytes, until then. 100,000 are kept at most.
func (e *Engine) Append(ctx context.Context, entry string, until time.Time) error {
	if len(entry) > maxText {
		return errText
	}
	arguments := []string{entry, text(until.UnixMilli() + 1), text(maxLog)}
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
// there is something. The first mark is "", and one of a log that the server no longer
// has is like it. What has expired may be among it.
func (e *Engine) Since(ctx context.Context, mark string) (texts []string, next string, err error) {
	name, after := parseMark(mark)
	arguments := []string{name, text(after), rand.Text(), text(page)}
	answer, err := within(ctx, func() ([]string, error) { return textsSince.Exec(ctx, e.client, e.logKeys(), arguments).AsStrSlice() })
	if err != nil {
		return nil, "", fault(err)
	}
	if len(answer) < 2 {
		return nil, "", errAnswer
	}
	last := answer[1]
	for _, entry := range answer[2:] {
		number, text, found := strings.Cut(entry, ":")
		if !found {
			return nil, "", errAnswer
		}
		texts, last = append(texts, text), number
	}
	return texts, answer[0] + ":" + last, nil
}

// parseMark takes a mark apart; what is none of ours is that of no log.
func parseMark(mark string) (name string, after int64) {
	name, number, _ := strings.Cut(mark, ":")
	after, err := strconv.ParseInt(number, 10, 64)
	if err != nil || after < 0 {
		return "", 0
	}
	return name, after
}

func text(n int64) string { return strconv.FormatInt(n, 10) }
