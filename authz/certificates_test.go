package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCertificateRoles holds what the contract asks of the client's certificate.
func TestCertificateRoles(t *testing.T) {
	identity := func(roles ...string) *Identity {
		return &Identity{NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(time.Hour), PSD2: &PSD2{Roles: roles, Authority: "GB-FCA"}}
	}
	dated := func(from, until time.Duration) *Identity {
		return &Identity{NotBefore: testTime.Add(from), NotAfter: testTime.Add(until), PSD2: &PSD2{Roles: []string{"PSP_AI"}}}
	}
	only := func(i *Identity) *Certificate { return &Certificate{Identity: i} }
	information := [][]string{{"PSP_AI"}}
	tests := []struct {
		name        string
		needed      [][]string
		certificate *Certificate
		want        Reason
	}{
		{"Q6: the role", information, &Certificate{Identity: identity("PSP_AI")}, Granted},
		{"Q6: the role among others", information, &Certificate{Identity: identity("PSP_PI", "PSP_AI")}, Granted},
		{"Q6: another role", information, &Certificate{Identity: identity("PSP_PI")}, CertificateRole},
		{"Q6: no role", information, &Certificate{Identity: identity()}, CertificateRole},
		{"Q6: a role's name in another case", information, &Certificate{Identity: identity("psp_ai")}, CertificateRole},
		{"Q6: one of two that are both needed", [][]string{{"PSP_AI"}, {"PSP_PI"}}, &Certificate{Identity: identity("PSP_AI")}, CertificateRole},
		{"Q6: both", [][]string{{"PSP_AI"}, {"PSP_PI"}}, &Certificate{Identity: identity("PSP_PI", "PSP_AI")}, Granted},
		{"Q6: either of two", [][]string{{"PSP_AI", "PSP_AS"}}, &Certificate{Identity: identity("PSP_AS")}, Granted},
		{"Q6: neither of two", [][]string{{"PSP_AI", "PSP_AS"}}, &Certificate{Identity: identity("PSP_IC")}, CertificateRole},
		{"no alternative at all is met by nobody", [][]string{{}}, &Certificate{Identity: identity("PSP_AI")}, CertificateRole},
		{"no certificate", information, nil, CertificateRequired},
		{"a thumbprint alone", information, &Certificate{}, CertificateRole},
		{"no statement", information, only(&Identity{NotBefore: testTime, NotAfter: testTime}), CertificateRole},
		{"a statement that is doubted", information, only(&Identity{NotBefore: testTime, NotAfter: testTime, Doubt: "x"}), CertificateRole},
		{"its first moment", information, only(dated(0, time.Hour)), Granted},
		{"its last moment", information, only(dated(-time.Hour, 0)), Granted},
		{"not valid yet", information, only(dated(1, time.Hour)), CertificateExpired},
		{"expired", information, only(dated(-time.Hour, -1)), CertificateExpired},
		{"no dates", information, only(&Identity{PSD2: &PSD2{Roles: []string{"PSP_AI"}}}), CertificateExpired},
		{"none is needed, none comes", nil, nil, Granted},
		{"none is needed, an expired one comes", nil, only(dated(-time.Hour, -1)), Granted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := allowing()
			asking := *operation
			asking.PSD2 = test.needed
			f.match = func() (Match, error) { return Match{API: "bank", Operation: &asking}, nil }
			f.certificate = func() (*Certificate, error) { return test.certificate, nil }
			got := f.pipeline().Check(t.Context(), getAccount())
			if got.Reason != test.want {
				t.Errorf("Check() = %v (%s), want %v", got.Reason, got.Detail, test.want)
			}
			if test.want != Granted && len(f.asked) > 0 {
				t.Errorf("asked %v after the refusal", f.asked)
			}
		})
	}
}

// TestRolesAreHeldOfAnybody holds that an operation that takes no token asks for the
// role all the same, and that the detail says why a statement is not believed.
func TestRolesAreHeldOfAnybody(t *testing.T) {
	f := allowing()
	f.match = func() (Match, error) {
		return Match{API: "bank", Operation: &Operation{ID: "public", PSD2: [][]string{{"PSP_AI", "PSP_AS"}}}}, nil
	}
	f.token = func(context.Context) (*Token, error) { return nil, fmt.Errorf("x: %w", NoCredentials) }
	standing := Identity{NotBefore: testTime, NotAfter: testTime}
	for _, test := range []struct {
		psd2   *PSD2
		doubt  string
		detail string
	}{
		{nil, "", "it has no PSD2 statement"},
		{nil, "two statements", "two statements"},
		{&PSD2{Roles: []string{"PSP_PI"}}, "", "PSP_AI or PSP_AS is not among its roles"},
	} {
		identity := standing
		identity.PSD2, identity.Doubt = test.psd2, test.doubt
		f.certificate = func() (*Certificate, error) { return &Certificate{Identity: &identity}, nil }
		got := f.pipeline().Check(t.Context(), getAccount())
		if got.Reason != CertificateRole || !strings.HasSuffix(got.Detail, ": "+test.detail) {
			t.Errorf("Check() = %v (%s), want %v for %s", got.Reason, got.Detail, CertificateRole, test.detail)
		}
	}
}

func TestRolesAreNotSharedToBeChanged(t *testing.T) {
	PSD2Roles()[0] = "changed"
	if slices.Contains(PSD2Roles(), "changed") {
		t.Error("the roles can be changed from outside")
	}
}
