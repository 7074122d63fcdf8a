package token

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// confirmation is the cnf claim (RFC 7800 §3.1). The zero confirmation is of a token
// that is not bound.
type confirmation struct {
	bound bool
	// certificate is x5t#S256 (RFC 8705 §3.1), and key is jkt (RFC 9449 §6.1), each
	// decoded, or nil.
	certificate, key []byte
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
	return confirmation{bound: true, certificate: r.thumbprint(members, "x5t#S256"), key: r.thumbprint(members, "jkt")}
}

// thumbprint is a member of cnf: the base64url SHA-256 of what the token is bound to, or
// nil where the member is absent.
func (r *reader) thumbprint(members map[string]any, name string) []byte {
	value, there := members[name]
	if !there {
		return nil
	}
	text, _ := value.(string)
	digest, err := jose.Decode(text)
	if err != nil || len(digest) != sha256.Size {
		r.fault("cnf", "holds a malformed "+name)
	}
	return digest
}

// sender is who sent a token, as far as the request shows it.
type sender struct {
	// certificate is that of the connection, or nil.
	certificate *authz.Certificate
	credential  credential
	request     *authz.Request
	// proofs verifies the request's proof; nil where the API takes none.
	proofs *dpop.Verifier
	// bestEffort takes a proof that cannot be counted as used.
	bestEffort bool
}

// check holds the token's binding against who sent it. A binding that is not understood
// is not satisfied, and of two both must be. The proof comes last, and is used up by it;
// next is the nonce that the client's next proof must hold, or "".
func (c confirmation) check(ctx context.Context, s sender, at time.Time) (next string, err error) {
	switch {
	case c.bound && c.certificate == nil && c.key == nil, c.key != nil && s.proofs == nil:
		return "", fmt.Errorf("binding: %w", authz.BindingUnsupported)
	case c.key == nil && s.credential.proven:
		return "", fmt.Errorf("binding: %w", authz.ProofUnbound)
	case c.key != nil && !s.credential.proven:
		return "", fmt.Errorf("binding: %w", authz.ProofDowngraded)
	}
	if err := c.checkCertificate(s.certificate); err != nil || c.key == nil {
		return "", err
	}
	call := dpop.Call{Request: s.request, Token: s.credential.token, Key: [sha256.Size]byte(c.key), At: at}
	return s.proofs.Verify(ctx, call)
}

// checkCertificate holds the binding against the certificate of the request, which may
// be nil (RFC 8705 §3).
func (c confirmation) checkCertificate(presented *authz.Certificate) error {
	switch {
	case c.certificate == nil:
		return nil
	case presented == nil:
		return fmt.Errorf("binding: %w", authz.CertificateMissing)
	case subtle.ConstantTimeCompare(c.certificate, presented.Thumbprint[:]) != 1:
		return fmt.Errorf("binding: %w", authz.CertificateMismatch)
	}
	return nil
}

// bindings are what check has verified once it has returned no error.
func (c confirmation) bindings() []authz.Binding {
	var bindings []authz.Binding
	if c.certificate != nil {
		bindings = append(bindings, authz.MTLS)
	}
	if c.key != nil {
		bindings = append(bindings, authz.DPoP)
	}
	return bindings
}
