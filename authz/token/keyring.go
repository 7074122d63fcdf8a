package token

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// KeyRing holds the key sets of all issuers. It is opened once, and the verifiers of
// one snapshot after another use it.
type KeyRing struct{ stores map[string]opened }

// opened is a key set and what it was opened from.
type opened struct {
	from  jwks.Config
	store *jwks.Store
}

// OpenKeys opens the key sets of all issuers; Close ends their refreshes. Its error
// is all faults of the whole configuration and of the files it names, as
// authz.Problems. A URL that cannot be reached is no error, but is told by Ready.
func OpenKeys(cfg Config, env jwks.Environment) (*KeyRing, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	ring := &KeyRing{stores: map[string]opened{}}
	var problems authz.Problems
	for i, issuer := range cfg.Issuers {
		store, err := jwks.Open(issuer.Issuer, issuer.JWKS, env)
		if err != nil {
			problems = append(problems, authz.ProblemsOf(err).Under(fmt.Sprintf("issuers[%d].jwks", i))...)
			continue
		}
		ring.stores[issuer.Issuer] = opened{from: issuer.JWKS, store: store}
	}
	if err := problems.Err(); err != nil {
		ring.Close()
		return nil, err
	}
	return ring, nil
}

// Keys are the key sets by issuer, for New. Stores are fixed at start: where cfg has
// an issuer or a key set that was not opened, the error is an authz.Problems.
func (r *KeyRing) Keys(cfg Config) (map[string]Keys, error) {
	keys := make(map[string]Keys, len(r.stores))
	var problems authz.Problems
	for i, issuer := range cfg.Issuers {
		held, ok := r.stores[issuer.Issuer]
		if !ok || held.from != issuer.JWKS {
			problems.Add(fmt.Sprintf("issuers[%d].jwks", i), "differs from what was opened at start", "restart to put it in force")
			continue
		}
		keys[issuer.Issuer] = held.store
	}
	return keys, problems.Err()
}

// ReadFiles has the sets that are files read again, in the background.
func (r *KeyRing) ReadFiles() {
	for _, held := range r.stores {
		held.store.ReadFile()
	}
}

// Settle returns once every set that is being fetched has been, well or not, or with ctx.
func (r *KeyRing) Settle(ctx context.Context) {
	for _, held := range r.stores {
		held.store.Settle(ctx)
	}
}

// Ready is nil where every issuer has a key to verify with, else it names those that
// have none.
func (r *KeyRing) Ready() error {
	var faults []error
	for _, issuer := range slices.Sorted(maps.Keys(r.stores)) {
		faults = append(faults, r.stores[issuer].store.Ready())
	}
	return errors.Join(faults...)
}

// Close ends all refreshes.
func (r *KeyRing) Close() {
	for _, held := range r.stores {
		held.store.Close()
	}
}
