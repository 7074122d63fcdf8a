package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// profile is what the tokens of an issuer must be, by the standard that the issuer
// keeps to. An issuer's own settings may ask for more, and never for less.
type profile struct {
	name string
	// standard is where it comes from.
	standard string
	// algorithms are those that may be configured, usual those that are taken where none
	// is.
	algorithms, usual []string
	// types are the values of typ that may be configured; nil leaves them to the issuer.
	types []string
	// bindings are those of which a token must have one; nil asks for none.
	bindings []authz.Binding
	// lenient lets leniencies be named.
	lenient bool
}

// profiles are all there are.
var profiles = []profile{
	{
		name: "oauth", standard: "RFC 9068, RFC 8725",
		algorithms: jose.Algorithms, usual: jose.DefaultAlgorithms,
		lenient: true,
	}, {
		// It predates RFC 9068, and says nothing of typ and scope.
		name: "fapi1-advanced", standard: "FAPI 1.0 Advanced §6.2.1, §8.2, §8.6",
		algorithms: []string{"PS256", "ES256"}, usual: []string{"PS256", "ES256"},
		bindings: []authz.Binding{authz.MTLS},
		lenient:  true,
	}, {
		name: "fapi2", standard: "FAPI 2.0 Security Profile §5.3.4, §5.4.1",
		algorithms: jose.DefaultAlgorithms, usual: jose.DefaultAlgorithms,
		types:    []string{usualType},
		bindings: []authz.Binding{authz.MTLS, authz.DPoP},
	},
}

// usualType marks access tokens (RFC 9068 §2.1).
const usualType = "at+jwt"

// The leniencies towards issuers that predate RFC 9068, by name. Each is a rule of the
// profile less, so each must be asked for.
const (
	// untyped takes tokens without typ: then nothing but their claims tells them from
	// the issuer's other JWTs (RFC 8725 §3.12).
	untyped = "untyped"
	// scopeArray reads the scopes from an array scp where there is no scope.
	scopeArray = "scp"
)

// leniencies are what each takes, in words.
var leniencies = map[string]string{
	untyped:    "tokens without typ, which may be other JWTs than access tokens",
	scopeArray: "scopes from an array scp where there is no scope",
}

func profileNamed(name string) (profile, bool) {
	at := slices.IndexFunc(profiles, func(p profile) bool { return p.name == name })
	if at < 0 {
		return profile{}, false
	}
	return profiles[at], true
}

// Leniencies are what an issuer's settings take that RFC 9068 does not, each in words for
// an operator; most issuers have none.
func (i Issuer) Leniencies() []string {
	var taken []string
	for _, name := range i.Legacy {
		taken = append(taken, leniencies[name])
	}
	for _, kind := range i.Types {
		if !strings.EqualFold(kind, usualType) {
			taken = append(taken, "tokens of type "+kind+", which other JWTs of the issuer may have too")
		}
	}
	return taken
}

// profileProblems holds an issuer's settings against its profile.
func (i Issuer) profileProblems() authz.Problems {
	var problems authz.Problems
	p, known := profileNamed(i.Profile)
	switch {
	case i.Profile == "":
		problems.Add("profile", "is not said", "use oauth, fapi1-advanced or fapi2")
	case !known:
		problems.Add("profile", fmt.Sprintf("%q is no profile", i.Profile), "use oauth, fapi1-advanced or fapi2")
	default:
		p.judge(i, &problems)
	}
	for n, name := range i.Legacy {
		if _, known := leniencies[name]; !known {
			problems.Add(fmt.Sprintf("legacy[%d]", n), fmt.Sprintf("%q is no leniency", name), authz.Suggest(name, []string{untyped, scopeArray}))
		}
	}
	return problems
}

// judge finds what would widen the profile.
func (p profile) judge(i Issuer, problems *authz.Problems) {
	wider := func(key, setting, fix string) {
		problems.Add(key, fmt.Sprintf("%s widens profile %s, which can only be tightened", setting, p.name), fix)
	}
	for n, algorithm := range i.Algorithms {
		if slices.Contains(jose.Algorithms, algorithm) && !slices.Contains(p.algorithms, algorithm) {
			wider(fmt.Sprintf("algorithms[%d]", n), fmt.Sprintf("%q", algorithm), "use "+strings.Join(p.algorithms, ", "))
		}
	}
	for n, kind := range i.Types {
		if p.types != nil && !slices.Contains(p.types, strings.ToLower(kind)) {
			wider(fmt.Sprintf("types[%d]", n), fmt.Sprintf("%q", kind), "use "+strings.Join(p.types, ", "))
		}
	}
	if p.bindings != nil && i.SenderConstrained != nil && !*i.SenderConstrained {
		wider("sender_constrained", "false", "remove it")
	}
	if !p.lenient && len(i.Legacy) > 0 {
		wider("legacy", fmt.Sprintf("%q", i.Legacy), "remove it, or use profile oauth or fapi1-advanced")
	}
}

// takesKeys reports that a binding to a key will do, as any does where none is asked for.
func (p profile) takesKeys() bool {
	return p.bindings == nil || slices.Contains(p.bindings, authz.DPoP)
}

// CertificateBound reports that of some of its callers an API takes no token but one that
// is bound to a client certificate (RFC 8705 §3): the profile of their issuer takes no
// other binding, or the API takes no proofs of another.
func (c Config) CertificateBound(api authz.API) bool {
	taking := c.APIs[api]
	return slices.ContainsFunc(c.Issuers, func(i Issuer) bool {
		p, _ := profileNamed(i.Profile)
		asked := p.asked(i)
		return taking.takes(i) && len(asked) > 0 && (taking.DPoP == nil || !slices.Contains(asked, authz.DPoP))
	})
}

// asked are the bindings of which the issuer's tokens must have one; nil asks for none.
func (p profile) asked(i Issuer) []authz.Binding {
	if p.bindings == nil && i.SenderConstrained != nil && *i.SenderConstrained {
		return []authz.Binding{authz.MTLS, authz.DPoP}
	}
	return p.bindings
}
