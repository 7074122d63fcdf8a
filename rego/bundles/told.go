package bundles

import (
	"regexp"
	"strings"
	"unicode"
)

// maxTold bounds what is told of a download that failed, in bytes: a server, or who is on
// the way to it, can write some of it.
const maxTold = 2048

// queries are what follows a URL's path, which can be a secret: those of a store that a
// server redirects to are signed for whoever has them.
var queries = regexp.MustCompile(`(\w+://[^\s"?#]*)[?#][^\s"]*`)

// told is an error of a download, in one line that holds no secret.
type told struct {
	error
	text string
}

func toTell(err error) error {
	text := queries.ReplaceAllString(err.Error(), "$1?…")
	return told{err, line(strings.Join(strings.Fields(text), " "), maxTold)}
}

func (t told) Error() string { return t.text }

func (t told) Unwrap() error { return t.error }

// line leaves of a text what is one line, and at most so many bytes.
func line(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
