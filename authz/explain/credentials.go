package explain

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/countersign-io/countersign/authz"
)

// IsCredential reports a header whose value is not to be shown: a carrier of
// credentials, or the caller's new cookie.
func IsCredential(name string) bool {
	name = strings.ToLower(name)
	return name == "set-cookie" || authz.IsCredential(name)
}

const (
	// shortest is how long a part of a credential is that is looked for. Shorter ones
	// stand in other words, too, and would let a client take those out of what is told.
	shortest = 12
	// mark stands where a credential stood.
	mark = "[credential]"
	// leastPassword is how long one is that is hidden within other words.
	leastPassword = 6
)

// credentials take those of a request out of texts. The zero value takes none.
type credentials struct {
	// runs are all texts of the shortest length in them: what is cut from one is found, too.
	runs map[string]bool
	// secrets are told apart by nothing but what they are: passwords.
	secrets []string
}

// credentialsOf finds the credentials of a request: each by itself, and what they are made
// of, since a policy that decodes a token may repeat its signature alone.
func credentialsOf(request *authz.Request) credentials {
	c := credentials{runs: map[string]bool{}}
	for _, field := range request.Headers {
		if authz.IsCredential(field.Name) {
			c.take(field.Value)
		}
	}
	if _, query, there := strings.Cut(request.Target, "?"); there {
		values, _ := url.ParseQuery(query) // what cannot be decoded is not told either
		for _, token := range values["access_token"] {
			c.take(token)
		}
	}
	return c
}

// take takes the credentials of a header's value, the last part of each as OPA's
// io.jwt.decode has it, and what is in a password's place.
func (c *credentials) take(value string) {
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t,;=\"", r) }) {
		c.add(part)
		segments := strings.Split(part, ".")
		if signature, err := base64.RawURLEncoding.DecodeString(segments[len(segments)-1]); err == nil {
			c.add(hex.EncodeToString(signature))
		}
		if decoded, err := base64.RawStdEncoding.DecodeString(part); err == nil && utf8.Valid(decoded) {
			if _, password, is := strings.Cut(string(decoded), ":"); is && password != "" {
				c.secrets = append(c.secrets, string(decoded), password)
			}
		}
	}
}

func (c *credentials) add(part string) {
	for i := 0; i+shortest <= len(part); i++ {
		c.runs[part[i:i+shortest]] = true
	}
}

// hide puts the mark in place of each run that is a credential's. A short password is
// hidden where it is all of a text.
func (c credentials) hide(text string) string {
	for _, secret := range c.secrets {
		if text == secret {
			return mark
		}
		if len(secret) >= leastPassword {
			text = strings.ReplaceAll(text, secret, mark)
		}
	}
	if len(c.runs) == 0 {
		return text
	}
	var shown strings.Builder
	hidden := 0 // where what is hidden ends
	for i := range len(text) {
		if i+shortest <= len(text) && c.runs[text[i:i+shortest]] {
			if hidden <= i {
				shown.WriteString(mark)
			}
			hidden = i + shortest
		}
		if hidden <= i {
			shown.WriteByte(text[i])
		}
	}
	return strings.ToValidUTF8(shown.String(), "\uFFFD") // a run may begin within a letter
}
