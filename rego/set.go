package rego

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego/bundles"
)

// errNoSet is told where a policy is needed before any bundle was in force.
var errNoSet = authz.Problems{{Key: "bundles", What: "are the policy, and none has been in force yet",
	Fix: "start countersign serve with their server up; it keeps them below state"}}

// addSet reads what was downloaded, beside the library.
func (s *source) addSet(set *bundles.Set, tests bool) (*source, error) {
	if problems := s.joinSet(set, tests); problems != nil {
		return nil, problems
	}
	return s, s.intrusions().Err()
}

// joinSet reads what was downloaded. Files are named within their bundle, and the bundle's
// name stands before.
func (s *source) joinSet(set *bundles.Set, tests bool) authz.Problems {
	if set == nil {
		return errNoSet
	}
	for _, b := range set.Bundles {
		err := s.addModules(b.Name, b.Content, tests)
		if err == nil {
			err = merge(s.data, b.Content.Data)
		}
		if err != nil {
			return s.problems(fmt.Errorf("bundle %q: %w", b.Name, err))
		}
	}
	var err error
	if s.rawData, err = json.Marshal(s.data); err != nil {
		return s.problems(err)
	}
	s.set = set.ID
	return nil
}

var errSameFile = errors.New("has the place of another, or of the standard library's; give it a name of its own")

// addModules parses a bundle's modules, each by the version of Rego that its manifest says.
// Names in an archive are whatever was written there: none leads out of its bundle, to take
// the place of a module of another, or of the library.
func (s *source) addModules(folder string, b *bundle.Bundle, tests bool) error {
	for _, module := range b.Modules {
		name := strings.TrimPrefix(path.Clean("/"+module.Path), "/")
		if isTest(name) && !tests {
			continue
		}
		version, err := b.RegoVersionForFile(module.RelativePath, b.RegoVersion(s.parser.RegoVersion))
		if err != nil {
			return err
		}
		name = path.Join(folder, name)
		if s.modules[name] != nil || isLibrary(name) {
			return fmt.Errorf("file %q %w", name, errSameFile)
		}
		if err := s.addAs(name, module.Raw, version); err != nil {
			return err
		}
	}
	return nil
}

var errTwice = errors.New("holds data that another bundle has, too")

// merge puts data into other data. The roots of bundles are disjoint, so only objects can
// meet.
func merge(into, from map[string]any) error {
	for key, value := range from {
		there, taken := into[key]
		inner, object := value.(map[string]any)
		outer, ofObject := there.(map[string]any)
		switch {
		case !taken && object:
			copied := map[string]any{} // the bundle's own must not change
			into[key] = copied
			_ = merge(copied, inner)
		case !taken:
			into[key] = value
		case object && ofObject:
			if err := merge(outer, inner); err != nil {
				return err
			}
		default:
			return errTwice
		}
	}
	return nil
}
