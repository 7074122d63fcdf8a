package authz

import (
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

// FuzzParseTarget holds that what is accepted has one meaning: no decoded segment
// holds what could be read as another path, and every error has its Reason.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a/b?x=1", "/a%2fb", "/%", "/a;b", "//", "/é", "/%c3%a9", "/a%", "/a b", "/a?x=\ty"} {
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
		if strings.ContainsAny(raw, " #\x00\t\r\n\x7f") {
			t.Fatalf("ParseTarget(%q) accepts what no target holds", raw)
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
