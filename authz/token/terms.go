package token

import (
	"maps"
	"reflect"
)

// terms are what a token that is remembered depends on, besides what is checked each time
// it is sent: which APIs take it, its audience, times, key and binding.
type terms struct {
	issuers     []Issuer
	environment string
	cache       Cache
	keys        map[string]Keys
	// prepares is "" where what was prepared is known to be like no other's.
	prepares string
	prepared bool
}

func termsOf(cfg Config, env Environment) terms {
	return terms{
		issuers: cfg.Issuers, environment: cfg.Environment, cache: cfg.Cache.withDefaults(), keys: env.Keys,
		prepares: env.Prepares, prepared: env.Prepare != nil,
	}
}

// same reports that what one remembers is what the other would verify anew.
func (t *terms) same(other *terms) bool {
	return t.prepared == other.prepared && t.prepares == other.prepares && (t.prepares != "" || !t.prepared) &&
		t.environment == other.environment && t.cache == other.cache &&
		maps.Equal(t.keys, other.keys) && reflect.DeepEqual(t.issuers, other.issuers)
}

// cacheFor is the cache of the verifier before, where it was made on the same terms, or a
// new one.
func cacheFor(t terms, before *Verifier) (*cache, error) {
	if before != nil && t.same(&before.terms) {
		return before.cache, nil
	}
	return newCache(t.cache)
}
