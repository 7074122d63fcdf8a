package bundles

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/countersign-io/countersign/authz"
)

// Bundle is one that was downloaded, and whose signature, where it must have one, holds.
type Bundle struct {
	authz.Bundle
	// ETag is the server's.
	ETag string
	// Content is what it holds, read and not compiled.
	Content *bundle.Bundle
	// raw is as it came, and digest its SHA-256.
	raw    []byte
	digest [sha256.Size]byte
}

// Set is all bundles of a configuration at one time, which together are one policy. It
// is immutable.
type Set struct {
	// ID is a hash of all bundles as they came.
	ID string
	// Bundles are in the order of their names.
	Bundles []*Bundle
}

var errCompiled = errors.New("is compiled or a delta; build it with opa build, target rego")

// newBundle takes what was read of raw by c.
func newBundle(name string, source *source, content *bundle.Bundle, raw []byte, etag string) (*Bundle, error) {
	if len(content.WasmModules) > 0 || len(content.PlanModules) > 0 || content.Type() != bundle.SnapshotBundleType {
		return nil, errCompiled
	}
	return &Bundle{
		Bundle:  authz.Bundle{Name: name, Revision: line(content.Manifest.Revision, maxRevision), Signer: source.signer(content)},
		ETag:    etag,
		Content: content,
		raw:     raw,
		digest:  sha256.Sum256(raw),
	}, nil
}

// maxRevision bounds what a bundle calls itself: it is in every record.
const maxRevision = 128

// signer is the id of the key that the bundle was verified by, found as OPA finds it, or
// "" where no signature was asked for.
func (s *source) signer(content *bundle.Bundle) string {
	if s.bundle.Signing == nil || len(content.Signatures.Signatures) != 1 {
		return ""
	}
	if s.bundle.Signing.KeyID != "" {
		return s.bundle.Signing.KeyID
	}
	parts := strings.Split(content.Signatures.Signatures[0], ".")
	var header struct {
		ID string `json:"kid"`
	}
	var payload bundle.DecodedSignature
	if len(parts) == 3 {
		decode(parts[0], &header)
		decode(parts[1], &payload)
	}
	return cmp.Or(header.ID, payload.KeyID)
}

// decode leaves alone what cannot be read: OPA verified it before.
func decode(part string, into any) {
	if text, err := base64.RawURLEncoding.DecodeString(part); err == nil {
		_ = json.Unmarshal(text, into)
	}
}

// parse reads a bundle that was kept as OPA's downloader reads one, its signature and
// bounds included.
func (s *source) parse(raw []byte, etag string) (*Bundle, error) {
	if int64(len(raw)) > s.most() {
		return nil, errTooLarge
	}
	if err := fits(raw, s.most()); err != nil {
		return nil, err
	}
	loader := bundle.NewTarballLoaderWithBaseURL(bytes.NewReader(raw), "").WithSizeLimitBytes(s.most())
	content, err := bundle.NewCustomReader(loader).
		WithRegoVersion(s.parser.RegoVersion).
		WithProcessAnnotations(s.parser.ProcessAnnotation).
		WithSizeLimitBytes(s.most()).
		WithBundleVerificationConfig(s.bundle.Signing).
		WithBundleName(s.name).
		WithBundlePersistence(true).
		Read()
	if err != nil {
		return nil, err
	}
	return newBundle(s.name, s, &content, raw, etag)
}

// newSet joins bundles. Where their roots are not disjoint, it gives the set beside the
// error, so that this one is known again.
func newSet(all map[string]*Bundle) (*Set, error) {
	set := &Set{}
	var fault error
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		next := all[name]
		for _, other := range set.Bundles {
			fault = cmp.Or(fault, overlap(other, next))
		}
		set.Bundles = append(set.Bundles, next)
		fmt.Fprintf(sum, "%d:%s%x", len(name), name, next.digest)
	}
	set.ID = hex.EncodeToString(sum.Sum(nil)[:8])
	return set, fault
}

func overlap(a, b *Bundle) error {
	for _, one := range *a.Content.Manifest.Roots {
		for _, other := range *b.Content.Manifest.Roots {
			if bundle.RootPathsOverlap(one, other) {
				return fmt.Errorf("bundles %q and %q overlap: both have roots at %q and %q; give each roots of its own in its .manifest",
					a.Name, b.Name, "/"+one, "/"+other)
			}
		}
	}
	return nil
}

// Names are the bundles as records have them. A nil Set has none.
func (s *Set) Names() []authz.Bundle {
	if s == nil {
		return nil
	}
	names := make([]authz.Bundle, len(s.Bundles))
	for i, b := range s.Bundles {
		names[i] = b.Bundle
	}
	return names
}
