package authz

import (
	"net/http"
	"slices"
	"time"
)

// Operation is what an API's contract says of one method and path. It is
// immutable and shared.
type Operation struct {
	// ID is the contract's operationId, unique within the API.
	ID     string
	API    API
	Method string
	// Path is the template, such as "/accounts/{AccountId}".
	Path string
	// Audiences are the API's own names for itself, as tokens have them.
	Audiences []string

	// Security is OpenAPI's: any one requirement suffices. Empty means public.
	Security []Requirement
	// Details are alternatives, of which the token must authorize one; none asks for
	// nothing. An operation that has some takes no anonymous callers.
	Details []DetailRule

	Objects    []ObjectRule
	Consent    [][]string
	Permission string
	Grant      Grant
	Regions    []string
	StepUp     *StepUp
	Limits     []LimitRule
	// PSD2 are roles that the client's certificate must carry: of each inner list one.
	PSD2 [][]string
	// Stream turns body checks off: the request's body is not read here.
	Stream bool
	// Browsers is Answers' for callers who have authenticated.
	Browsers bool
	// RequireRevocations takes a token only where it is known as of now that it is not
	// revoked; else what is known will do, however old.
	RequireRevocations bool
	// BestEffort lets requests go on while what is used or spent cannot be told, where
	// their method is safe: see Match.BestEffort. Else they are refused.
	BestEffort bool
	// Observe are the codes of checks whose failures are told and refuse nothing, or
	// ObserveAll: see Observes.
	Observe []string
}

// Requirement is one alternative of an operation's security.
type Requirement struct {
	// Anonymous takes a request without a token: OpenAPI's {}.
	Anonymous bool
	// Scopes must all be held.
	Scopes []string
	// Kinds are the kinds of caller that the scheme's flows can issue tokens to;
	// nil means any: the contract does not tell.
	Kinds []Kind
}

// Public reports an operation that needs no token: "security: []" in so many words.
func (o *Operation) Public() bool { return len(o.Security) == 0 }

// TakesAnonymous reports an operation that may be called without a token: a public
// one, or one that only takes a token if it is sent.
func (o *Operation) TakesAnonymous() bool {
	return o.Public() || slices.ContainsFunc(o.Security, func(r Requirement) bool { return r.Anonymous })
}

// Grant is what an operation's contract lets grant it, beside what the policy does.
type Grant string

// GrantScope lets holding the contract's scopes grant the operation.
const GrantScope Grant = "scope"

// StepUp is how recent and how strong the user's authentication must be (RFC 9470).
type StepUp struct {
	// ACRValues are alternatives; empty means any.
	ACRValues []string
	// MaxAge is the longest time since authentication; zero means any.
	MaxAge time.Duration
}

// Location is where in a request an object is named.
type Location string

// The locations.
const (
	InPath   Location = "path"
	InQuery  Location = "query"
	InHeader Location = "header"
	InBody   Location = "body"
)

// ObjectRule says where an operation's requests name an object of a type.
type ObjectRule struct {
	Type ObjectType
	In   Location
	// Name is the parameter's name; header names are lower case.
	Name string
	// Pointer is a JSON pointer into the body (RFC 6901) in which a reference
	// token "*" means every element of an array.
	Pointer string
	// List means that the parameter's value is a comma-separated list.
	List bool
	// Optional lets a request not name the object. What is absent is not checked,
	// so an upstream must not read an absent object as "all of them".
	Optional bool
}

// Match is an operation found for a request.
type Match struct {
	// API is the contract that the request is held against; it is set where the
	// path or method is not known, too.
	API       API
	Operation *Operation
	// Parameters are the values of the template's parameters, by name, decoded.
	Parameters map[string]string
	// Allowed are the methods of the path, where it is the method that is not known.
	Allowed []string
}

// BestEffort reports a request that goes on where its proof and its limits cannot be
// counted because the store does not answer (ErrNoAnswer): the contract says so, and to do
// it twice does no more than to do it once (RFC 9110 §9.2.1). What was not checked stands
// in the record.
func (m Match) BestEffort() bool {
	if m.Operation == nil || !m.Operation.BestEffort {
		return false
	}
	return m.Operation.Method == http.MethodGet || m.Operation.Method == http.MethodHead
}
