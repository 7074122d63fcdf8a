package authz

import (
	"fmt"
	"slices"
)

// Detail is one element of a token's authorization_details (RFC 9396 §2). What it allows
// it allows as a whole: its members are never read together with those of another, and
// what elements allow adds up. Texts are compared as they stand (§12).
type Detail struct {
	// Type says what the element is about, and what its members mean; it is never "".
	Type string
	// Locations are the resource servers that it holds for, nil where it does not say;
	// an empty list is for none.
	Locations []string
	// Actions, DataTypes and Privileges are nil where it does not say.
	Actions, DataTypes, Privileges []string
	// Identifier names one resource, or is "".
	Identifier string
	// Object is the element whole, numbers as json.Number. It must not be written to.
	Object map[string]any
}

// DetailRule is what a contract asks of one element of a token's authorization details,
// that it must say by itself: the type, and all of each list.
type DetailRule struct {
	Type                           string
	Actions, DataTypes, Privileges []string
}

// detailed holds what the token authorizes in detail against what the contract asks for:
// one of its rules must be met by one element. A claim that cannot be read is refused
// whatever is asked for: what it was to narrow is not known.
func detailed(f *Facts) error {
	operation, token := f.Match.Operation, f.Token
	switch {
	case token != nil && token.DetailsDoubt != "":
		return fmt.Errorf("authorization details: %w: %s", AuthorizationDetails, token.DetailsDoubt)
	case len(operation.Details) == 0:
		return nil
	case token != nil && slices.ContainsFunc(operation.Details, func(r DetailRule) bool { return r.metBy(token.Details, operation.Audiences) }):
		return nil
	}
	return fmt.Errorf("authorization details: %w: no element has all that is asked for", AuthorizationDetails)
}

func (r DetailRule) metBy(details []Detail, audiences []string) bool {
	return slices.ContainsFunc(details, func(d Detail) bool {
		return d.Type == r.Type && d.holdsAt(audiences) &&
			holdsAll(d.Actions, r.Actions) && holdsAll(d.DataTypes, r.DataTypes) && holdsAll(d.Privileges, r.Privileges)
	})
}

// holdsAt reports an element that is for an API of these names, or does not say for which.
func (d Detail) holdsAt(audiences []string) bool {
	return d.Locations == nil || slices.ContainsFunc(d.Locations, func(l string) bool { return slices.Contains(audiences, l) })
}
