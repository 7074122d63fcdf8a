// Package jwks keeps issuers' public keys: it fetches or reads a JWK Set
// (RFC 7517), keeps what can verify a signature, and refreshes it in the
// background.
//
// A check never waits for a refresh, but where it asks for a key that is not
// known. A set that cannot be refreshed stays in force until it is too old, on
// disk too; a set that was refreshed replaces the old one whole, so that a
// removed key stops verifying. Nothing in a token leads to a request but the
// rate-limited refresh of a configured issuer's set.
package jwks

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Config says where one issuer's keys are. Exactly one of File and URL is set.
type Config struct {
	// File is a JWK Set on disk; it is read again every minute.
	File string `yaml:"file"`
	// URL is an https URL, or an http URL of a loopback address. Redirects are
	// not followed.
	URL string `yaml:"url"`
	// CacheDir is a folder that only this process can write to, where the last
	// good set of a URL is kept for the next start; "" keeps none. Several
	// issuers can share it.
	CacheDir string `yaml:"cache_dir"`
	// MinRefresh is the shortest time, on average, between refreshes because of
	// unknown keys, of which a few may follow on each other at once; zero means 30 s.
	MinRefresh time.Duration `yaml:"min_refresh"`
	// MaxStale is how long a set that cannot be refreshed is used; zero means 24 h.
	MaxStale time.Duration `yaml:"max_stale"`
}

const (
	defaultMinRefresh = 30 * time.Second
	defaultMaxStale   = 24 * time.Hour

	leastMinRefresh, mostMinRefresh = time.Second, 10 * time.Minute
	leastMaxStale, mostMaxStale     = time.Minute, 30 * 24 * time.Hour
)

// Check returns all faults of the configuration as authz.Problems, with keys
// relative to it, or nil. It touches neither disk nor network.
func (c Config) Check() error {
	var problems authz.Problems
	switch {
	case c.File == "" && c.URL == "":
		problems.Add("", "says neither file nor url", "say where the issuer's keys are")
	case c.File != "" && c.URL != "":
		problems.Add("url", "stands beside file", "keep one of them")
	case c.URL != "":
		if fault := checkURL(c.URL); fault != "" {
			problems.Add("url", fault, "use the issuer's jwks_uri")
		}
	case c.CacheDir != "":
		problems.Add("cache_dir", "is of no use to a file", "remove it")
	}
	checkDuration(&problems, "min_refresh", c.MinRefresh, leastMinRefresh, mostMinRefresh)
	checkDuration(&problems, "max_stale", c.MaxStale, leastMaxStale, mostMaxStale)
	return problems.Err()
}

func checkDuration(problems *authz.Problems, key string, d, least, most time.Duration) {
	if d != 0 && (d < least || d > most) {
		problems.Add(key, fmt.Sprintf("%v is out of range", d), fmt.Sprintf("use %v to %v", least, most))
	}
}

// checkURL says what is wrong with the URL of a key set, or "".
func checkURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "is not an absolute URL"
	case u.User != nil:
		return "holds credentials"
	case u.Fragment != "":
		return "has a fragment"
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return ""
	}
	return "is not https"
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.MinRefresh == 0 {
		c.MinRefresh = defaultMinRefresh
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultMaxStale
	}
	return c
}
