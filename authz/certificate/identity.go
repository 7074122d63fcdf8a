package certificate

import (
	"crypto/x509"
	"regexp"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// identify is what a certificate says of its holder.
func identify(parsed *x509.Certificate) *authz.Identity {
	identity := &authz.Identity{
		Subject:   parsed.Subject.String(),
		DNS:       parsed.DNSNames,
		NotBefore: parsed.NotBefore,
		NotAfter:  parsed.NotAfter,
	}
	for _, uri := range parsed.URIs {
		identity.URIs = append(identity.URIs, uri.String())
	}
	if len(parsed.Subject.Country) > 0 {
		identity.Country = parsed.Subject.Country[0]
	}
	identity.SPIFFE = spiffeID(identity.URIs)
	qualify(identity, parsed)
	return identity
}

// maxSPIFFE bounds a SPIFFE ID (SPIFFE-ID §2.3).
const maxSPIFFE = 2048

// spiffePattern is a trust domain, and segments of a path (SPIFFE-ID §2.1, §2.2).
var spiffePattern = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/[a-zA-Z0-9._-]+)*$`)

// spiffeID is the only URI of an X.509-SVID (X509-SVID §2), or "" where the
// certificate is none.
func spiffeID(uris []string) string {
	if len(uris) != 1 || len(uris[0]) > maxSPIFFE || !spiffePattern.MatchString(uris[0]) {
		return ""
	}
	for segment := range strings.SplitSeq(uris[0], "/") {
		if segment == "." || segment == ".." {
			return ""
		}
	}
	return uris[0]
}
