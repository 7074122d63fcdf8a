package token

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	defaultMaxTokens = 10_000
	defaultMaxAge    = 5 * time.Minute
)

// cache remembers verified tokens, under a hash: a token is a secret, and is not kept
// in memory for longer than its request. Failures are not remembered.
type cache struct {
	tokens *otter.Cache[[sha256.Size]byte, *verified]
	maxAge time.Duration
}

func newCache(cfg Cache) (*cache, error) {
	cfg = cfg.withDefaults()
	tokens, err := otter.New(&otter.Options[[sha256.Size]byte, *verified]{
		MaximumSize: cfg.MaxTokens,
		// fresh decides by the check's own clock; this frees the memory.
		ExpiryCalculator: otter.ExpiryWriting[[sha256.Size]byte, *verified](cfg.MaxAge),
		// What there is to tidy up after a write takes less than to wake another thread.
		Executor: func(tidy func()) { tidy() },
	})
	if err != nil {
		return nil, fmt.Errorf("token cache: %w", err)
	}
	return &cache{tokens: tokens, maxAge: cfg.MaxAge}, nil
}

// idOf is what a credential is remembered under. A copy of most is made on the stack.
func idOf(credential string) [sha256.Size]byte {
	var room [2 << 10]byte
	return sha256.Sum256(append(room[:0], credential...))
}

// fresh returns a token verified not too long ago by a key that is still its
// issuer's, or nil. Its times, audience and binding are for admit to check.
func (c *cache) fresh(id [sha256.Size]byte, at time.Time) *verified {
	known, ok := c.tokens.GetIfPresent(id)
	if !ok {
		return nil
	}
	if at.Sub(known.since) < c.maxAge && known.issuer.keys.Holds(known.key) {
		return known
	}
	c.tokens.ComputeIfPresent(id, func(now *verified) (*verified, otter.ComputeOp) {
		if now == known {
			return nil, otter.InvalidateOp
		}
		return now, otter.CancelOp
	})
	return nil
}

// load verifies a token that is not remembered, and remembers it. Of those who bring
// the same token at the same time one verifies it, and the others wait, each no
// longer than its own ctx; should that one's ctx end, another takes over.
func (c *cache) load(ctx context.Context, id [sha256.Size]byte, verify func(context.Context) (*verified, error)) (*verified, error) {
	known, err := c.tokens.Get(ctx, id, otter.LoaderFunc[[sha256.Size]byte, *verified](
		func(ctx context.Context, _ [sha256.Size]byte) (*verified, error) { return verify(ctx) }))
	// What another verified may have begun before its key was removed.
	if err == nil && !known.issuer.keys.Holds(known.key) {
		return verify(ctx)
	}
	return known, err
}
