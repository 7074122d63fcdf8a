// Package secret keeps keys in files: 32 random bytes and an id, one key a file.
//
// The id stands wherever the key was used, so that it can be told which key a
// pseudonym or a kept input belongs to. To destroy a key is to erase what was hidden
// by it; to replace one, move its file away: a new one is made.
package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/durable"
)

const (
	// Size is a key's, in bytes.
	Size    = 32
	maxFile = 4096
)

// Key is a secret and the name by which it is spoken of.
type Key struct {
	// ID is 1 to 32 of a-z and 0-9.
	ID     string
	Secret []byte
	// Made says that Open has just made it.
	Made bool
}

// file is a key as it is kept: a JSON object, the secret in base64.
type file struct {
	ID  string `json:"id"`
	Key []byte `json:"key"`
}

// Open reads the key at path, or makes one where there is none. What is wrong with it
// is added to problems under the name of a configuration's key; the result is nil then.
func Open(path, name string, problems *authz.Problems) *Key {
	made := ""
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if made, err = create(path); err != nil {
			problems.Add(name, err.Error(), "name a file in a folder that exists and can be written to, on a disk that has hard links")
			return nil
		}
	}
	key := Read(path, name, problems)
	if key != nil {
		sweep(path)
		key.Made = key.ID == made
	}
	return key
}

// create makes a fresh key under another name and links it to its own, durably: a key
// that was lost after it was used would make what it was used for meaningless, and one
// that a kill left half written could not be read. It leaves a key that another process
// has made meanwhile.
func create(path string) (id string, err error) {
	made, err := os.CreateTemp(filepath.Dir(path), unfinished(path)) // for its owner only
	if err != nil {
		return "", err
	}
	key := fresh()
	err = errors.Join(key.write(made), made.Close())
	if err == nil {
		err = link(made.Name(), path)
	}
	return key.ID, errors.Join(err, remove(made.Name()), durable.Folder(filepath.Dir(path)))
}

// link gives a key its name. One that another process has made may have taken both.
func link(made, path string) error {
	err := os.Link(made, path)
	if _, missing := os.Lstat(path); err != nil && missing == nil {
		return nil
	}
	return err
}

// unfinished is the pattern of the names under which path's key is made.
func unfinished(path string) string { return "." + filepath.Base(path) + ".*" }

// sweep removes what is left of making a key that is there, such as a second name of it:
// whoever destroys the key would not know of that. What cannot be removed now is removed
// at a later start.
func sweep(path string) {
	left, _ := filepath.Glob(globbed(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".")) + "*")
	for _, name := range left {
		os.Remove(name)
	}
}

// remove removes a file, if it is there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func fresh() *Key {
	var id [4]byte
	secret := make([]byte, Size)
	rand.Read(id[:])
	rand.Read(secret)
	return &Key{ID: hex.EncodeToString(id[:]), Secret: secret}
}

func (k *Key) write(to *os.File) error {
	text, err := json.Marshal(file{ID: k.ID, Key: k.Secret})
	if err != nil {
		return err
	}
	if _, err := to.Write(append(text, '\n')); err != nil {
		return err
	}
	return to.Sync()
}

// Read reads the key at path, and makes none. It is as Open otherwise.
func Read(path, name string, problems *authz.Problems) *Key {
	from, err := os.Open(path)
	if err != nil {
		problems.Add(name, err.Error(), "let the user that countersign runs as read the file")
		return nil
	}
	defer from.Close()
	status, err := from.Stat()
	if err != nil {
		problems.Add(name, err.Error(), "name a file that can be read")
		return nil
	}
	if !status.Mode().IsRegular() {
		problems.Add(name, "is not a regular file", "name a file that holds a key, or none, so that one is made")
		return nil
	}
	if status.Mode().Perm()&0o077 != 0 {
		problems.Add(name, "can be read or written by others than its owner", "chmod 600 the file, and make a new key if they should not have seen it")
		return nil
	}
	key, err := parse(from)
	if err != nil {
		problems.Add(name, err.Error(), `restore {"id": …, "key": …} from a copy, or move the file away: a new key is made, and what was made with the old one can no longer be matched or read`)
		return nil
	}
	return key
}

var errNotKey = errors.New("does not hold a key")

// parse reads a key file. Its error says nothing of what the file holds.
func parse(from io.Reader) (*Key, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxFile))
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var kept file
	if err := decoder.Decode(&kept); err != nil || decoder.More() {
		return nil, errNotKey
	}
	if len(kept.Key) != Size || !isID(kept.ID) {
		return nil, errNotKey
	}
	return &Key{ID: kept.ID, Secret: kept.Key}, nil
}

// isID keeps ids apart from the hash behind them, and harmless in any text.
func isID(id string) bool {
	if id == "" || len(id) > 32 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Find is the key of that id among the files in path's folder whose names begin as
// path's does: "input.key" is the one in force, "input-2026.key" one before it. It is
// nil where there is none, or none that can be read.
func Find(path, id string) *Key {
	stem := path[:len(path)-len(filepath.Ext(path))]
	names, _ := filepath.Glob(globbed(stem) + "*.key") // its only error is a bad pattern
	for _, name := range names {
		var problems authz.Problems
		if key := Read(name, "key", &problems); key != nil && key.ID == id {
			return key
		}
	}
	return nil
}

// globbed is a name that stands for itself in a pattern.
func globbed(name string) string {
	var out []byte
	for i := range len(name) {
		if c := name[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, name[i])
	}
	return string(out)
}
