// Package targettest is the table of request targets that an upstream could read
// otherwise than we do, or that ask for too much work.
//
// It is for tests of everything that a target passes on its way: each must refuse
// them, or hand on a target that has one meaning.
package targettest

import (
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Target is a request target that authz.ParseTarget refuses for the reason Want.
type Target struct {
	Name, Raw string
	Want      authz.Reason
}

// Ambiguous are all of them. Where one of their readings is a path of the demo bank's,
// it is one that exists: whoever settles the target in place of refusing it finds an
// operation.
func Ambiguous() []Target {
	return slices.Concat(
		refused(authz.PathNotCanonical, forms),
		refused(authz.PathNotCanonical, dots),
		refused(authz.PathNotCanonical, slashes),
		refused(authz.PathNotCanonical, reserved),
		refused(authz.PathNotCanonical, bytes),
		refused(authz.PathNotCanonical, encodings),
		refused(authz.QueryMalformed, queries),
		refused(authz.RequestTooLarge, large),
	)
}

func refused(want authz.Reason, named [][2]string) []Target {
	targets := make([]Target, len(named))
	for i, target := range named {
		targets[i] = Target{Name: target[0], Raw: target[1], Want: want}
	}
	return targets
}

// forms are other than RFC 9112 §3.2.1's, which is the only one of a request to an
// origin.
var forms = [][2]string{
	{"empty", ""},
	{"asterisk form", "*"},
	{"absolute form", "http://localhost/accounts/22289"},
	{"absolute form of another scheme and host", "https://other.example/accounts/22289"},
	{"absolute form without a path", "http://localhost"},
	{"authority form", "localhost:443"},
	{"relative", "accounts/22289"},
	{"query without a path", "?AccountId=22289"},
	{"fragment", "/accounts/22289#31820"},
	{"fragment with a path", "/accounts/22289#/../31820"},
	{"fragment in the query", "/transactions?AccountId=22289#31820"},
}

var dots = [][2]string{
	{"single dot", "/accounts/./22289"},
	{"trailing single dot", "/accounts/22289/."},
	{"double dot", "/accounts/31820/../22289"},
	{"trailing double dot", "/accounts/22289/balances/.."},
	{"double dot above the root", "/../accounts/22289"},
	{"nothing but a dot", "/."},
	{"nothing but two dots", "/.."},
	{"encoded dot", "/accounts/%2e/22289"},
	{"encoded dots in lower case", "/accounts/31820/%2e%2e/22289"},
	{"encoded dots in upper case", "/accounts/31820/%2E%2E/22289"},
	{"encoded dots in both cases", "/accounts/31820/%2e%2E/22289"},
	{"first dot encoded", "/accounts/31820/%2e./22289"},
	{"second dot encoded", "/accounts/31820/.%2E/22289"},
	{"trailing encoded dots", "/accounts/22289/balances/%2e%2e"},
	{"encoded dot in a name", "/accounts/22289%2Ejson"},
	{"double dot before a parameter", "/accounts/31820/..;/22289"},
	{"dots encoded twice", "/accounts/31820/%252e%252e/22289"},
	{"dots whose encoding is encoded", "/accounts/31820/%%32%65%%32%65/22289"},
	{"overlong dots", "/accounts/31820/%c0%ae%c0%ae/22289"},
}

var slashes = [][2]string{
	{"double slash", "//accounts/22289"},
	{"double slash inside", "/accounts//22289"},
	{"double slash at the end", "/accounts/22289//"},
	{"triple slash", "/accounts///22289"},
	{"nothing but slashes", "//"},
	{"absolute form in the path", "/http://localhost/accounts/22289"},
	{"encoded slash in upper case", "/accounts%2F22289"},
	{"encoded slash in lower case", "/accounts%2f22289"},
	{"encoded slash at the end", "/accounts/22289%2F"},
	{"encoded slash and dots", "/accounts/31820%2f..%2f22289"},
	{"slash encoded twice", "/accounts%252F22289"},
	{"overlong slash", "/accounts%c0%af22289"},
	{"overlong slash in upper case", "/accounts%C0%AF22289"},
	{"overlong slash of three bytes", "/accounts%e0%80%af22289"},
	{"backslash", `/accounts\22289`},
	{"backslashes and dots", `/accounts/31820\..\22289`},
	{"encoded backslash in upper case", "/accounts%5C22289"},
	{"encoded backslash in lower case", "/accounts%5c22289"},
	{"overlong backslash", "/accounts%c1%9c22289"},
}

var reserved = [][2]string{
	{"semicolon", "/accounts/22289;x=31820"},
	{"semicolon at the end", "/accounts/22289;"},
	{"semicolon before a slash", "/accounts;x/22289"},
	{"encoded semicolon in upper case", "/accounts/22289%3Bx"},
	{"encoded semicolon in lower case", "/accounts/22289%3bx"},
	{"encoded hash", "/accounts/22289%23b"},
	{"encoded question mark in upper case", "/transactions%3FAccountId=22289"},
	{"encoded question mark in lower case", "/transactions%3fAccountId=22289"},
	{"encoded percent", "/accounts/22289%25"},
}

// bytes are what no part of a URI may hold (RFC 3986 §2), as it is or encoded.
var bytes = [][2]string{
	{"NUL", "/accounts/22289\x00b"},
	{"tab", "/accounts/22289\tb"},
	{"line feed", "/accounts/22289\nb"},
	{"carriage return", "/accounts/22289\rb"},
	{"delete", "/accounts/22289\x7f"},
	{"space", "/accounts/22289 b"},
	{"space at the end", "/accounts/22289 "},
	{"space and a version", "/accounts/22289 HTTP/1.1"},
	{"space in the query", "/transactions?AccountId=22289 b"},
	{"tab in the query", "/transactions?AccountId=22289\tb"},
	{"NUL in the query", "/transactions?AccountId=22289\x00"},
	{"line feed in the query", "/transactions?AccountId=22289\nb"},
	{"invalid UTF-8", "/accounts/22289\xff"},
	{"overlong slash, not encoded", "/accounts\xc0\xaf22289"},
	{"encoded NUL", "/accounts/22289%00"},
	{"encoded NUL before an ending", "/accounts/22289%00.json"},
	{"encoded line feed", "/accounts/22289%0Ab"},
	{"encoded line break", "/accounts/22289%0d%0ab"},
	{"encoded tab", "/accounts/22289%09"},
	{"encoded delete", "/accounts/22289%7F"},
}

var encodings = [][2]string{
	{"encoding of no digits", "/accounts/22289%zz"},
	{"encoding of one digit", "/accounts/22289%2"},
	{"encoding of none", "/accounts/22289%"},
	{"encoding of four digits", "/accounts/31820/%u002e%u002e/22289"},
	{"encoded invalid UTF-8", "/accounts/22289%ff%fe"},
	{"encoded half of a character", "/accounts/22289%c3"},
	{"encoded surrogate", "/accounts/22289%ed%a0%80"},
}

var queries = [][2]string{
	{"semicolon in the query", "/transactions?AccountId=22289;AccountId=31820"},
	{"encoding of no digits in the query", "/transactions?AccountId=%zz"},
	{"encoded invalid UTF-8 in the query", "/transactions?AccountId=%ff"},
	{"encoded invalid UTF-8 in a query's name", "/transactions?%ff=22289"},
	{"invalid UTF-8 in the query", "/transactions?AccountId=22289\xff"},
}

var large = [][2]string{
	{"too long", "/accounts/" + strings.Repeat("2", 8192)},
	{"too long a query", "/transactions?AccountId=" + strings.Repeat("2", 8192)},
	{"too many segments", strings.Repeat("/a", 65)},
}
