package rego

import (
	"encoding/base64"
	"math/big"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

var (
	keyOperation  = ast.StringTerm("operation")
	keyParameters = ast.StringTerm("parameters")
)

// sections are the input document but for the operation: the facts, and the keys
// of opa-envoy-plugin. Times and durations are nanoseconds, instants since 1970.
func sections() []section {
	return append(peerSections(),
		section{key: ast.StringTerm("request"), fields: requestFields()},
		section{key: ast.StringTerm("caller"), fields: callerFields()},
		section{
			key:    ast.StringTerm("token"),
			known:  func(f *known) bool { return f.Token != nil },
			fields: tokenFields(),
		},
		section{
			key:    ast.StringTerm("certificate"),
			known:  func(f *known) bool { return f.Certificate != nil },
			fields: certificateFields(),
		},
		section{key: ast.StringTerm("objects"), shape: listOf(isNamed), value: objects},
		section{
			key:    ast.StringTerm("consent"),
			known:  func(f *known) bool { return f.Consent != nil },
			fields: consentFields(),
		},
		section{key: ast.StringTerm("region"), fields: regionFields()},
		section{key: ast.StringTerm("environment"), shape: isText, value: func(f *known) *ast.Term { return text(f.Environment) }},
	)
}

func fact(key string, is shape, value func(f *known) *ast.Term) field[*known] {
	return field[*known]{key: ast.StringTerm(key), shape: is, value: value}
}

func requestFields() []field[*known] {
	return []field[*known]{
		fact("method", isText, func(f *known) *ast.Term { return text(f.Request.Method) }),
		fact("path", isText, func(f *known) *ast.Term { return text(f.Target.Path) }),
		fact("host", isText, func(f *known) *ast.Term { return text(f.Request.Host) }),
		fact("address", isText, func(f *known) *ast.Term { return text(f.Request.Address) }),
		fact("time", isInstant, func(f *known) *ast.Term { return instant(f.Time) }),
	}
}

func callerFields() []field[*known] {
	return []field[*known]{
		fact("kind", isText, func(f *known) *ast.Term { return text(f.caller.Kind.String()) }),
		fact("issuer", isText, func(f *known) *ast.Term { return text(f.caller.Issuer) }),
		fact("subject", isText, func(f *known) *ast.Term { return text(f.caller.Subject) }),
		fact("client", isText, func(f *known) *ast.Term { return text(f.caller.Client) }),
		fact("tenant", isText, func(f *known) *ast.Term { return text(f.caller.Tenant) }),
		fact("roles", isTexts, func(f *known) *ast.Term { return list(f.caller.Roles) }),
		fact("scopes", isTexts, func(f *known) *ast.Term { return list(f.caller.Scopes) }),
		fact("actor", isText, func(f *known) *ast.Term { return text(f.caller.Actor) }),
	}
}

func tokenFields() []field[*known] {
	return []field[*known]{
		fact("issuer", isText, func(f *known) *ast.Term { return text(f.Token.Issuer) }),
		fact("claims", isOpen, claims),
		fact("issued_at", isInstant, func(f *known) *ast.Term { return instant(f.Token.IssuedAt) }),
		fact("expires_at", isInstant, func(f *known) *ast.Term { return instant(f.Token.ExpiresAt) }),
		fact("lifetime", isDuration, lifetime),
		fact("acr", isText, func(f *known) *ast.Term { return text(f.Token.ACR) }),
		fact("amr", isTexts, func(f *known) *ast.Term { return list(f.Token.AMR) }),
		fact("auth_time", isInstant, func(f *known) *ast.Term { return instant(f.Token.AuthTime) }),
		// No binding is a fact, too: the list is there, and empty.
		fact("binding", isTexts, func(f *known) *ast.Term { return array(f.Token.Bindings, text) }),
		field[*known]{key: keyDetails, shape: listOf(isOpen), value: details},
		fact("environment", isText, func(f *known) *ast.Term { return text(f.Token.Environment) }),
	}
}

var keyDetails = ast.StringTerm("authorization_details")

// details are the elements whole: what their members mean is for whoever knows the types.
func details(f *known) *ast.Term {
	if f.Token.Details == nil {
		return nil
	}
	// What is prepared may be less than all claims.
	if prepared, ok := f.Token.Prepared.(ast.Object); ok && prepared.Get(keyDetails) != nil {
		return prepared.Get(keyDetails)
	}
	elements := make([]any, len(f.Token.Details))
	for i, detail := range f.Token.Details {
		elements[i] = detail.Object
	}
	return f.foreign(elements)
}

func claims(f *known) *ast.Term {
	if prepared, ok := f.Token.Prepared.(ast.Value); ok {
		return ast.NewTerm(prepared)
	}
	if f.Token.Claims == nil {
		return nil
	}
	return f.foreign(f.Token.Claims)
}

func lifetime(f *known) *ast.Term {
	if f.Token.IssuedAt.IsZero() || f.Token.ExpiresAt.IsZero() {
		return nil
	}
	return nanoseconds(int64(f.Token.ExpiresAt.Sub(f.Token.IssuedAt)))
}

func certificateFields() []field[*known] {
	return []field[*known]{
		fact("thumbprint", isText, func(f *known) *ast.Term {
			return text(base64.RawURLEncoding.EncodeToString(f.Certificate.Thumbprint[:]))
		}),
		said("subject", isText, func(i *authz.Identity) *ast.Term { return text(i.Subject) }),
		said("uris", isTexts, func(i *authz.Identity) *ast.Term { return list(i.URIs) }),
		said("dns", isTexts, func(i *authz.Identity) *ast.Term { return list(i.DNS) }),
		said("spiffe", isText, func(i *authz.Identity) *ast.Term { return text(i.SPIFFE) }),
		said("country", isText, func(i *authz.Identity) *ast.Term { return text(i.Country) }),
		said("not_before", isInstant, func(i *authz.Identity) *ast.Term { return instant(i.NotBefore) }),
		said("not_after", isInstant, func(i *authz.Identity) *ast.Term { return instant(i.NotAfter) }),
		said("qualified", isBoolean, func(i *authz.Identity) *ast.Term { return ast.InternedTerm(i.Qualified) }),
		said("psd2", isPSD2, psd2),
	}
}

// said is a fact that a certificate says of its holder, absent where it cannot say so.
func said(key string, is shape, value func(i *authz.Identity) *ast.Term) field[*known] {
	return fact(key, is, func(f *known) *ast.Term {
		identity := f.Identity()
		if identity == nil {
			return nil
		}
		return value(identity)
	})
}

var psd2Keys = struct{ roles, authority, id *ast.Term }{
	ast.StringTerm("roles"), ast.StringTerm("authority"), ast.StringTerm("id"),
}

func psd2(i *authz.Identity) *ast.Term {
	if i.PSD2 == nil {
		return nil
	}
	pairs := []pair{{psd2Keys.roles, texts(i.PSD2.Roles)}}
	pairs = appendKnown(pairs, psd2Keys.authority, text(i.PSD2.Authority))
	pairs = appendKnown(pairs, psd2Keys.id, text(i.PSD2.ID))
	return ast.ObjectTerm(pairs...)
}

var objectKeys = struct{ kind, id, where, owned, relation, region *ast.Term }{
	ast.StringTerm("type"), ast.StringTerm("id"), ast.StringTerm("where"),
	ast.StringTerm("owned"), ast.StringTerm("relation"), ast.StringTerm("region"),
}

// objects are those that the request names, in that order; an empty list where it
// names none.
func objects(f *known) *ast.Term {
	return array(f.Inspection.Objects, func(named authz.Named) *ast.Term {
		ownership, owned := f.Owned[named.Object]
		pairs := make([]pair, 0, 6)
		pairs = append(pairs,
			pair{objectKeys.kind, ast.StringTerm(string(named.Type))},
			pair{objectKeys.id, ast.StringTerm(string(named.ID))},
			pair{objectKeys.owned, ast.InternedTerm(owned)})
		pairs = appendKnown(pairs, objectKeys.where, text(named.Where))
		pairs = appendKnown(pairs, objectKeys.relation, text(ownership.Relation))
		pairs = appendKnown(pairs, objectKeys.region, text(ownership.Region))
		return ast.ObjectTerm(pairs...)
	})
}

func appendKnown(pairs []pair, key, value *ast.Term) []pair {
	if value == nil {
		return pairs
	}
	return append(pairs, pair{key, value})
}

func consentFields() []field[*known] {
	return []field[*known]{
		fact("id", isText, func(f *known) *ast.Term { return text(f.Consent.ID) }),
		fact("status", isText, func(f *known) *ast.Term { return text(f.Consent.Status) }),
		fact("client", isText, func(f *known) *ast.Term { return text(f.Consent.Client) }),
		fact("subject", isText, func(f *known) *ast.Term { return text(f.Consent.Subject) }),
		fact("permissions", isTexts, func(f *known) *ast.Term { return list(f.Consent.Permissions) }),
		fact("objects", listOf(isConsented), func(f *known) *ast.Term { return array(f.Consent.Objects, consented) }),
		fact("expires_at", isInstant, func(f *known) *ast.Term { return instant(f.Consent.ExpiresAt) }),
		fact("open_ended", isBoolean, func(f *known) *ast.Term { return ast.InternedTerm(f.Consent.OpenEnded) }),
	}
}

func consented(object authz.Object) *ast.Term {
	return ast.ObjectTerm(
		pair{objectKeys.kind, ast.StringTerm(string(object.Type))},
		pair{objectKeys.id, ast.StringTerm(string(object.ID))})
}

func regionFields() []field[*known] {
	return []field[*known]{
		fact("service", isText, func(f *known) *ast.Term { return text(f.Region.Service) }),
		fact("caller", isText, func(f *known) *ast.Term { return text(f.Region.Caller) }),
		fact("objects", isTexts, objectRegions),
	}
}

// objectRegions are the regions of the objects named, each once, as far as they
// are known.
func objectRegions(f *known) *ast.Term {
	var regions []string
	seen := map[string]bool{"": true}
	for _, named := range f.Inspection.Objects {
		region := f.Owned[named.Object].Region
		if !seen[region] {
			seen[region] = true
			regions = append(regions, region)
		}
	}
	return list(regions)
}

// foreign converts a value that came from elsewhere as JSON does; numbers keep
// their digits.
func (f *known) foreign(value any) *ast.Term {
	converted, err := ast.InterfaceToValue(value)
	if err != nil {
		if f.err == nil {
			f.err = errNotJSON
		}
		return nil
	}
	return ast.NewTerm(converted)
}

// text is nil for "".
func text[S ~string](s S) *ast.Term {
	if s == "" {
		return nil
	}
	return ast.StringTerm(string(s))
}

// list is nil for nil.
func list[S ~string](items []S) *ast.Term {
	if items == nil {
		return nil
	}
	return array(items, func(item S) *ast.Term { return ast.StringTerm(string(item)) })
}

func array[T any](items []T, term func(T) *ast.Term) *ast.Term {
	terms := make([]*ast.Term, len(items))
	for i, item := range items {
		terms[i] = term(item)
	}
	return ast.ArrayTerm(terms...)
}

// instant is nil for the zero time. A consent may be given until the year 9999,
// whose nanoseconds no int64 holds.
func instant(at time.Time) *ast.Term {
	if at.IsZero() {
		return nil
	}
	if year := at.Year(); year > 1700 && year < 2200 {
		return nanoseconds(at.UnixNano())
	}
	ns := new(big.Int).Mul(big.NewInt(at.Unix()), big.NewInt(int64(time.Second)))
	ns.Add(ns, big.NewInt(int64(at.Nanosecond())))
	return ast.NewTerm(ast.Number(ns.String()))
}

func nanoseconds(n int64) *ast.Term {
	return ast.NewTerm(ast.Number(strconv.FormatInt(n, 10)))
}
