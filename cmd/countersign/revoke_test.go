package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/token"
)

// TestRevocationsOutliveTheTokens holds that by itself a revocation ends no earlier than
// the last token that it means, and that one which does is warned of.
func TestRevocationsOutliveTheTokens(t *testing.T) {
	const skew, second = 10 * time.Second, time.Second
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	hour := token.Issuer{MaxLifetime: time.Hour}
	tests := []struct {
		name   string
		asked  revocation
		issuer token.Issuer
		want   time.Duration
		warns  bool
	}{
		{"of a token that nothing bounds", revocation{id: "1"}, token.Issuer{}, forever, false},
		{"of a token whose life is bounded", revocation{id: "1"}, hour, time.Hour + 2*skew + second, false},
		{"of a token whose age is bounded", revocation{idFile: "-"}, token.Issuer{MaxAge: time.Minute}, time.Minute + 2*skew + second, false},
		{"of a token whose age is bounded more than its life", revocation{id: "1"}, token.Issuer{MaxLifetime: time.Hour, MaxAge: time.Minute, Skew: second}, time.Minute + 3*second, false},
		{"of a token whose life is bounded to an age", revocation{id: "1"}, token.Issuer{MaxLifetime: 2 * forever}, forever, false},
		{"of those issued until a time to come", revocation{client: "a", issuedBefore: now.Add(time.Minute)}, hour, time.Hour + time.Minute + 2*skew + second, false},
		{"of those issued until a time past", revocation{client: "a", issuedBefore: now.Add(-time.Minute)}, hour, time.Hour + 2*skew + second, false},
		{"of those issued until now", revocation{client: "a", issuedBefore: now}, hour, time.Hour + 3*skew + 2*second, false},
		{"of those yet to be issued", revocation{client: "a"}, hour, blocked, false},
		{"of those yet to be issued, which live long", revocation{subject: "a"}, token.Issuer{MaxLifetime: 2 * blocked}, 2*blocked + 2*skew + second, false},
		{"for less", revocation{id: "1", lasts: time.Hour}, hour, time.Hour, true},
		{"until earlier", revocation{id: "1", until: now.Add(time.Hour)}, hour, time.Hour, true},
		{"for longer", revocation{id: "1", lasts: 2 * time.Hour}, hour, 2 * time.Hour, false},
		{"for less than nobody knows", revocation{id: "1", lasts: time.Hour}, token.Issuer{}, time.Hour, false},
	}
	for _, test := range tests {
		var told strings.Builder
		test.asked.now = now
		if got := test.asked.ends(test.issuer, world{stdout: io.Discard, stderr: &told}).Sub(now); got != test.want {
			t.Errorf("%s: ends in %v, want %v", test.name, got, test.want)
		}
		if warns := strings.Contains(told.String(), "good again"); warns != test.warns {
			t.Errorf("%s: told %q, want a warning: %t", test.name, told.String(), test.warns)
		}
	}
}

// TestNowIsByWhicheverClock holds that what was issued until now is meant, though its
// issuer's clock is ahead; a time that is named is that time.
func TestNowIsByWhicheverClock(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for asked, want := range map[time.Duration]time.Duration{0: 31 * time.Second, time.Second: time.Second, -time.Hour: -time.Hour} {
		r := revocation{now: now, issuedBefore: now.Add(asked)}
		if got := r.before(token.Issuer{Skew: 30 * time.Second}).Sub(now); got != want {
			t.Errorf("%v from now: means %v from now, want %v", asked, got, want)
		}
	}
	if got := (&revocation{now: now}).before(token.Issuer{}); !got.IsZero() {
		t.Errorf("whenever issued: means %v, want zero", got)
	}
}
