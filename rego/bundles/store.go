package bundles

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// keptSets is how many sets that were in force are kept.
const keptSets = 5

// maxKept bounds the file that says what a set is.
const maxKept = 1 << 20

// Store keeps the sets that were in force, each a folder, and which one is pinned. Its
// folder belongs to one process that writes sets; commands read them, and pin.
type Store struct{ Folder string }

// Kept is a set on disk.
type Kept struct {
	ID string `json:"id"`
	// Since is when it was put in force last.
	Since   time.Time    `json:"since"`
	Bundles []keptBundle `json:"bundles"`
}

type keptBundle struct {
	authz.Bundle
	ETag   string `json:"etag,omitempty"`
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Pin says which set is in force, whatever is downloaded.
type Pin struct {
	Set   string    `json:"set"`
	Since time.Time `json:"since"`
}

var (
	// ErrNone is where nothing was in force yet.
	ErrNone    = errors.New("none has been in force yet")
	errDamaged = errors.New("is damaged on disk")
)

func (s Store) pinFile() string { return filepath.Join(s.Folder, "pin.json") }

// Keep writes a set that was put in force, and forgets the oldest. It is on disk whole or
// not at all.
func (s Store) Keep(set *Set, since time.Time) error {
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return fmt.Errorf("bundles: keep: %w", err)
	}
	s.clear()
	if !s.touch(set, since) {
		if err := s.write(set, since); err != nil {
			return fmt.Errorf("bundles: keep: %w", err)
		}
	}
	return s.prune(set.ID)
}

// write puts the set's files in a folder that has another name until all are there. One
// that is there is damaged.
func (s Store) write(set *Set, since time.Time) error {
	temporary, err := os.MkdirTemp(s.Folder, ".set-") // of mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	kept := Kept{ID: set.ID, Since: since.UTC()}
	for i, b := range set.Bundles {
		if err := writeFile(filepath.Join(temporary, fileOf(i)), b.raw, 0o600); err != nil {
			return err
		}
		kept.Bundles = append(kept.Bundles, b.kept(i))
	}
	if err := writeJSON(filepath.Join(temporary, setFile), kept, 0o600); err != nil {
		return err
	}
	if err := syncFolder(temporary); err != nil {
		return err
	}
	final := filepath.Join(s.Folder, set.ID)
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return errors.Join(os.Rename(temporary, final), syncFolder(s.Folder))
}

// touch notes that a set which is kept already, and whole, is in force again. There is no
// moment at which it is not kept.
func (s Store) touch(set *Set, since time.Time) bool {
	kept, err := s.read(set.ID)
	if err != nil || len(kept.Bundles) != len(set.Bundles) {
		return false
	}
	for i, b := range set.Bundles {
		raw, err := readFile(filepath.Join(s.Folder, set.ID, fileOf(i)), int64(len(b.raw)))
		if err != nil || sha256.Sum256(raw) != b.digest || kept.Bundles[i].File != fileOf(i) {
			return false
		}
		kept.Bundles[i] = b.kept(i)
	}
	kept.Since = since.UTC()
	return writeJSON(filepath.Join(s.Folder, set.ID, setFile), kept, 0o600) == nil
}

const setFile = "set.json"

func fileOf(i int) string { return fmt.Sprintf("%d.tar.gz", i) }

func (b *Bundle) kept(i int) keptBundle {
	return keptBundle{Bundle: b.Bundle, ETag: b.ETag, File: fileOf(i), SHA256: hex.EncodeToString(b.digest[:])}
}

// clear removes what an interrupted write left.
func (s Store) clear() {
	left, _ := filepath.Glob(filepath.Join(s.Folder, ".set-*"))
	for _, name := range left {
		os.RemoveAll(name)
	}
}

// prune keeps the latest sets, and the one that is pinned.
func (s Store) prune(current string) error {
	kept, err := s.List()
	if err != nil {
		return err
	}
	pin, err := s.Pinned()
	if err != nil {
		return err
	}
	for _, old := range kept[min(keptSets, len(kept)):] {
		if old.ID != current && (pin == nil || old.ID != pin.Set) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.Folder, old.ID)))
		}
	}
	return err
}

