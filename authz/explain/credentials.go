package explain

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

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
)

// credentials take those of a request out of texts. The zero value takes none.
type credentials struct{ replacer *strings.Replacer }

// credentialsOf finds the credentials of a request: each by itself, and its parts, since
// a policy that decodes a token may repeat its signature alone.
func credentialsOf(request *authz.Request) credentials {
	var found []string
	for _, field := range request.Headers {
		if authz.IsCredential(field.Name) {
			found = append(found, parts(field.Value)...)
		}
	}
	if _, query, there := strings.Cut(request.Target, "?"); there {
		values, _ := url.ParseQuery(query) // what cannot be decoded is not told either
		for _, token := range values["access_token"] {
			found = append(found, parts(token)...)
		}
	}
	found = slices.DeleteFunc(found, func(s string) bool { return len(s) < shortest })
	// A replacer takes the first that fits: the whole goes before its parts.
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, credential := range found {
		pairs = append(pairs, credential, mark)
	}
	return credentials{replacer: strings.NewReplacer(pairs...)}
}

// parts are the credentials of a header's value, what they are made of, and the last
// part of each as OPA's io.jwt.decode has it.
func parts(credential string) []string {
	found := strings.FieldsFunc(credential, func(c rune) bool { return strings.ContainsRune(" \t,;=\"", c) })
	for _, part := range slices.Clone(found) {
		segments := strings.Split(part, ".")
		found = append(found, segments...)
		if signature, err := base64.RawURLEncoding.DecodeString(segments[len(segments)-1]); err == nil {
			found = append(found, hex.EncodeToString(signature))
		}
	}
	return found
}

func (c credentials) hide(text string) string {
	if c.replacer == nil {
		return text
	}
	return c.replacer.Replace(text)
}
