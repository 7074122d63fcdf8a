package envoy

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
)

// Limits of W3C Trace Context §3.3.1.
const (
	maxTracestate  = 512
	maxTraceMember = 32
	maxTraceKey    = 256
	maxTraceValue  = 256
)

// traceContext is that of Envoy's own span, from the call's metadata, or "" for
// what is absent, repeated or not in W3C form. A tracestate without a traceparent
// means nothing.
func traceContext(ctx context.Context) (parent, state string) {
	incoming, _ := metadata.FromIncomingContext(ctx)
	parents := incoming.Get("traceparent")
	if len(parents) != 1 || !isTraceparent(parents[0]) {
		return "", ""
	}
	// Several tracestate fields are one list (§3.3.1).
	state = strings.Join(incoming.Get("tracestate"), ",")
	if !isTracestate(state) {
		state = ""
	}
	return parents[0], state
}

// isTraceparent reports version 00 of W3C Trace Context §3.2, or a later version
// that begins as version 00 does (§3.2.4).
func isTraceparent(s string) bool {
	if len(s) < 55 || len(s) > maxTracestate || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isLowerHex(version) || !isLowerHex(trace) || !isLowerHex(span) || !isLowerHex(flags) {
		return false
	}
	if version == "ff" || isZero(trace) || isZero(span) {
		return false
	}
	return len(s) == 55 || version != "00" && s[55] == '-'
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZero(s string) bool { return strings.Trim(s, "0") == "" }

// isTracestate reports a list of §3.3.1's members: key "=" value.
func isTracestate(s string) bool {
	members := strings.Split(s, ",")
	if len(s) > maxTracestate || len(members) > maxTraceMember {
		return false
	}
	for _, member := range members {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		key, value, found := strings.Cut(member, "=")
		if !found || !isTraceKey(key) || !isTraceValue(value) {
			return false
		}
	}
	return true
}

func isTraceKey(s string) bool {
	if s == "" || len(s) > maxTraceKey || strings.Count(s, "@") > 1 || strings.IndexByte("_-*/@", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-*/@", c) < 0 {
			return false
		}
	}
	return true
}

func isTraceValue(s string) bool {
	if s == "" || len(s) > maxTraceValue {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '=' {
			return false
		}
	}
	return true
}
