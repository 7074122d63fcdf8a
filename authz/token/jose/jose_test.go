package jose

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestLineBreaksAreNoBase64URL(t *testing.T) {
	for _, text := range []string{"YWJj\n", "YW\r\nJj", "YWJj==", "YW Jj", "YWJ"[:2] + "x"} {
		if data, err := Decode(text); err == nil {
			t.Errorf("Decode(%q) = %q, want an error", text, data)
		}
	}
}

func TestTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"0": time.Unix(0, 0), "1.5": time.Unix(1, 5e8), "1e3": time.Unix(1000, 0),
		"9007199254740991": time.Unix(0, math.MaxInt64),
	} {
		if got, ok := Time(json.Number(text)); !ok || !got.Equal(want) {
			t.Errorf("Time(%s) = %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, value := range []any{nil, "1", true, json.Number("-1"), json.Number("9007199254740992"), json.Number("1e999")} {
		if got, ok := Time(value); ok {
			t.Errorf("Time(%v) = %v, want none", value, got)
		}
	}
}

// TestThumbprintOfRFC7638 takes the key of §3.1.
func TestThumbprintOfRFC7638(t *testing.T) {
	key := ParseKey(map[string]any{
		"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
		"n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
			"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbIS" +
			"D08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
	})
	if key == nil {
		t.Fatal("ParseKey() = nil")
	}
	if got := base64.RawURLEncoding.EncodeToString(key.Thumbprint[:]); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("Thumbprint = %s", got)
	}
}
