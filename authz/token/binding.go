package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// confirmation is the cnf claim (RFC 7800 §3.1). The zero confirmation is of a token
// that is not bound.
type confirmation struct {
	bound bool
	// certificate is x5t#S256, decoded (RFC 8705 §3.1), or nil.
	certificate []byte
	// key tells of jkt (RFC 9449 §6.1).
	key bool
}

// confirmation reads cnf. Members that are not known are let be: some issuers put
// their own beside those of the standards. That one known is there is for check.
func (r *reader) confirmation() confirmation {
	value, there := r.claims["cnf"]
	if !there {
		return confirmation{}
	}
	members, ok := value.(map[string]any)
	if !ok {
		r.fault("cnf", "is no object")
	}
	c := confirmation{bound: true}
	_, c.key = members["jkt"]
	thumbprint, there := members["x5t#S256"]
	if !there {
		return c
	}
	text, _ := thumbprint.(string)
	digest, err := jose.Decode(text)
	if err != nil || len(digest) != sha256.Size {
		r.fault("cnf", "holds a malformed x5t#S256")
	}
	c.certificate = digest
	return c
}

// check holds the token's binding against the certificate of the request, which may
// be nil (RFC 8705 §3). A binding that is not understood is not satisfied.
func (c confirmation) check(presented *authz.Certificate) error {
	switch {
	case !c.bound:
		return nil
	case c.key || c.certificate == nil:
		return fmt.Errorf("binding: %w", authz.BindingUnsupported)
	case presented == nil:
		return fmt.Errorf("binding: %w", authz.CertificateMissing)
	case subtle.ConstantTimeCompare(c.certificate, presented.Thumbprint[:]) != 1:
		return fmt.Errorf("binding: %w", authz.CertificateMismatch)
	}
	return nil
}

// bindings are what check has verified once it has returned nil.
func (c confirmation) bindings() []authz.Binding {
	if c.certificate == nil {
		return nil
	}
	return []authz.Binding{authz.MTLS}
}
