package jwks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// kept is a set on disk. It is read back only for the issuer and URL it came from.
type kept struct {
	Issuer  string          `json:"issuer"`
	URL     string          `json:"url"`
	Fetched time.Time       `json:"fetched"`
	Set     json.RawMessage `json:"set"`
}

var errNotOurs = errors.New("kept keys: of another issuer or URL")

// keptPath is a hash, since an issuer is a URL and not a file name.
func (s *Store) keptPath() string {
	sum := sha256.Sum256([]byte(s.issuer))
	return filepath.Join(s.cfg.CacheDir, hex.EncodeToString(sum[:16])+".jwks.json")
}

// keep writes the set to disk, whole or not at all.
func (s *Store) keep(set []byte, fetched time.Time) error {
	if s.cfg.CacheDir == "" || s.env.ReadOnly {
		return nil
	}
	content, err := json.Marshal(kept{Issuer: s.issuer, URL: s.cfg.URL, Fetched: fetched, Set: set})
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	if err := os.MkdirAll(s.cfg.CacheDir, 0o700); err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	// CreateTemp gives mode 0600.
	temporary, err := os.CreateTemp(s.cfg.CacheDir, ".jwks-*")
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	_, writeErr := temporary.Write(content)
	err = errors.Join(writeErr, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), s.keptPath())
	}
	if err != nil {
		return fmt.Errorf("keep: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}

// readKept takes the set kept on disk, which is as old as it was, unless it is from
// the future: it would never be too old. One that cannot be read is as good as none:
// the URL is fetched anyway.
func (s *Store) readKept() {
	if s.cfg.CacheDir == "" {
		return
	}
	set, fetched, err := s.parseKept()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.env.Log.Warn("kept keys could not be read", "issuer", s.issuer, "error", err)
		}
		return
	}
	if fetched.After(s.env.Now()) {
		return
	}
	s.state.Store(&state{set: set, fetched: fetched})
}

func (s *Store) parseKept() (*Set, time.Time, error) {
	data, err := os.ReadFile(s.keptPath())
	if err != nil {
		return nil, time.Time{}, err
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, time.Time{}, fmt.Errorf("kept keys: %w", err)
	}
	if k.Issuer != s.issuer || k.URL != s.cfg.URL {
		return nil, time.Time{}, errNotOurs
	}
	set, err := ParseSet(k.Set)
	return set, k.Fetched, err
}
