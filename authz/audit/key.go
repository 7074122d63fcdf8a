package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/countersign-io/countersign/authz"
)

const (
	keySize = 32
	// pseudonymSize is how much of a hash a pseudonym keeps: two values of one log
	// share 16 bytes once in 2^64 values.
	pseudonymSize = 16
	maxKeyFile    = 4096
)

// key makes pseudonyms. It is safe for concurrent use.
type key struct {
	id     string
	secret []byte
	// macs are kept because setting one up costs more than a pseudonym does.
	macs sync.Pool
}

// What a pseudonym stands for is part of what is hashed, so that an account and a
// consent of the same id cannot be taken for one another.
const (
	labelSubject = "subject"
	labelConsent = "consent"
	labelObject  = "object/"
)

var _ authz.Pseudonyms = (*Log)(nil)

// subject is the pseudonym of a subject of an issuer, and of an actor too: whether
// the one who acts is the one who is acted for can be told from their pseudonyms.
func (k *key) subject(issuer string, subject authz.Subject) string {
	return k.pseudonym(labelSubject, issuer, string(subject))
}

func (k *key) consent(issuer string, id authz.ConsentID) string {
	return k.pseudonym(labelConsent, issuer, string(id))
}

func (k *key) object(object authz.Object) string {
	return k.pseudonym(labelObject+string(object.Type), "", string(object.ID))
}

// pseudonym is "<key id>.<hash>", or "" for no value. The hash is HMAC-SHA256
// (RFC 2104) over the parts, each behind its length, cut to 16 bytes and in
// base64url: 22 characters.
func (k *key) pseudonym(label, issuer, value string) string {
	if value == "" {
		return ""
	}
	message := make([]byte, 0, 256)
	for _, part := range [...]string{label, issuer, value} {
		message = binary.BigEndian.AppendUint64(message, uint64(len(part)))
		message = append(message, part...)
	}
	mac, kept := k.macs.Get().(hash.Hash)
	if !kept {
		mac = hmac.New(sha256.New, k.secret)
	}
	mac.Reset()
	mac.Write(message)
	sum := mac.Sum(message[:0])
	k.macs.Put(mac)
	return k.id + "." + base64.RawURLEncoding.EncodeToString(sum[:pseudonymSize])
}

// keyFile is the key as it is kept: a JSON object, the secret in base64.
type keyFile struct {
	ID  string `json:"id"`
	Key []byte `json:"key"`
}

// openKey reads the key at path, or makes one where there is none.
func openKey(path string, problems *authz.Problems) *key {
	made, err := makeKey(path)
	switch {
	case err == nil:
		return made
	case errors.Is(err, fs.ErrExist):
		return readKey(path, problems)
	}
	problems.Add("key", err.Error(), "name a file in a folder that exists and can be written to")
	return nil
}

// makeKey writes a fresh key to a file that must not exist, durably: a key that was
// lost after records were made with it would make them meaningless.
func makeKey(path string) (*key, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	k := newKey()
	if err := k.write(file); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return k, syncFolder(path)
}

func newKey() *key {
	var id [4]byte
	secret := make([]byte, keySize)
	rand.Read(id[:])
	rand.Read(secret)
	return &key{id: hex.EncodeToString(id[:]), secret: secret}
}

func (k *key) write(to file) error {
	text, err := json.Marshal(keyFile{ID: k.id, Key: k.secret})
	if err != nil {
		return err
	}
	if _, err := to.Write(append(text, '\n')); err != nil {
		return err
	}
	return to.Sync()
}

func readKey(path string, problems *authz.Problems) *key {
	file, err := os.Open(path)
	if err != nil {
		problems.Add("key", err.Error(), "let the user that countersign runs as read the file")
		return nil
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil {
		problems.Add("key", err.Error(), "name a file that can be read")
		return nil
	}
	if !status.Mode().IsRegular() {
		problems.Add("key", "is not a regular file", "name a file that holds a key, or none, so that one is made")
		return nil
	}
	if status.Mode().Perm()&0o077 != 0 {
		problems.Add("key", "can be read or written by others than its owner", "chmod 600 the file, and make a new key if they should not have seen it")
		return nil
	}
	k, err := parseKey(file)
	if err != nil {
		problems.Add("key", err.Error(), `restore {"id": …, "key": …} from a copy, or move the file away: a new key is made, and older pseudonyms are no longer comparable`)
		return nil
	}
	return k
}

var errNotKey = errors.New("does not hold a pseudonym key")

// parseKey reads a key file. Its error says nothing of what the file holds.
func parseKey(from io.Reader) (*key, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxKeyFile))
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var kept keyFile
	if err := decoder.Decode(&kept); err != nil || decoder.More() {
		return nil, errNotKey
	}
	if len(kept.Key) != keySize || !isKeyID(kept.ID) {
		return nil, errNotKey
	}
	return &key{id: kept.ID, secret: kept.Key}, nil
}

// isKeyID keeps key ids apart from the hash behind them, and harmless in any text.
func isKeyID(id string) bool {
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

// syncFolder makes a file's name as durable as its content.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
