package authz

import (
	"net/netip"
	"time"
)

// Strings that must not be swapped for one another.
type (
	// API names a contracted API in the configuration.
	API string
	// Subject is whom a token speaks for: its sub, within its issuer.
	Subject string
	// ClientID is the OAuth client that holds the token.
	ClientID string
	// Tenant is the organisation that the caller belongs to, where there are several.
	Tenant string
	// ConsentID names a consent record, within its issuer.
	ConsentID string
	// ObjectType is the contract's name for a kind of object, such as "account".
	ObjectType string
	// ObjectID is an object's identifier within its type.
	ObjectID string
)

// Kind tells callers apart. The zero Kind is Anonymous, who is granted nothing
// but public operations.
type Kind uint8

// The kinds of caller.
const (
	Anonymous Kind = iota
	// Customer is a person, through a client.
	Customer
	// Client is a client by itself (client credentials): there is no customer, and
	// its subject must never be taken for one (RFC 9068 §5, RFC 9700 §4.15).
	Client
	// Staff work for the operator of the API. They own nothing.
	Staff
)

var kinds = [...]string{Anonymous: "anonymous", Customer: "customer", Client: "client", Staff: "staff"}

// String is the kind in lower case, as policies see it.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return kinds[Anonymous]
	}
	return kinds[k]
}

// Caller is who a verified token says is calling. The zero Caller is anonymous.
type Caller struct {
	Kind Kind
	// Issuer is whose word it is: a subject, a client and a consent mean nothing
	// without their issuer.
	Issuer  string
	Subject Subject
	Client  ClientID
	Tenant  Tenant
	Roles   []string
	Scopes  []string
	// Actor is the subject of the outermost act claim (RFC 8693 §4.1), or "".
	Actor Subject
	// Region is the caller's home region, or "" where the token does not tell.
	Region string
	// Consent is the consent that the token was issued under, or "".
	Consent ConsentID
}

// Binding is a way in which a token is tied to what its sender holds.
type Binding string

// The bindings.
const (
	// MTLS binds a token to a client certificate (RFC 8705 §3).
	MTLS Binding = "mtls"
	// DPoP binds a token to a key, and each request brings a proof of it (RFC 9449 §6).
	DPoP Binding = "dpop"
)

// Proofs are what an API asks of proofs of possession (RFC 9449). They are immutable.
type Proofs struct {
	// Algorithms are those that a proof may be signed with; there is one at least.
	Algorithms []string
	// Nonce is what the next proof must hold (§9), or "" where none is demanded.
	Nonce string
}

// Token is a verified access token. It is immutable and shared between requests:
// the same token may be handed to many at once.
type Token struct {
	Caller Caller
	Issuer string
	// Claims is the token's payload as parsed, numbers as json.Number. It must
	// not be written to.
	Claims map[string]any
	// Prepared is Claims in the policy engine's own form: written once, before
	// the token is published, and read by nobody else.
	Prepared any

	IssuedAt, ExpiresAt time.Time
	// AuthTime is when the user last authenticated; zero where the token does not tell.
	AuthTime time.Time
	ACR      string
	AMR      []string
	// Details are the elements of authorization_details (RFC 9396), nil where the token
	// has no such claim, and where it is doubtful.
	Details []Detail
	// DetailsDoubt is why that claim cannot be read, for the record, or "".
	DetailsDoubt string
	// Bindings are the ways in which the token is bound, each of them verified
	// against this request before the token is handed out.
	Bindings []Binding
	// Environment is the one that the token was issued for, which is this deployment's,
	// or "" where the issuer does not tell.
	Environment string
	// Addresses are the networks that the client may call from; nil means any.
	Addresses []netip.Prefix
	// NextNonce is what the client's next proof must hold where the nonce of this
	// request's is soon refused (RFC 9449 §8.2), or "".
	NextNonce string
	// Uncounted means that whether this request's proof was used before could not be
	// told, since the store does not answer, and that the operation takes it all the same.
	Uncounted bool
}

// Certificate is the client certificate of the connection. That it is here says
// that the client holds its key, which is all that a token's binding needs.
type Certificate struct {
	// Thumbprint is the SHA-256 of the DER encoding (RFC 8705 §3.1).
	Thumbprint [32]byte
	// Identity is what it says of its holder, or nil where Envoy forwarded the
	// thumbprint alone.
	Identity *Identity
}

// Identity is what a certificate says of its holder. Whether anybody vouches for
// it is for Envoy's validation context.
type Identity struct {
	// Subject is the distinguished name in RFC 2253 form.
	Subject string
	URIs    []string
	DNS     []string
	// SPIFFE is the SPIFFE ID where the certificate is an X.509-SVID, or "".
	SPIFFE  string
	Country string
	// NotBefore and NotAfter are the first and the last moment at which it says so.
	NotBefore, NotAfter time.Time
	// Qualified means that it says of itself that it is an EU qualified certificate
	// for websites (ETSI EN 319 412-5).
	Qualified bool
	// PSD2 is nil where the certificate has no PSD2 statement, or one that is not
	// believed.
	PSD2 *PSD2
	// Doubt is why the statement is not believed, for the record, or "".
	Doubt string
}

// PSD2 is what a payment service provider is allowed to do, by its certificate
// (ETSI TS 119 495).
type PSD2 struct {
	// Roles are ETSI's names, such as "PSP_AI": each once, in the certificate's order.
	Roles []string
	// Authority is the competent authority that authorised it, such as "GB-FCA".
	Authority string
	// ID is its organizationIdentifier, such as "PSDGB-FCA-123456", or "" where it
	// has none, or one of another authority.
	ID string
}

