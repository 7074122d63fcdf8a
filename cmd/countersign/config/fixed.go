package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token"
)

// reloaded are the keys that a snapshot is made of. Whatever else there is was opened
// at start and stays. The key sets of issuers do, too: see fixedIssuers.
var reloaded = []string{"region", "environment", "client_certificate", "xfcc_elements", "apis", "issuers", "token_cache", "policy"}

// Fixed are the problems of putting c in force where started is running: listeners,
// stores, the record and the key sets of issuers stay as they are, so no key of theirs
// may change, no issuer come or go, and bundles come from where they did.
func (c *Config) Fixed(started *Config) authz.Problems {
	var problems authz.Problems
	now, was := fieldsOf(reflect.ValueOf(c).Elem()), fieldsOf(reflect.ValueOf(started).Elem())
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if !slices.Contains(reloaded, name) {
			changes(&problems, name, now[name], was[name])
		}
	}
	changes(&problems, "policy", reflect.ValueOf(c.Policy.Downloads), reflect.ValueOf(started.Policy.Downloads))
	c.fixedIssuers(started, &problems)
	return c.Locate("", problems)
}

func (c *Config) fixedIssuers(started *Config, problems *authz.Problems) {
	for i, issuer := range c.Issuers {
		key := fmt.Sprintf("issuers[%d]", i)
		at := slices.IndexFunc(started.Issuers, named(issuer.Issuer))
		if at < 0 {
			problems.Add(key+".issuer", "is not one of those at start: key sets cannot be added while running", "restart")
			continue
		}
		changes(problems, key+".jwks", reflect.ValueOf(issuer.JWKS), reflect.ValueOf(started.Issuers[at].JWKS))
	}
	for _, issuer := range started.Issuers {
		if !slices.ContainsFunc(c.Issuers, named(issuer.Issuer)) {
			problems.Add("issuers", fmt.Sprintf("no longer have %s, which cannot be removed while running", issuer.Issuer), "restart")
		}
	}
}

func named(name string) func(token.Issuer) bool {
	return func(issuer token.Issuer) bool { return issuer.Issuer == name }
}

// changes finds the keys whose values differ, each as deep as it can be named.
func changes(problems *authz.Problems, key string, now, was reflect.Value) {
	switch {
	case reflect.DeepEqual(now.Interface(), was.Interface()):
	case now.Kind() == reflect.Struct:
		before := fieldsOf(was)
		for _, name := range slices.Sorted(maps.Keys(before)) {
			changes(problems, join(key, name), fieldsOf(now)[name], before[name])
		}
	case now.Kind() == reflect.Pointer && !now.IsNil() && !was.IsNil():
		changes(problems, key, now.Elem(), was.Elem())
	case now.Kind() == reflect.Map && now.Len() > 0 && was.Len() > 0:
		tableChanges(problems, key, now, was)
	default:
		problems.Add(key, "cannot change while running", "restart")
	}
}

func tableChanges(problems *authz.Problems, key string, now, was reflect.Value) {
	names := map[string]reflect.Value{}
	for _, name := range slices.Concat(now.MapKeys(), was.MapKeys()) {
		names[name.String()] = name
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		after, before := now.MapIndex(names[name]), was.MapIndex(names[name])
		switch {
		case !after.IsValid():
			problems.Add(join(key, name), "cannot be removed while running", "restart")
		case !before.IsValid():
			problems.Add(join(key, name), "cannot be added while running", "restart")
		default:
			changes(problems, join(key, name), after, before)
		}
	}
}
