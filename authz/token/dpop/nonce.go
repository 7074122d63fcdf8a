package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/countersign-io/countersign/authz"
)

const (
	// nonceLife is for how long a nonce is the one that is told; for as long again it
	// is still accepted.
	nonceLife = 5 * time.Minute
	// nonceSize is how much of a MAC a nonce keeps: nobody guesses 16 bytes in 10 minutes.
	nonceSize = 16
)

// Nonces are what servers have clients put into their proofs (RFC 9449 §8 and §9), so that no
// proof was made long before it is used. A nonce is a MAC over its time: nothing is
// kept, and every Countersign with the same key makes and takes the same ones. It is immutable
// and safe for concurrent use.
type Nonces struct {
	id     string
	secret []byte
}

// NewNonces returns the nonces of a key; its id tells its nonces from those of another.
func NewNonces(id string, secret []byte) *Nonces { return &Nonces{id: id, secret: secret} }

// at is the nonce of a time.
func (n *Nonces) at(at time.Time) string { return n.of(at.Unix() / int64(nonceLife/time.Second)) }

// of is the nonce of a span of time, counted from 1970: the key's id, so that a replaced key
// shows, and the MAC.
func (n *Nonces) of(span int64) string {
	mac := hmac.New(sha256.New, n.secret)
	mac.Write([]byte("dpop-nonce\x00" + n.id + "\x00"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(span)))
	return n.id + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nonceSize])
}

// accept takes the nonce of this span of time, that of the next where it is about to
// begin, and that of the one before, with which it returns this one's for the client to
// go on with.
func (n *Nonces) accept(nonce string, at time.Time) (next string, err error) {
	current := n.at(at)
	switch {
	case nonce == "":
		return "", fmt.Errorf("proof: %w: there is none", authz.ProofNonce)
	case hmac.Equal([]byte(nonce), []byte(current)):
		return "", nil
	case hmac.Equal([]byte(nonce), []byte(n.at(at.Add(-nonceLife)))):
		return current, nil
	case hmac.Equal([]byte(nonce), []byte(n.at(at.Add(maxAhead)))):
		return "", nil // of a replica whose clock is ahead of ours
	}
	return "", fmt.Errorf("proof: %w: not one that stands", authz.ProofNonce)
}
