package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Revocation names tokens that are good no more: those of an issuer that have all else
// that it names, too.
type Revocation struct {
	// Issuer is whose tokens are meant. It is required: the rest are names within it.
	Issuer string
	// ID is one token's jti. Nothing else is to be named with it.
	ID string
	// Subject and Client are whose tokens are meant: either, or both for what the one
	// let the other do.
	Subject authz.Subject
	Client  authz.ClientID
	// IssuedBefore leaves alone what was issued later. Tokens tell their time in whole
	// seconds: one of the same second is revoked. Zero means tokens whenever issued,
	// and is refused where nothing but the issuer is named.
	IssuedBefore time.Time
}

// maxName bounds what a revocation names, in bytes.
const maxName = 1024

// maxUntil bounds how long a revocation is kept.
const maxUntil = 10 * 366 * 24 * time.Hour

// Faults of a revocation. Their texts hold nothing of it.
var (
	errIssuer = errors.New("revocation: no issuer is named; name the one whose tokens are meant")
	errTokens = errors.New("revocation: not a token's id alone, nor subject or client, nor a time of issue is named; name one of them")
	errName   = errors.New("revocation: a name is longer than 1024 bytes")
	errUntil  = errors.New("revocation: it ends in the past, or more than ten years ahead; name the time when the last such token expires")
	errEntry  = errors.New("revocations: the log holds what is none, or of an unknown form; take it out, or restore the log from a copy")
	errLost   = errors.New("revocation: it is written, and is not in the log; see who else writes to that, and revoke again")
)

// Check says what is wrong with a revocation that is to be kept until then, or nil.
func (r Revocation) Check(until, now time.Time) error {
	owner := r.Subject != "" || r.Client != ""
	switch {
	case r.Issuer == "":
		return errIssuer
	case r.ID != "" && (owner || !r.IssuedBefore.IsZero()), r.ID == "" && !owner && r.IssuedBefore.IsZero():
		return errTokens
	case max(len(r.Issuer), len(r.ID), len(r.Subject), len(r.Client)) > maxName:
		return errName
	case !until.After(now) || until.Sub(now) > maxUntil:
		return errUntil
	}
	return nil
}

// name is a hash of what a revocation names. A length stands before each part, so that
// no two name the same.
func name(issuer, id string, subject authz.Subject, client authz.ClientID) [32]byte {
	var short [256]byte
	data := short[:0]
	for _, part := range [...]string{issuer, id, string(subject), string(client)} {
		data = binary.AppendUvarint(data, uint64(len(part)))
		data = append(data, part...)
	}
	return sha256.Sum256(data)
}

// names are those by which a token could be revoked.
func names(token *authz.Token) [5][32]byte {
	issuer, caller := token.Issuer, token.Caller
	id, _ := token.Claims["jti"].(string)
	return [...][32]byte{
		name(issuer, id, "", ""),
		name(issuer, "", caller.Subject, ""),
		name(issuer, "", "", caller.Client),
		name(issuer, "", caller.Subject, caller.Client),
		name(issuer, "", "", ""),
	}
}

// entry is a revocation as engines keep it.
type entry struct {
	name [32]byte
	// issued is the last second of issue that is meant, and until the second at which
	// the entry may be forgotten.
	issued, until int64
}

func (r Revocation) entry(until time.Time) entry {
	e := entry{name: name(r.Issuer, r.ID, r.Subject, r.Client), issued: math.MaxInt64, until: until.Unix() + 1}
	if !r.IssuedBefore.IsZero() {
		e.issued = r.IssuedBefore.Unix()
	}
	return e
}

// text is the entry for an engine's log.
func (e entry) text() string {
	data := binary.BigEndian.AppendUint64(e.name[:], uint64(e.issued))
	return string(binary.BigEndian.AppendUint64(data, uint64(e.until)))
}

func parseEntry(text string) (entry, error) {
	if len(text) != 48 {
		return entry{}, errEntry
	}
	e := entry{
		issued: int64(binary.BigEndian.Uint64([]byte(text[32:40]))),
		until:  int64(binary.BigEndian.Uint64([]byte(text[40:48]))),
	}
	copy(e.name[:], text)
	return e, nil
}
