package dpop

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// TestNonces demands one, in the same span of time and in those after it.
func TestNonces(t *testing.T) {
	// Just before one span ends, so that what is fresh by iat is of two.
	at := now.Truncate(nonceLife).Add(nonceLife - time.Second)
	other := NewNonces("k1", []byte("another secret, also of 32 bytes"))
	renamed := NewNonces("k2", testNonces.secret)
	tests := []struct {
		name  string
		nonce any
		at    time.Time
		want  authz.Reason
		next  string
	}{
		{"D10 this span's", testNonces.at(at), at, authz.Internal, ""},
		{"D10 the span's before", testNonces.at(at), at.Add(2 * time.Second), authz.Internal, testNonces.at(at.Add(nonceLife))},
		{"D10 the last moment", testNonces.at(at), at.Add(nonceLife), authz.Internal, testNonces.at(at.Add(nonceLife))},
		{"D10 too old", testNonces.at(at), at.Add(nonceLife + 2*time.Second), authz.ProofNonce, ""},
		{"D10 of a clock that is ahead", testNonces.at(at.Add(maxAhead)), at, authz.Internal, ""},
		{"D10 to come", testNonces.at(at.Add(nonceLife + 2*maxAhead)), at, authz.ProofNonce, ""},
		{"D10 none", absent, at, authz.ProofNonce, ""},
		{"D10 an empty one", "", at, authz.ProofNonce, ""},
		{"D10 of another server", other.at(at), at, authz.ProofNonce, ""},
		{"D10 of another key id", renamed.at(at), at, authz.ProofNonce, ""},
		{"D10 made up", "k1.AAAAAAAAAAAAAAAAAAAAAA", at, authz.ProofNonce, ""},
		{"D10 over 256 bytes", strings.Repeat("n", 257), at, authz.ProofMalformed, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := call(prove(goodHeader("ES256"), with(goodClaims(), "nonce", test.nonce, "iat", test.at.Unix())))
			request.At = test.at
			verifier := New(demanding(), testNonces, &fakeReplays{})
			next, err := verifier.Verify(t.Context(), request)
			wantReason(t, err, test.want)
			if next != test.next {
				t.Errorf("the next nonce is %q, want %q", next, test.next)
			}
			if told := verifier.Proofs(test.at).Nonce; told != testNonces.at(test.at) {
				t.Errorf("the nonce told is %q, want %q", told, testNonces.at(test.at))
			}
		})
	}
}
