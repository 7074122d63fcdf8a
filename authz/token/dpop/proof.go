package dpop

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// proof is a proof taken apart (RFC 9449 §4.2), and nothing of it believed.
type proof struct {
	*jose.Compact
	key *jose.Key

	id, method, url string
	// token is ath, decoded.
	token []byte
	// nonce is "" where absent; expiresAt and notBefore are zero.
	nonce                          string
	issuedAt, expiresAt, notBefore time.Time
}

// parse takes a proof apart (§4.3 checks 2, 3 and 4). What a proof says besides is not
// looked at.
func parse(text string) (*proof, error) {
	parsed, err := jose.Parse(text, maxProof)
	if err != nil {
		return nil, fmt.Errorf("proof: %w: %w", authz.ProofMalformed, err)
	}
	p := &proof{Compact: parsed}
	if name := p.readClaims(); name != "" {
		return nil, fmt.Errorf("proof: %w: %s is absent or malformed", authz.ProofMalformed, name)
	}
	if !parsed.IsType("dpop+jwt") {
		return nil, fmt.Errorf("proof: %w: typ is not dpop+jwt", authz.ProofMalformed)
	}
	return p, nil
}

// readClaims reads the claims, or returns the name of the first that is at fault.
func (p *proof) readClaims() string {
	for _, claim := range []struct {
		name  string
		to    *string
		limit int
	}{{"jti", &p.id, maxText}, {"htm", &p.method, maxText}, {"htu", &p.url, maxProof}} {
		text, _ := p.Claims[claim.name].(string)
		if text == "" || len(text) > claim.limit {
			return claim.name
		}
		*claim.to = text
	}
	digest, _ := p.Claims["ath"].(string)
	var err error
	if p.token, err = jose.Decode(digest); err != nil || len(p.token) != sha256.Size {
		return "ath"
	}
	if nonce, there := p.Claims["nonce"]; there {
		text, ok := nonce.(string)
		if !ok || len(text) > maxText {
			return "nonce"
		}
		p.nonce = text
	}
	return p.readTimes()
}

// readTimes reads iat, which must be there, and exp and nbf, which hold where they are.
func (p *proof) readTimes() string {
	for name, to := range map[string]*time.Time{"iat": &p.issuedAt, "exp": &p.expiresAt, "nbf": &p.notBefore} {
		value, there := p.Claims[name]
		if !there && name != "iat" {
			continue
		}
		var ok bool
		if *to, ok = jose.Time(value); !ok {
			return name
		}
	}
	return ""
}
