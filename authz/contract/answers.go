package contract

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// wellKnown stands between host and path of a resource in the URL of its metadata (RFC
// 9728 §3.1).
const wellKnown = "/.well-known/oauth-protected-resource"

var _ authz.AnswerTerms = (*Contracts)(nil)

// Answers implements authz.AnswerTerms.
func (c *Contracts) Answers(request *authz.Request) authz.Answers {
	if api := c.api(request); api != nil {
		return api.answers
	}
	return authz.Answers{}
}

// Metadata is the URL at which clients are told of the resource, or "" where it has no
// name.
func (a API) Metadata() string {
	resource, err := url.Parse(a.Resource)
	if a.Resource == "" || err != nil {
		return ""
	}
	path := resource.EscapedPath()
	if path == "/" {
		path = ""
	}
	return resource.Scheme + "://" + resource.Host + wellKnown + path
}

// admitResource checks the name of an API as a protected resource. Two APIs of one name
// would have one place for two documents.
func (c *Contracts) admitResource(key string, api API, problems *authz.Problems) {
	if api.Resource == "" {
		return
	}
	if !isResource(api.Resource) {
		problems.Add(key, fmt.Sprintf("%q is no identifier of a protected resource", api.Resource),
			`write the URL that clients know, such as "https://api.bank.example/open-banking": https, lower-case host, canonical path, no query, no fragment`)
		return
	}
	for _, other := range c.apis {
		if other.answers.Metadata == api.Metadata() {
			problems.Add(key, fmt.Sprintf("%q is another API's, too", api.Resource), "give each API a resource of its own")
		}
	}
}

// isResource reports a URL (RFC 9728 §1.2) with no more than one spelling, which can
// stand in a challenge: clients compare it to the letter.
func isResource(resource string) bool {
	u, err := url.Parse(resource)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyz0123456789-.:[]") != "" {
		return false
	}
	if resource != "https://"+u.Host+u.EscapedPath() {
		return false
	}
	_, err = authz.ParseTarget("/" + strings.TrimPrefix(u.EscapedPath(), "/"))
	return err == nil
}
