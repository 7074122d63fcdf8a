package checks

import (
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// Said is what a token says of itself. Its maps are nil where it cannot be read.
type Said struct {
	// Header holds typ, alg and kid, as far as they are there.
	Header map[string]any
	Claims map[string]any
}

// Limits on what is read of a token that may be refused.
const (
	maxSaid  = 16 << 10
	maxDepth = 16
)

// ReadSaid reads the token in a request's Authorization header.
func ReadSaid(request *authz.Request) Said {
	value, _ := request.Headers.Value("authorization")
	_, credential, _ := strings.Cut(value, " ")
	segments := strings.Split(strings.TrimLeft(credential, " "), ".")
	if len(segments) != 3 || len(credential) > maxSaid {
		return Said{}
	}
	said := Said{Header: decoded(segments[0]), Claims: decoded(segments[1])}
	for name := range said.Header {
		if name != "typ" && name != "alg" && name != "kid" {
			delete(said.Header, name)
		}
	}
	return said
}

// decoded is nil where a part of a token is no object in base64url.
func decoded(segment string) map[string]any {
	text, err := jose.Decode(segment)
	if err != nil {
		return nil
	}
	value, err := authz.ParseJSON(text, maxDepth)
	if err != nil {
		return nil
	}
	found, _ := value.(map[string]any)
	return found
}

// when is what there must be for a check to be looked at.
type when uint8

const (
	always when = iota
	withCertificate
	withProofs
	whereBound
	boundToCertificate
	boundToKey
	whereNonce
	withAddress
	whereRead
	withDetails
)

// sent is what there is for the checks to look at, by what says so.
type sent map[when]bool

// sentBy is what the request sent; read says that what is revoked could be read.
func sentBy(f *authz.Facts, said Said, read bool) sent {
	value, _ := f.Request.Headers.Value("authorization")
	scheme, _, _ := strings.Cut(value, " ")
	confirmation, bound := said.Claims["cnf"]
	members, _ := confirmation.(map[string]any)
	_, toCertificate := members["x5t#S256"]
	_, toKey := members["jkt"]
	_, detailed := said.Claims["authorization_details"]
	return sent{
		always: true, withCertificate: f.Request.Certificate != "", withProofs: strings.EqualFold(scheme, "DPoP"),
		whereBound: bound, boundToCertificate: toCertificate, boundToKey: toKey,
		whereNonce:  toKey && f.Proofs != nil && f.Proofs.Nonce != "",
		withAddress: f.Request.Address != "", whereRead: read, withDetails: detailed,
	}
}

var lacks = [...]string{
	withCertificate:    "there is no certificate",
	withProofs:         "the scheme is Bearer",
	whereBound:         "the token has no cnf",
	boundToCertificate: "the token is not bound to a certificate",
	boundToKey:         "the token is not bound to a key",
	whereNonce:         "no nonce is asked for",
	withAddress:        "no address is given",
	whereRead:          "what is revoked could not be read",
	withDetails:        "the token has none",
}

// lacks is why there is nothing to look at, or "".
func (s sent) lacks(needed when) string {
	if s[needed] {
		return ""
	}
	return lacks[needed]
}
