package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/file"
	"github.com/countersign-io/countersign/authz/replay/memory"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/cmd/countersign/config"
)

// proofs are what proofs of possession are counted and made fresh with, and what tells
// which tokens are revoked. They are opened once, so that no reload forgets what was used,
// or changes what clients were told.
type proofs struct {
	nonces      *dpop.Nonces
	replays     *replay.Store
	revocations *replay.Revocations
}

// tidyTimeout bounds how long another process that revokes may keep this one waiting.
const tidyTimeout = 5 * time.Second

// nonceKey is the file of the key of nonces.
func nonceKey(state string) string { return filepath.Join(state, "nonce.key") }

// openProofs takes the key of nonces from state, where it is made if it is absent.
func openProofs(cfg *config.Config) (*proofs, error) {
	var problems authz.Problems
	key := secret.Open(nonceKey(cfg.State), "", &problems)
	if key == nil {
		for i := range problems {
			problems[i].File = nonceKey(cfg.State)
		}
		return nil, problems
	}
	replays, err := replay.Open(cfg.Replay)
	if err != nil {
		return nil, cfg.Locate("replay", authz.ProblemsOf(err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
	defer cancel()
	if err := replays.Tidy(ctx); err != nil {
		replays.Close()
		return nil, spoiled(cfg, err)
	}
	return &proofs{nonces: dpop.NewNonces(key.ID, key.Secret), replays: replays, revocations: replays.Follow()}, nil
}

// close ends what was opened.
func (p *proofs) close() {
	p.revocations.Close()
	p.replays.Close()
}

// readProofs writes nothing, and has seen nothing before; what is revoked is not among
// it. Where the key of nonces cannot be read, no nonce stands.
func readProofs(state string, now func() time.Time) *proofs {
	var unread authz.Problems
	key := secret.Read(nonceKey(state), "", &unread)
	if key == nil {
		key = &secret.Key{ID: "none", Secret: make([]byte, secret.Size)}
		rand.Read(key.Secret)
	}
	return &proofs{nonces: dpop.NewNonces(key.ID, key.Secret), replays: replay.New(memory.New(memory.Config{Now: now}), nil)}
}

// readRevocations reads what is revoked, once.
func (l *Loaded) readRevocations(ctx context.Context, now func() time.Time) (*replay.Revocations, error) {
	store, err := replay.Open(l.Config.Replay)
	if err != nil {
		return nil, l.Config.Locate("replay", authz.ProblemsOf(err))
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return store.Read(ctx, now), nil
}

// Revoke revokes tokens until then, for all who share what the configuration names. It
// opens nothing else, so that it can be done while all else is down.
func Revoke(ctx context.Context, cfg *config.Config, revocation replay.Revocation, until time.Time) error {
	if err := guarded(cfg); err != nil {
		return err
	}
	store, err := replay.Open(cfg.Replay)
	if err != nil {
		return cfg.Locate("replay", authz.ProblemsOf(err))
	}
	defer store.Close()
	err = store.Revoke(ctx, revocation, until)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cfg.Locate("", authz.Problems{{Key: "state", What: "is a folder that does not exist", Fix: "start countersign serve first, which makes it, or name that one's configuration"}})
	case errors.Is(err, fs.ErrPermission):
		return cfg.Locate("", authz.Problems{{Key: "state", What: "does not let this user revoke", Fix: "revoke as the user that countersign serve runs as, or as root"}})
	case errors.Is(err, file.ErrMode):
		return spoiled(cfg, err)
	}
	return err
}

// spoiled is a file of revocations that is not as Countersign leaves it.
func spoiled(cfg *config.Config, err error) authz.Problems {
	return authz.Problems{{File: cfg.Replay.Revocations, What: err.Error(), Fix: "see that only Countersign writes to this file"}}
}
