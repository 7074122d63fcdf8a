package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/countersign-io/countersign/authz"
)

// pseudonymSize is how much of a hash a pseudonym keeps: two values of one log share
// 16 bytes once in 2^64 values.
const pseudonymSize = 16

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
