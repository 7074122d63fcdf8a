package dpop

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// TestNormalURL has the equivalences of RFC 3986 §6.2.2 and §6.2.3, and what must not
// be taken for one.
func TestNormalURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.example":                 "https://api.example/",
		"HTTPS://API.Example:443/a":           "https://api.example/a",
		"http://api.example:80/":              "http://api.example/",
		"https://api.example:80/":             "https://api.example:80/",
		"https://api.example:/":               "https://api.example/",
		"https://api.example:8443":            "https://api.example:8443/",
		"https://api.example?a=/b#c":          "https://api.example/",
		"https://api.example#?":               "https://api.example/",
		"https://api.example/%7eann/%2f%c3":   "https://api.example/~ann/%2F%C3",
		"https://api.example/a/./b/../c":      "https://api.example/a/c",
		"https://api.example/a/%2e%2E/b":      "https://api.example/b",
		"https://api.example/../..":           "https://api.example/",
		"https://api.example/a/..":            "https://api.example/",
		"https://api.example/a/.":             "https://api.example/a/",
		"https://api.example/a//b/":           "https://api.example/a//b/",
		"https://api.example/A;b=c@d:e":       "https://api.example/A;b=c@d:e",
		"https://[2001:DB8:0:0::1]:443/":      "https://[2001:db8::1]/",
		"https://[::1]:8443/":                 "https://[::1]:8443/",
		"https://xn--bcher-kva.example/":      "https://xn--bcher-kva.example/",
		"":                                    "",
		"/a":                                  "",
		"//api.example/a":                     "",
		"https:api.example":                   "",
		"https:///a":                          "",
		"ftp://api.example/":                  "",
		"javascript://api.example/":           "",
		"https://user@api.example/":           "",
		"https://user:pass@api.example/":      "",
		"https://api.example\\@evil.example/": "",
		"https://api.example:x/":              "",
		"https://api.example:0443/":           "",
		"https://api.example:443443/":         "",
		"https://[::1/":                       "",
		"https://[::1]x/":                     "",
		"https://[fe80::1%25eth0]/":           "",
		"https://[127.0.0.1]/":                "",
		"https://api%2eexample/":              "",
		"https://bücher.example/":             "",
		"https://api.example/ü":               "",
		"https://api.example/%":               "",
		"https://api.example/%4":              "",
		"https://api.example/%zz":             "",
		"https://api.example/a b":             "",
		"https://api.example/a\\b":            "",
		"https://api.example/a\r\nb":          "",
	} {
		got, ok := normalURL(text)
		if ok != (want != "") || ok && got != want {
			t.Errorf("normalURL(%q) = %q, %v, want %q", text, got, ok, want)
		}
	}
}

// FuzzNormalURL proves that a normal form is its own, and names nobody.
func FuzzNormalURL(f *testing.F) {
	for _, seed := range []string{"", "https://api.example/a/../%2f?x#y", "HTTP://[::1]:80", "https://a@b/", "https://a/%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal, ok := normalURL(text)
		if !ok {
			return
		}
		if again, ok := normalURL(normal); !ok || again != normal {
			t.Errorf("normalURL(%q) = %q, and of that %q, %v", text, normal, again, ok)
		}
		authority, _, _ := strings.Cut(strings.SplitN(normal, "://", 2)[1], "/")
		if strings.ContainsAny(authority, "@\\?# ") {
			t.Errorf("normalURL(%q) = %q", text, normal)
		}
	})
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"no fault", Config{Origins: []string{"https://api.example", "https://api.example:8443/", "http://localhost:8080", "http://[::1]:80"}}, nil},
		{"the zero Config is refused", Config{}, []string{"origins"}},
		{"origins that are none", Config{Origins: []string{"api.example", "https://api.example/v1", "https://api.example/?x", "http://api.example", "", "https://a@api.example"}},
			[]string{"origins[0]", "origins[1]", "origins[2]", "origins[3]", "origins[4]", "origins[5]"}},
		{"algorithms that are none", Config{Origins: []string{"https://a"}, Algorithms: []string{"RS256", "none", "HS256", "Ed25519"}},
			[]string{"algorithms[1]", "algorithms[2]", "algorithms[3]"}},
		{"an age out of range", Config{Origins: []string{"https://a"}, MaxAge: 5*time.Minute + 1}, []string{"max_age"}},
		{"a negative age", Config{Origins: []string{"https://a"}, MaxAge: -1}, []string{"max_age"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var problems authz.Problems
			errors.As(test.cfg.Check(), &problems)
			var keys []string
			for _, problem := range problems {
				keys = append(keys, problem.Key)
			}
			if diff := cmp.Diff(test.want, keys); diff != "" {
				t.Errorf("Check() (-want +got):\n%s", diff)
			}
		})
	}
}
