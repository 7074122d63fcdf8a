package authz

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		raw  string
		want Target
	}{
		{"/", Target{Path: "/", Segments: []string{""}}},
		{"/a", Target{Path: "/a", Segments: []string{"a"}}},
		{"/a/", Target{Path: "/a/", Segments: []string{"a", ""}}},
		{"/a%20b/c%C3%A9", Target{Path: "/a%20b/c%C3%A9", Segments: []string{"a b", "cé"}}},
		{"/a+b", Target{Path: "/a+b", Segments: []string{"a+b"}}},
		{"/a.b/...", Target{Path: "/a.b/...", Segments: []string{"a.b", "..."}}},
		{"/a:b@c", Target{Path: "/a:b@c", Segments: []string{"a:b@c"}}},
		{"/a?x=1&x=2&y", Target{Path: "/a", Segments: []string{"a"}, RawQuery: "x=1&x=2&y", Query: url.Values{"x": {"1", "2"}, "y": {""}}}},
		{"/a?x=%2F..%2F", Target{Path: "/a", Segments: []string{"a"}, RawQuery: "x=%2F..%2F", Query: url.Values{"x": {"/../"}}}},
		{"/a?", Target{Path: "/a", Segments: []string{"a"}}},
	}
	for _, test := range tests {
		got, err := ParseTarget(test.raw)
		if err != nil {
			t.Errorf("ParseTarget(%q): %v", test.raw, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ParseTarget(%q) (-want +got):\n%s", test.raw, diff)
		}
	}
}

func TestAmbiguousTargetsAreRefused(t *testing.T) {
	tests := []struct {
		name, raw string
		want      Reason
	}{
		{"empty", "", PathNotCanonical},
		{"asterisk form", "*", PathNotCanonical},
		{"absolute form", "http://h/a", PathNotCanonical},
		{"authority form", "h:443", PathNotCanonical},
		{"query without a path", "?x=1", PathNotCanonical},
		{"single dot", "/a/./b", PathNotCanonical},
		{"double dot", "/a/../b", PathNotCanonical},
		{"trailing double dot", "/a/..", PathNotCanonical},
		{"encoded dots", "/a/%2e%2E/b", PathNotCanonical},
		{"one encoded dot", "/a/.%2e/b", PathNotCanonical},
		{"double slash", "//a", PathNotCanonical},
		{"double slash inside", "/a//b", PathNotCanonical},
		{"double slash at the end", "/a//", PathNotCanonical},
		{"encoded slash", "/a%2Fb", PathNotCanonical},
		{"encoded slash in lower case", "/a%2fb", PathNotCanonical},
		{"backslash", `/a\b`, PathNotCanonical},
		{"encoded backslash", "/a%5Cb", PathNotCanonical},
		{"semicolon", "/a;x/b", PathNotCanonical},
		{"encoded semicolon", "/a%3bx", PathNotCanonical},
		{"fragment", "/a#b", PathNotCanonical},
		{"fragment in the query", "/a?x#b", PathNotCanonical},
		{"encoded hash", "/a%23b", PathNotCanonical},
		{"encoded question mark", "/a%3Fx=1", PathNotCanonical},
		{"NUL", "/a\x00b", PathNotCanonical},
		{"encoded NUL", "/a%00b", PathNotCanonical},
		{"encoded line feed", "/a%0Ab", PathNotCanonical},
		{"encoded delete", "/a%7F", PathNotCanonical},
		{"encoded percent", "/a%252Fb", PathNotCanonical},
		{"bad percent-encoding", "/a%zz", PathNotCanonical},
		{"short percent-encoding", "/a%2", PathNotCanonical},
		{"invalid UTF-8", "/a\xffb", PathNotCanonical},
		{"encoded invalid UTF-8", "/a%ff%fe", PathNotCanonical},
		{"overlong UTF-8 slash", "/a%c0%afb", PathNotCanonical},
		{"semicolon in the query", "/a?x=1;y=2", QueryMalformed},
		{"bad percent-encoding in the query", "/a?x=%zz", QueryMalformed},
		{"invalid UTF-8 in the query", "/a?x=%ff", QueryMalformed},
		{"invalid UTF-8 in a query's name", "/a?%ff=1", QueryMalformed},
		{"too long", "/" + strings.Repeat("a", maxTarget), RequestTooLarge},
		{"too many segments", strings.Repeat("/a", maxSegments+1), RequestTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := ParseTarget(test.raw); !errors.Is(err, test.want) {
				t.Errorf("ParseTarget(%q) = %+v, %v; want %v", test.raw, got, err, test.want)
			}
		})
	}
}

// FuzzParseTarget holds that what is accepted has one meaning: no decoded segment
// holds what could be read as another path, and every error has its Reason.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a/b?x=1", "/a%2fb", "/%", "/a;b", "//", "/é", "/%c3%a9", "/a%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := ParseTarget(raw)
		if err != nil {
			if ReasonOf(err) == Internal {
				t.Fatalf("ParseTarget(%q): %v has no reason", raw, err)
			}
			return
		}
		for i, segment := range target.Segments {
			if segment == "." || segment == ".." || strings.ContainsAny(segment, "/\\;#?%\x00") {
				t.Fatalf("ParseTarget(%q) accepts segment %q", raw, segment)
			}
			if segment == "" && i < len(target.Segments)-1 {
				t.Fatalf("ParseTarget(%q) accepts an empty segment", raw)
			}
		}
	})
}