// List are the sets that are kept, the latest in force first.
func (s Store) List() ([]Kept, error) {
	entries, err := os.ReadDir(s.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("bundles: %w", err)
	}
	var all []Kept
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		kept, err := s.read(entry.Name())
		if err != nil && !isID(entry.Name()) {
			continue // it is not one of ours
		}
		if err != nil {
			kept = damaged(entry)
		}
		all = append(all, kept)
	}
	slices.SortFunc(all, func(a, b Kept) int { return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

func isID(name string) bool { return name != "" && strings.Trim(name, "0123456789abcdef") == "" }

// damaged stands for a set of which nothing can be read: the one that was in force last must
// not be passed over for an older one.
func damaged(entry fs.DirEntry) Kept {
	kept := Kept{ID: entry.Name()}
	if info, err := entry.Info(); err == nil {
		kept.Since = info.ModTime().UTC()
	}
	return kept
}

func (s Store) read(id string) (Kept, error) {
	if !isID(id) { // a pin's, which names a folder
		return Kept{}, errDamaged
	}
	var kept Kept
	if err := readJSON(filepath.Join(s.Folder, id, setFile), &kept); err != nil {
		return Kept{}, err
	}
	if kept.ID != id {
		return Kept{}, errDamaged
	}
	return kept, nil
}

// Latest is the set that was in force last, pins apart. Its error is ErrNone where there
// is none.
func (s Store) Latest(c *Config) (*Set, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrNone
	}
	return s.Load(c, all[0].ID)
}

// InForce is the set that a process which starts now begins with: the one that is pinned,
// else the latest.
func (s Store) InForce(c *Config) (*Set, error) {
	pin, err := s.Pinned()
	switch {
	case err != nil:
		return nil, err
	case pin != nil:
		return s.Load(c, pin.Set)
	}
	return s.Latest(c)
}

// Load reads a set, and verifies it as if it were downloaded now: by the digest that it
// was kept with, and by the keys that the configuration has now.
func (s Store) Load(c *Config, id string) (*Set, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	kept, err := s.read(id)
	if err != nil {
		return nil, fmt.Errorf("bundles: set %s: %w", id, err)
	}
	all := map[string]*Bundle{}
	for _, each := range kept.Bundles {
		if p.bundles[each.Name] == nil {
			return nil, fmt.Errorf("bundles: set %s: has the bundle %q, which the configuration has not", id, each.Name)
		}
		if all[each.Name], err = s.load(p.source(each.Name), id, each); err != nil {
			return nil, fmt.Errorf("bundles: set %s: bundle %q: %w", id, each.Name, err)
		}
	}
	for name := range p.bundles {
		if all[name] == nil {
			return nil, fmt.Errorf("bundles: set %s: lacks the bundle %q of the configuration", id, name)
		}
	}
	set, err := newSet(all)
	if err == nil && set.ID != id {
		err = errDamaged
	}
	if err != nil {
		return nil, fmt.Errorf("bundles: set %s: %w", id, err)
	}
	return set, nil
}

func (s Store) load(source *source, id string, kept keptBundle) (*Bundle, error) {
	if filepath.Base(kept.File) != kept.File {
		return nil, errDamaged
	}
	raw, err := readFile(filepath.Join(s.Folder, id, kept.File), source.most())
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != kept.SHA256 {
		return nil, errDamaged
	}
	return source.parse(raw, kept.ETag)
}

// Pinned is the pin, or nil.
func (s Store) Pinned() (*Pin, error) {
	var pin Pin
	switch err := readJSON(s.pinFile(), &pin); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("bundles: pin: %w", err)
	}
	return &pin, nil
}

// Pin has a set that is kept be in force in every process that has this store, and stay.
// revision is the set's id, or the revision of a bundle that only one set has.
func (s Store) Pin(revision string, now time.Time) (Kept, error) {
	kept, err := s.find(revision)
	if err != nil {
		return Kept{}, err
	}
	if _, err := s.read(kept.ID); err != nil {
		return Kept{}, authz.Problems{{What: "set " + kept.ID + " " + errDamaged.Error(), Fix: "pin another"}}
	}
	// Whoever pins need not be whoever serves, who must read it; the folder is not for others.
	if err := writeJSON(s.pinFile(), Pin{Set: kept.ID, Since: now.UTC()}, 0o644); err != nil {
		return Kept{}, err
	}
	// It may have been pruned meanwhile, which looks for a pin before.
	if _, err := s.read(kept.ID); err != nil {
		return Kept{}, errors.Join(err, os.Remove(s.pinFile()))
	}
	return kept, nil
}

// Unpin ends that. It reports whether there was a pin.
func (s Store) Unpin() (bool, error) {
	err := os.Remove(s.pinFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s Store) find(revision string) (Kept, error) {
	all, err := s.List()
	if err != nil {
		return Kept{}, err
	}
	var found, known []string
	var one Kept
	for _, kept := range all {
		known = append(known, kept.String())
		if kept.has(revision) {
			found, one = append(found, kept.ID), kept
		}
	}
	switch {
	case len(all) == 0:
		return Kept{}, authz.Problems{{What: "no set of bundles is kept: " + ErrNone.Error(), Fix: "start countersign serve with the bundle server up"}}
	case len(found) == 0:
		return Kept{}, authz.Problems{{What: fmt.Sprintf("%q is not kept", revision), Fix: "pin one of: " + strings.Join(known, "; ")}}
	case len(found) > 1:
		return Kept{}, authz.Problems{{What: fmt.Sprintf("%q is in several sets", revision), Fix: "pin one of them: " + strings.Join(found, ", ")}}
	}
	return one, nil
}

func (k *Kept) has(revision string) bool {
	return k.ID == revision || slices.ContainsFunc(k.Bundles, func(b keptBundle) bool { return b.Revision == revision && revision != "" })
}

// Names are its bundles as records have them.
func (k *Kept) Names() []authz.Bundle {
	names := make([]authz.Bundle, len(k.Bundles))
	for i, b := range k.Bundles {
		names[i] = b.Bundle
	}
	return names
}

// String is the id, and what its bundles call themselves.
func (k *Kept) String() string {
	return k.ID + " (" + cmp.Or(authz.BundleNames(k.Names()), errDamaged.Error()) + ")"
}

func readFile(name string, most int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > most:
		return nil, errDamaged
	}
	return os.ReadFile(name)
}

func readJSON(name string, into any) error {
	text, err := readFile(name, maxKept)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return errDamaged
	}
	return nil
}

// writeJSON replaces a file by a whole one.
func writeJSON(name string, value any, mode fs.FileMode) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(name), ".new-"+filepath.Base(name))
	if err := writeFile(temporary, text, mode); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return errors.Join(os.Rename(temporary, name), syncFolder(filepath.Dir(name)))
}

func writeFile(name string, content []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
}

// syncFolder has a rename in it outlive a crash.
func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
