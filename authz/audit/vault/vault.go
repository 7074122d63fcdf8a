// Package vault hides what policies decided on, so that a decision can be explained
// and decided again by whoever holds the key, and by nobody else.
//
// Each input is encrypted by a key of its own, which follows from the vault's key and
// random salt; once the vault's key is destroyed, no input can be read again. What
// paths an input holds is the policy's, the same for very many inputs: it is kept once,
// in a file beside them that an input names by its hash.
package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/durable"
	"github.com/countersign-io/countersign/authz/audit/secret"
)

// Entry is a decision's input, and what else it takes to decide again: the decision's
// id, which is the seed of what is random, and its time.
type Entry struct {
	ID       authz.DecisionID
	Time     time.Time
	Revision string
	Input    authz.Input
}

// Vault seals entries. It is for one goroutine, but for KeyID: Seal may wait for the disk.
type Vault struct {
	key    *secret.Key
	folder string
	// reaches are those whose file is there.
	reaches map[string]bool
}

// New is a vault that keeps in folder what its entries have in common. Nothing else may
// write there: what an earlier process left unfinished is removed, or is at a later start.
func New(folder string, key *secret.Key) *Vault {
	left, _ := fs.Glob(os.DirFS(folder), unfinished)
	for _, name := range left {
		os.Remove(filepath.Join(folder, name))
	}
	return &Vault{key: key, folder: folder, reaches: map[string]bool{}}
}

// KeyID names the key that entries are sealed by.
func (v *Vault) KeyID() string { return v.key.ID }

// line is an entry as it is kept, a line of JSON.
type line struct {
	ID  string `json:"id"`
	Key string `json:"key"`
	// Sealed is saltSize bytes, then a random nonce and AES-256-GCM (NIST SP 800-38D) of a
	// content under the key that HKDF-SHA256 (RFC 5869) makes of the vault's key and the
	// salt, the id being authenticated with it. No key is used twice: the nonce is there
	// because FIPS 140-3 takes no other than the module's own.
	Sealed []byte `json:"sealed"`
}

// heading is what is sealed before the document: a line of JSON.
type heading struct {
	Time     int64  `json:"time"` // nanoseconds since 1970
	Revision string `json:"revision"`
	// Reach names the file of the input's reaches.
	Reach    string   `json:"reach"`
	Withheld []string `json:"withheld,omitempty"`
	// Answers are the input's.
	Answers json.RawMessage `json:"answers,omitempty"`
}

const (
	saltSize = 32
	overhead = 12 + 16 // GCM's nonce and tag
	purpose  = "countersign input 2"
	// unfinished are the files of reaches that are being written.
	unfinished = ".reach-*"
)

// Seal is the line, with its end, that keeps an entry.
func (v *Vault) Seal(e Entry) ([]byte, error) {
	reach, err := v.keepReach(e.Input.Reaches)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	head, err := json.Marshal(heading{Time: e.Time.UnixNano(), Revision: e.Revision, Reach: reach, Withheld: e.Input.Withheld, Answers: e.Input.Answers})
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	plain := slices.Concat(head, []byte("\n"), e.Input.Document)
	id := e.ID.String()
	sealed := make([]byte, saltSize, saltSize+len(plain)+overhead)
	rand.Read(sealed)
	aead, err := cipherOf(v.key, sealed)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	sealed = aead.Seal(sealed, nil, plain, []byte(id))
	return encode(id, v.key.ID, sealed), nil
}

// lineStart begins every line.
const lineStart = `{"id":"`

// encode is a line, and its end: ids need no escapes.
func encode(id, key string, sealed []byte) []byte {
	text := make([]byte, 0, 128+base64.StdEncoding.EncodedLen(len(sealed)))
	text = append(text, lineStart+id+`","key":"`+key+`","sealed":"`...)
	text = base64.StdEncoding.AppendEncode(text, sealed)
	return append(text, "\"}\n"...)
}

func cipherOf(key *secret.Key, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key.Secret, salt, purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// keepReach makes the file of reaches, durably, before anything names it.
func (v *Vault) keepReach(reaches []string) (string, error) {
	text, err := json.Marshal(append([]string{}, reaches...)) // an array, though empty
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:8])
	if v.reaches[name] {
		return name, nil
	}
	if err := write(reachFile(v.folder, name), append(text, '\n')); err != nil {
		return "", err
	}
	v.reaches[name] = true
	return name, nil
}

func reachFile(folder, name string) string {
	return filepath.Join(folder, "reach-"+name+".json")
}

// write makes a file whole, or leaves one that is as it should be.
func write(path string, text []byte) error {
	if kept, err := os.ReadFile(path); err == nil && bytes.Equal(kept, text) {
		return durable.Folder(filepath.Dir(path)) // whoever made it may have been killed before
	}
	made, err := os.CreateTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return err
	}
	_, err = made.Write(text)
	if err = errors.Join(err, made.Sync(), made.Close()); err == nil {
		err = os.Rename(made.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(made.Name()))
	}
	return durable.Folder(filepath.Dir(path))
}

