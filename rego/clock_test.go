package rego

import (
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

// TestCertificatesAreVerifiedAtATimeThatIsGiven holds that no policy, ours or the peer's,
// verifies certificates by the machine's clock, however it writes the call.
func TestCertificatesAreVerifiedAtATimeThatIsGiven(t *testing.T) {
	const at = `crypto.x509.parse_and_verify_certificates_with_options`
	for body, refused := range map[string]bool{
		at + `("", {"CurrentTime": input.request.time})[0]`:    false,
		at + `("", {"DNSName": "a", "CurrentTime": 1})[0]`:     false,
		`some x in [` + at + `("", {"CurrentTime": 1})]; x[0]`: false,
		`f(1) with ` + at + ` as stub`:                         false,
		at + `("", {})[0]`:                                     true,
		at + `("", {"DNSName": "a"}, x); x[0]`:                 true,
		at + `("", data.options)[0]`:                           true,
		`o := {"CurrentTime": 1}; ` + at + `("", o)[0]`:        true,
		at + `("", object.union({"CurrentTime": 1}, {}))[0]`:   true,
		`count([1 | ` + at + `("", {})[0]]) == 0`:              true,
		`every x in [1] { x == 1; not ` + at + `("", {})[0] }`: true,
		`$"{` + at + `("", {})}" == ""`:                        true,
		`object.union({}, {}) with object.union as ` + at:      true,
		`f(1) with input.caller.kind as ` + at + `("", {"CurrentTime": 1})[0] with input as ` + at + `("", {})[0]`: true,
		`crypto.x509.parse_and_verify_certificates("")[0]`:                                                         true,
		`strings.render_template("{{printf \"%p\" .x}}", {"x": []}) == ""`:                                         true,
	} {
		module := "package site\n\nstub(_, _) := [true, []]\n\nf(_) if { " + at + `("", {"CurrentTime": 1})[0] }` + "\n\ndecision if { " + body + " }\n"
		_, err := New(Config{Path: write(t, map[string]string{"site.rego": module}), Decision: "site.decision"})
		_, peerErr := NewPeer(PeerConfig{Paths: []string{peerFile(t, "site.rego", module)}, Decision: "site/decision"})
		for _, err := range []error{err, peerErr} {
			named := err != nil && strings.Contains(err.Error(), "site.rego:7") &&
				(strings.Contains(err.Error(), "the machine's clock") || strings.Contains(err.Error(), "addresses in memory"))
			if named != refused || err != nil && !refused {
				t.Errorf("{ %s } = %v, want it refused: %v", body, err, refused)
			}
		}
	}
}

// TestTheMachinesZoneIsNotForPolicies is meant for machines in other zones than UTC:
// TestDecisionsRepeatInAnotherProcess has one.
func TestTheMachinesZoneIsNotForPolicies(t *testing.T) {
	e := own(t, `package site
decision if {
	time.clock([input.request.time, "Local"]) == time.clock(input.request.time)
	time.parse_ns("2006-01-02 15:04 MST", "2026-01-02 15:04 CET") == time.parse_ns("2006-01-02 15:04", "2026-01-02 15:04")
}
`)
	verdict, err := e.Decide(t.Context(), &authz.Facts{Request: &authz.Request{}, Time: now})
	if !verdict.Allowed || err != nil {
		t.Errorf("Decide = %v, %v, want the zone to be UTC", verdict.Allowed, err)
	}
}

func TestTheHeadOfARuleVerifiesNothingByTheClock(t *testing.T) {
	for _, head := range []string{
		`p[crypto.x509.parse_and_verify_certificates_with_options("", {})[0]] := 1`,
		`p contains crypto.x509.parse_and_verify_certificates_with_options("", {})[0]`,
		`p := crypto.x509.parse_and_verify_certificates_with_options("", {})[0]`,
		`default p := crypto.x509.parse_and_verify_certificates_with_options("", {})[0]`,
	} {
		_, err := New(Config{Path: write(t, map[string]string{"site.rego": "package site\n\n" + head + "\n"}), Decision: "site.p"})
		if err == nil || !strings.Contains(err.Error(), "site.rego:3") {
			t.Errorf("New(%s) = %v, want a fault", head, err)
		}
	}
}
