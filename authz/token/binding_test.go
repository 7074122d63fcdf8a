package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// TestThumbprintsOfRFC8705 takes the certificate of appendix A. The value of §3.1 is a
// placeholder: bits are left over in its last character, so no digest encodes to it.
func TestThumbprintsOfRFC8705(t *testing.T) {
	digest := must(hex.DecodeString("0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd"))
	presented := &authz.Certificate{Thumbprint: [32]byte(digest)}
	for thumbprint, want := range map[string]authz.Reason{
		"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0": authz.Internal,
		"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2": authz.TokenClaims,
		"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0": authz.CertificateMismatch,
	} {
		verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
		credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"x5t#S256": thumbprint}))
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), presented, now)
		wantReason(t, token, err, want)
	}
}

func TestBinding(t *testing.T) {
	presented := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("certificate"))}
	other := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("another"))}
	thumbprint := encode(presented.Thumbprint[:])
	tests := []struct {
		name        string
		cnf         any
		certificate *authz.Certificate
		want        authz.Reason
	}{
		{"M1 the certificate it is bound to", object{"x5t#S256": thumbprint}, presented, authz.Internal},
		{"M1 unknown members beside it", object{"x5t#S256": thumbprint, "kc-jkt-type": "x"}, presented, authz.Internal},
		{"a token that is not bound, and a certificate", absent, presented, authz.Internal},
		{"a token that is not bound, and none", absent, nil, authz.Internal},
		{"M3 another certificate", object{"x5t#S256": thumbprint}, other, authz.CertificateMismatch},
		{"M3 no certificate", object{"x5t#S256": thumbprint}, nil, authz.CertificateMissing},
		{"M1 padded", object{"x5t#S256": thumbprint + "="}, presented, authz.TokenClaims},
		{"M1 hex", object{"x5t#S256": hex.EncodeToString(presented.Thumbprint[:])}, presented, authz.TokenClaims},
		{"M1 standard base64", object{"x5t#S256": base64.RawStdEncoding.EncodeToString(slices.Repeat([]byte{0xff}, 32))}, presented, authz.TokenClaims},
		{"M1 too short", object{"x5t#S256": encode(presented.Thumbprint[:31])}, presented, authz.TokenClaims},
		{"M1 empty", object{"x5t#S256": ""}, presented, authz.TokenClaims},
		{"M1 of another type", object{"x5t#S256": []string{thumbprint}}, presented, authz.TokenClaims},
		{"M7 x5t is no binding", object{"x5t": thumbprint}, presented, authz.BindingUnsupported},
		{"B3 jkt, where no proofs are taken", object{"jkt": thumbprint}, presented, authz.BindingUnsupported},
		{"B6 jkt beside the certificate, where no proofs are taken", object{"x5t#S256": thumbprint, "jkt": thumbprint}, presented, authz.BindingUnsupported},
		{"B5 unknown members alone", object{"kid": "1", "jwk": object{}}, presented, authz.BindingUnsupported},
		{"B5 an empty cnf", object{}, presented, authz.BindingUnsupported},
		{"cnf a string", thumbprint, presented, authz.TokenClaims},
		{"cnf null", nil, presented, authz.TokenClaims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
			credential := sign(goodHeader(), with(goodClaims(), "cnf", test.cnf))
			for range 2 {
				token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), test.certificate, now)
				wantReason(t, token, err, test.want)
				if token != nil && slices.Contains(token.Bindings, authz.MTLS) != (test.cnf != any(absent)) {
					t.Errorf("Bindings = %v", token.Bindings)
				}
			}
		})
	}
}

func TestBindingIsCheckedOnEveryRequest(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	own := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("own"))}
	thief := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("thief"))}
	credential := sign(goodHeader(), with(goodClaims(), "cnf", object{"x5t#S256": encode(own.Thumbprint[:])}))
	for _, step := range []struct {
		certificate *authz.Certificate
		want        authz.Reason
	}{
		{own, authz.Internal}, {thief, authz.CertificateMismatch}, {nil, authz.CertificateMissing}, {own, authz.Internal},
	} {
		token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), step.certificate, now)
		wantReason(t, token, err, step.want)
	}
}