// Errors of Open. Their texts say what an operator can do.
var (
	ErrOther   = errors.New("vault: the line keeps another decision's input")
	ErrNoKey   = errors.New("vault: the key is not there: it cannot be read, is in another folder, or was destroyed")
	ErrDamaged = errors.New("vault: does not open by its key: it was changed")
)

// Open reads the line that keeps the entry of a decision. keys is the key of an id, or
// nil. folder is the vault's.
func Open(folder string, id authz.DecisionID, text []byte, keys func(id string) *secret.Key) (Entry, error) {
	var kept line
	if err := json.Unmarshal(text, &kept); err != nil {
		return Entry{}, ErrDamaged
	}
	if kept.ID != id.String() {
		return Entry{}, ErrOther
	}
	return NewReader(folder, keys).open(id, kept)
}

// Reader opens many lines of a vault. What they have in common, which is few, it reads
// once: the keys, and the files of reaches. It is for one goroutine.
type Reader struct {
	folder string
	keys   func(id string) *secret.Key
	found  map[string]*secret.Key
	// reaches are shared by all entries that have them.
	reaches map[string][]string
}

// NewReader is a reader of the vault in folder. keys is the key of an id, or nil.
func NewReader(folder string, keys func(id string) *secret.Key) *Reader {
	return &Reader{folder: folder, keys: keys, found: map[string]*secret.Key{}, reaches: map[string][]string{}}
}

// IDOf is the decision of a line that keeps an entry, if it says so: it is not opened.
func IDOf(text []byte) (id authz.DecisionID, known bool) {
	rest, is := bytes.CutPrefix(text, []byte(lineStart))
	if !is || len(rest) < 36 {
		return id, false
	}
	id, err := authz.ParseDecisionID(string(rest[:36]))
	return id, err == nil
}

// Open reads a line that keeps an entry. Beside an error it has what could be told: the id,
// or that and the time.
func (r *Reader) Open(text []byte) (Entry, error) {
	var kept line
	if err := json.Unmarshal(text, &kept); err != nil {
		return Entry{}, ErrDamaged
	}
	id, err := authz.ParseDecisionID(kept.ID)
	if err != nil {
		return Entry{}, ErrDamaged
	}
	entry, err := r.open(id, kept)
	entry.ID = id
	return entry, err
}

func (r *Reader) open(id authz.DecisionID, kept line) (Entry, error) {
	key := r.key(kept.Key)
	if key == nil {
		return Entry{}, fmt.Errorf("%w: key %q", ErrNoKey, kept.Key)
	}
	plain, err := unseal(key, kept)
	if err != nil {
		return Entry{}, err
	}
	head, document, _ := bytes.Cut(plain, []byte("\n"))
	var found heading
	if err := json.Unmarshal(head, &found); err != nil {
		return Entry{}, ErrDamaged
	}
	entry := Entry{ID: id, Time: time.Unix(0, found.Time).UTC(), Revision: found.Revision,
		Input: authz.Input{Document: document, Withheld: found.Withheld, Answers: found.Answers}}
	entry.Input.Reaches, err = r.reach(found.Reach)
	return entry, err
}

// maxCommon bounds what is remembered of keys, and of reaches: past it, which no log
// comes to that was not tampered with, they are read each time.
const maxCommon = 1000

// key also remembers that one is not there.
func (r *Reader) key(id string) *secret.Key {
	if key, known := r.found[id]; known {
		return key
	}
	key := r.keys(id)
	if len(r.found) < maxCommon {
		r.found[id] = key
	}
	return key
}

func (r *Reader) reach(name string) ([]string, error) {
	if reaches, known := r.reaches[name]; known {
		return reaches, nil
	}
	reaches, err := readReach(r.folder, name)
	if err == nil && len(r.reaches) < maxCommon {
		r.reaches[name] = reaches
	}
	return reaches, err
}

func unseal(key *secret.Key, kept line) ([]byte, error) {
	if len(kept.Sealed) < saltSize {
		return nil, ErrDamaged
	}
	salt, sealed := kept.Sealed[:saltSize], kept.Sealed[saltSize:]
	aead, err := cipherOf(key, salt)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(kept.ID))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

// readReach reads a file of reaches and holds it against its name.
func readReach(folder, name string) ([]string, error) {
	path := reachFile(folder, filepath.Base(name))
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("vault: %s is missing: restore it, it says which facts the input holds", path)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	var reaches []string
	if err := json.Unmarshal(text, &reaches); err != nil || reaches == nil {
		return nil, fmt.Errorf("vault: %s was changed", path)
	}
	again, err := json.Marshal(reaches)
	if sum := sha256.Sum256(again); err != nil || hex.EncodeToString(sum[:8]) != name {
		return nil, fmt.Errorf("vault: %s was changed", path)
	}
	return reaches, nil
}