// PSD2Roles are the names of the roles that a certificate can carry (ETSI TS 119 495
// Annex A).
func PSD2Roles() []string {
	return []string{"PSP_AS", "PSP_PI", "PSP_AI", "PSP_IC", "PSP_CB", "PSP_PA"}
}

// Object is one thing that a request names.
type Object struct {
	Type ObjectType
	ID   ObjectID
}

// Named is an object and where the request names it: "path", "query", "header",
// or "body" and a JSON pointer, such as "body/Data/DebtorAccount".
type Named struct {
	Object
	Where string
}

// Inspection is what a request holds beside its path.
type Inspection struct {
	Objects []Named
	// Body is the JSON body, numbers as json.Number; meaningful if Parsed.
	Body   any
	Parsed bool
	// Observed are the failures that the operation only observes, each of an observable
	// Reason. What could not be read because of them is not there, but for an object of the
	// id Unread for each rule that they kept from being followed.
	Observed []error
}

// Ownership is what the system of record says of an object that is the caller's.
type Ownership struct {
	// Relation is what the caller is to the object, such as "owner" or "joint".
	Relation string
	// Region is where the object is kept, or "" where it is not known.
	Region string
}

// Consent is what a customer let a client do. Its ID, Client and Subject are names
// within the issuer of the token that led to it.
type Consent struct {
	ID      ConsentID
	Status  string
	Client  ClientID
	Subject Subject
	// Permissions are the standard's codes, such as "ReadBalances".
	Permissions []string
	// Objects are those that the customer chose.
	Objects []Object
	// ExpiresAt is zero where OpenEnded.
	ExpiresAt time.Time
	OpenEnded bool
}

// Region is where things are, "" where it is not known.
type Region struct {
	Service, Caller string
}

// Input is the document that a policy decided on, as it is kept to decide on it
// again. It is full of personal data: it is written encrypted, or not at all.
type Input struct {
	// Document is JSON, less the caller's credentials; nil where it is TooLarge to be kept.
	Document []byte
	TooLarge bool
	// Reaches are the paths of the input that the document holds, with all below them,
	// where they are known: each of them spelled out, such as "input.caller.kind",
	// "input.objects" or `input.token.claims["a.b"]`, in order. What is below none of
	// them cannot be told from it. It is shared between inputs and must not be written to.
	Reaches []string
	// Withheld are the headers that the request had and the document has not: names in
	// lower case, in order.
	Withheld []string
	// Answers are what the network told the policy, as JSON in one line, by which it can be
	// decided again without asking; nil where nothing was asked, or they are too large.
	Answers []byte
	// Prepared is what the policy engine made the document of, for itself alone.
	Prepared any
}

// Facts are all that is known about a request, as far as the steps came. They are
// what a policy decides on and what is recorded. A nil or zero field is a fact
// that is not known.
type Facts struct {
	ID      DecisionID
	Time    time.Time
	Request *Request
	Target  Target

	Match Match
	// Proofs are what the API asks of them; nil where it takes none.
	Proofs      *Proofs
	Certificate *Certificate
	Token       *Token
	Inspection  Inspection
	// Owned holds those of the inspection's objects that are the caller's.
	Owned   map[Object]Ownership
	Consent *Consent
	Region  Region
	// Environment is that of this deployment, or "".
	Environment string

	// Spending is what came of the limits of an allow.
	Spending Spending
	// Unspent means that the limits of an allow could not be spent, and that the operation
	// lets the request go on all the same.
	Unspent bool
	// Unenforced means that the policy denied, and that it is only tried (PolicyOnly's DryRun).
	Unenforced bool
	// Lookups are the verdict's; nil where the policy asked nobody.
	Lookups *Lookups

	// Judged is what the policy said, where another is tried beside it.
	Judged *Judgement
	// Lifted are the policy's refusals that the operation only observes.
	Lifted []string

	// Answers are those of the API, and InteractionID is a UUID, or "" where it has none.
	Answers       Answers
	InteractionID string

	// Input is what the policy was given of all this, to be kept with the record. It
	// is nil where the policy was not asked, and where nothing is kept of it.
	Input *Input
}

// Identity is what the client certificate says of its holder, or nil where there is
// none that can say so now: a token can be bound to a certificate that has expired,
// but the names and roles in it are nobody's any more.
func (f *Facts) Identity() *Identity {
	if f.Certificate == nil || f.Certificate.Identity == nil || !f.Certificate.Identity.standsAt(f.Time) {
		return nil
	}
	return f.Certificate.Identity
}

// standsAt reports a time within the certificate's dates, both of them included
// (RFC 5280 §4.1.2.5).
func (i *Identity) standsAt(at time.Time) bool {
	return !at.Before(i.NotBefore) && !at.After(i.NotAfter)
}

// Unchecked are the reasons for which the request would have been refused, had its
// contract not let it go on unchecked, or its policy been more than tried.
func (f *Facts) Unchecked() []Reason {
	var reasons []Reason
	if f.Token != nil && f.Token.Uncounted {
		reasons = append(reasons, ReplaysUnavailable)
	}
	if f.Unspent {
		reasons = append(reasons, LimitsUnavailable)
	}
	if f.Unenforced {
		reasons = append(reasons, PolicyDenied)
	}
	return reasons
}

// Caller is who calls: anonymous until a token is verified.
func (f *Facts) Caller() Caller {
	if f.Token == nil {
		return Caller{}
	}
	return f.Token.Caller
}
